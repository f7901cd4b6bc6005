//go:build !race

package tokenizer

// raceOn is set where the race detector runs: what has no goroutines is left out then.
const raceOn = false
