//go:build !amd64 || noasm || portable

package simd

func scores(Path) Scores { return portableScores() }
