//go:build !amd64 || noasm || portable

package simd

func best() Path { return Portable }

// Pause does nothing here.
func Pause(int) {}
