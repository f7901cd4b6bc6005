//go:build race

package cuda

// slow: the race detector makes interpretation an order of magnitude slower, and
// a few rows show it all there is to see.
const slow = true
