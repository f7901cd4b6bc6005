//go:build !noasm && !portable

package simd

func scores(Path) Scores { return portableScores() }
