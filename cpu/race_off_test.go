//go:build !race

package cpu

const watched = false
