package kernels

// All is every kernel that ships, in the order in which a device tries those of
// one operation: the first whose Launch fits runs it.
var All = []*Kernel{
	gatherF32x4, gatherF32, gatherF16x4, gatherF16,
	normWarp, normCTA, normAny,
	pointwiseF32x4, pointwiseF32,
	ropeHalvesX4, ropeHalves, ropeInterleavedX2, ropeInterleaved,
	topkWarp, topkCTA,
	combineF32x4, combineF32,
}
