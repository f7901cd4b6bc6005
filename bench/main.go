package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

const usage = `usage: bench ops [flags]

ops times the ten operations on a device, at the sizes that the kernels declare.
`

func main() {
	err := run(os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string, out, notes io.Writer) error {
	if len(args) == 0 || args[0] != "ops" {
		fmt.Fprint(notes, usage)
		return flag.ErrHelp
	}
	return ops(args[1:], out, notes)
}
