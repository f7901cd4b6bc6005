//go:build race

package devicetest

import "testing"

// TestMain leaves the tests out under the race detector: they run on one
// goroutine, where there is nothing to find, and would take minutes. The
// conformance of a device under the detector is its own package's test.
func TestMain(*testing.M) {}
