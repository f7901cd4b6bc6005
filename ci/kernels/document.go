package main

// docs/kernels.md.

import (
	"context"
	"errors"
	"io"
)

func document(_ context.Context, _ io.Writer, _ string, _ bool) error {
	return errors.New("not yet")
}
