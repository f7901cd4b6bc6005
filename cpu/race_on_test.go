//go:build race

package cpu

// watched says that the race detector slows plain Go down.
const watched = true
