package simd

// Blocks: functions on panels of Q4_0, Q4_1 and Q8_0.

// Blocks are the functions on panels of Q4_0, Q4_1 and Q8_0.
type Blocks struct{}

func blocks(Path) Blocks { return Blocks{} }
