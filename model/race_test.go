//go:build race

package model_test

// underRace leaves out what the race detector makes twenty times as slow and other
// tests run under it: paths that compute the same texts as the best one.
const underRace = true
