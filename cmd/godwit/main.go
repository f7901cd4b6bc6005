// Command godwit runs Transformer models: text, vectors, labels and masked words
// from a Hugging Face directory or a GGUF file. godwit --help says how.
package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// grace is how long an interrupted command may take to end by itself: a step of
// a large model is not cut short. Tests change it.
var grace = 700 * time.Millisecond

func main() {
	// A closed pipe is an error of a write, which ends the command quietly.
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt)
	ctx := watch(signals, os.Exit)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
