//go:build race

package blas

// underRace leaves out the many small cases, which run on one goroutine.
const underRace = true
