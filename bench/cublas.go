//go:build !cuda

package main

// Without the build tag there is no GPU to compare on.

import (
	"errors"

	"github.com/godwit-ml/godwit/runtime"
)

type cublas struct{}

func openCublas(string) (*cublas, error) { return nil, errors.New("built without the tag cuda") }

func (*cublas) product(*runtime.MatMul, int) error { return errors.New("built without the tag cuda") }

func (*cublas) close() {}
