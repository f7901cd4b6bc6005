// Package ptx parses, executes and checks PTX, the assembly language of NVIDIA
// GPUs, in pure Go: it runs kernels where there is no GPU, finds out-of-bounds
// and misaligned accesses, uninitialised shared memory, races, and divergent
// barriers, and counts instructions, 32-byte sectors and bank conflicts.
//
// # Use
//
// [Parse] reads a file and decodes every kernel in it; [NewMemory] is the
// global memory of a device; [Run] launches a kernel in it and waits:
//
//	m, err := ptx.Parse("scale.ptx", src)
//	mem := ptx.NewMemory(1 << 30)
//	x, err := mem.Alloc(4 * n)
//	params := binary.LittleEndian.AppendUint64(nil, x)
//	counts, err := ptx.Run(ctx, m.Kernel("scale"), mem, ptx.Launch{
//		Grid: [3]int{n / 128, 1, 1}, Block: [3]int{128, 1, 1}, Params: params,
//	}, ptx.Config{Count: true})
//
// A file that is not understood entirely is a [SyntaxError] with its line: an
// instruction or modifier is executed exactly or refused, never passed over.
// What a kernel does wrong is a [Fault] with the line of the PTX and, where it
// was compiled with -lineinfo, of the CUDA source. For code that the compiler
// inlined that is the innermost line in the kernel's own file, or else the
// outermost: a fault inside a header of the toolkit names the line that called.
//
// # Execution
//
// A warp executes one instruction for its 32 lanes at a time. Lanes that
// branched apart form groups. The group at the lowest address runs first, so
// that the others wait for it where the paths meet, and groups that meet are
// one again. An instruction that needs other lanes (a shuffle, a vote, a
// barrier) waits until those of its mask are there.
//
// The warps of a CTA take turns: each runs until it waits at a barrier, ends,
// or has had many instructions. [Config.Order] says who is first; in the
// random order they also change places at any instruction. CTAs are handed to
// goroutines. cp.async is carried out when a wait demands it, or at once with
// [Config.Eager]. A kernel without races gives the same bits in all [Modes];
// one with a race that the checks do not see, in global memory say, gives
// itself away by a difference.
//
// Arithmetic is IEEE 754, rounded as the instruction says, f32 fma exactly
// once, with the NaN of the hardware in f32 and half precision. Two things are
// better than on a GPU, so that results are compared with tolerances there:
// the .approx functions are correctly rounded or nearly so, and mma keeps its
// sums in float64. atomic additions of floating-point numbers happen in the
// order in which CTAs run.
//
// # Checks
//
// They are always on.
//
//   - Global memory: bounds, alignment, use after free. Addresses are never
//     used twice and between allocations lie gaps of 64 KiB. Fresh memory
//     holds 0xff, NaN in every floating-point type.
//   - Shared memory: bounds, alignment, reads of bytes that nobody wrote, and
//     races. Barriers order the warps that take part in them and
//     bar.warp.sync the lanes of a warp; two accesses of the same bytes, at
//     least one a write, by different warps or different lanes that nothing
//     orders are a race whether or not it shows in the result. So are two
//     lanes of one store with different values for one address. Accesses
//     that are both atomic, volatile or relaxed do not race. Order that the
//     kernel makes by itself with such flags is not understood: it is
//     reported as a race of the data that the flags guard.
//   - cp.async: the bytes that it writes belong to nobody until the thread
//     that issued it has waited; after that, and a barrier, to all.
//   - Barriers that some threads do not reach, that a warp reaches divided, or
//     two different ones of one number that wait for each other; shuffles,
//     votes and the like that name lanes which have exited or never come.
//   - Endless loops: [Config.Steps] bounds the instructions of a warp.
//
// The bytes of shared memory are tracked in units of the kernel's narrowest
// shared access, at most four bytes.
//
// # Counts
//
// [Config.Count] fills [Counts]: issue slots, FLOPs, requests, bytes and
// sectors of global memory, wavefronts of shared memory and how many there
// would be without bank conflicts; in all, by instruction and by source line.
// They are facts of the PTX and the launch, not times: caches, the scheduling
// of warps and what ptxas makes of the PTX are not modelled.
//
// # Limits
//
// Calls are inlined, so recursion and calls through pointers are refused, as
// are clusters, textures, surfaces, wgmma and TMA.
//
// PTX is described in NVIDIA's "Parallel Thread Execution ISA", with which the
// behaviour here agrees where it is defined.
package ptx
