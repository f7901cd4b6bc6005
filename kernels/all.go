package kernels

// All is every kernel that ships, in the order in which a device tries those of
// one operation: the first whose Launch fits runs it.
var All = []*Kernel{
	gatherF32x4, gatherF32, gatherF16x4, gatherF16,
	normWarp, normCTA, normAny,
	pointwiseF32x4, pointwiseF32,
	ropeHalvesX4, ropeHalves, ropeInterleavedX2, ropeInterleaved,
	storeKV, copyBlocks16, copyBlocks2,
	attention64, attention128, attention256,
	topkWarp, topkCTA,
	combineF32x4, combineF32,
	// Few rows first; then small tiles, where large ones would leave most of a
	// GPU idle; then large ones, which take any size.
	matmulRows1F32, matmulRows1F16, matmulRows4F32, matmulRows4F16, matmulRows8F32, matmulRows8F16,
	matmulSmallF32, matmulSmallF16, matmulPickSmallF32, matmulPickSmallF16,
	matmulLargeF32, matmulLargeF16, matmulPickLargeF32, matmulPickLargeF16,
}
