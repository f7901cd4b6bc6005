//go:build !race

package cuda

const slow = false
