//go:build race

package simd

import "testing"

// TestMain leaves the tests out under the race detector: kernels run on one
// goroutine and assembly is not watched, and plain Go would take minutes. What runs
// kernels side by side is tested in package cpu.
func TestMain(*testing.M) {}
