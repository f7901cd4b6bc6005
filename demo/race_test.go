//go:build race

package demo_test

// underRace leaves out the tests that go through hundreds of sentences one after
// the other: nothing runs beside them, and the race detector makes them ten
// times as slow. The models run under it in the tests of the root and the command.
const underRace = true
