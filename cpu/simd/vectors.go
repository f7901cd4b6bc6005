package simd

// Vectors: functions on rows of floats.

// Vectors are the functions on rows of floats.
type Vectors struct{}

func vectors(Path) Vectors { return Vectors{} }
