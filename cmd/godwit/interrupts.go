package main

// Ctrl-C: it ends the command, unless the command has taken it.

import (
	"context"
	"os"
	"sync"
	"time"
)

// interrupts hands on SIGINT. The zero value never has one.
type interrupts struct {
	mu    sync.Mutex
	taker chan struct{} // nil: the command ends
}

type interruptsKey struct{}

// interruptsOf are those of a command's context; never nil.
func interruptsOf(ctx context.Context) *interrupts {
	if in, ok := ctx.Value(interruptsKey{}).(*interrupts); ok {
		return in
	}
	return &interrupts{}
}

// take gives the interrupts to the caller until release: one at a time, and
// none is kept that nobody waited for.
func (in *interrupts) take() (<-chan struct{}, func()) {
	c := make(chan struct{})
	in.mu.Lock()
	defer in.mu.Unlock()
	in.taker = c
	return c, func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		in.taker = nil
	}
}

// hand gives an interrupt to who has taken them; false if nobody has.
func (in *interrupts) hand() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.taker == nil {
		return false
	}
	select {
	case in.taker <- struct{}{}:
	case <-time.After(50 * time.Millisecond): // between two waits
	}
	return true
}

// watch gives the context of a command: an interrupt that nobody takes ends it
// and, after grace or with a second one, the process.
func watch(signals <-chan os.Signal, end func(status int)) context.Context {
	in := &interrupts{}
	ctx, cancel := context.WithCancelCause(context.WithValue(context.Background(), interruptsKey{}, in))
	go func() {
		for range signals {
			if in.hand() {
				continue
			}
			cancel(errInterrupted)
			select {
			case <-signals:
			case <-time.After(grace):
			}
			end(statusInterrupted)
		}
	}()
	return ctx
}
