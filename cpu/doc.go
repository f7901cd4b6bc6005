// Package cpu is the CPU device. Its reference path, made by NewReference, runs
// every operation in float32 on gonum's Sgemm, with float64 for statistics,
// exponentials and other functions. It is the fallback of other devices and the
// oracle they are compared with, so it is clear before it is fast.
//
// # Products
//
// gonum's product of rows with transposed rows is a dot product per element of
// the result. Sgemm is always called with a piece so small (fewer than four
// blocks of 64×64) that it stays on the calling goroutine, and the pieces are
// spread over the workers here. Each element is therefore one dot product over
// all of K, whatever the number of rows or threads:
//
//	          N →  pieces of a few rows of W, which stay in the cache
//	rows ↓  ┌────┬────┬────┬────┐
//	  64    │ 0  │ 2  │ 4  │ 6  │   task numbers: neighbours share the piece of W
//	        ├────┼────┼────┼────┤
//	  64    │ 1  │ 3  │ 5  │ 7  │
//	        └────┴────┴────┴────┘
//
// What may change a bit is where a weight lies: gonum's assembly takes up to
// three elements by themselves until a row of W is aligned to 16 bytes. So the
// device makes no promise across processes, and tests compare by tolerance.
//
// # Memory
//
// F32 weights stay where the checkpoint is mapped, unless they are misaligned;
// other types are expanded to F32 once, except tables only read by Gather, which
// decodes rows as it reads them. Caches are plain rows of the type that was
// asked for. If a mapped file is cut short, the operation that reads it returns
// ErrFault.
package cpu
