package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

const usage = `usage: bench COMMAND [flags]

ops      times the ten operations on a device, with the share of what the machine can do
models   times models from end to end
compare  measures the goals: ours and llama.cpp, onnxruntime, OpenVINO, torch and hugot in turns
docs     writes docs/performance.md and its plots from runs of compare
guard    fails where a kernel has become slower than it was

bench COMMAND -help lists the flags.
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
	commands := map[string]func(args []string, out, notes io.Writer) error{
		"ops": ops, "models": timeModels, "compare": compare, "docs": docs, "guard": guard, "first-token": firstToken,
	}
	if len(args) > 0 {
		if f := commands[args[0]]; f != nil {
			return f(args[1:], out, notes)
		}
	}
	fmt.Fprint(notes, usage)
	return flag.ErrHelp
}
