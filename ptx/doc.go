// Package ptx parses, executes and checks PTX, the assembly language of NVIDIA
// GPUs, in pure Go: it runs kernels where there is no GPU, finds out-of-bounds
// and misaligned accesses, uninitialised shared memory, races, and divergent
// barriers, and counts instructions, 32-byte sectors and bank conflicts.
package ptx
