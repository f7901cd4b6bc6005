// Command bench times godwit and compares it with others: a module of its own, so
// that what it needs to compare with does not come with godwit.
//
//	go -C bench run . compare -json RUN.json                the goals, beside their peers: about an hour on a quiet machine
//	go -C bench run . compare -quick -rows 'q4_0|sgemm 1$'  that it runs
//	go -C bench run . docs RUN.json                         docs/performance.md and its plots
//	go -C bench run . models -benchfmt                      models from end to end
//	go -C bench run . ops                                   operations on the CPU, with their share of what the machine can do
//	go -C bench run . ops -device ptx -short                the interpreter of GPU kernels: that it runs, not how fast
//	CGO_CFLAGS=-I$PWD/cuda go -C bench run -tags cuda . ops -device cuda
//	go -C bench run . guard                                 fails where a kernel lost a third of its speed; -update stores what is measured
//
// Operations are timed at the sizes that the kernels declare (kernels.Kernel.Shapes); on a GPU each kernel by itself, on the CPU also
// at the sizes of two models in every type of weight.
//
// Ceilings are loops of package simd: products in float32, bf16 and int8 on vectors and tiles, exponentials, and reading. Peers are
// child processes, of which peers/README.md has the protocol. Measurements of a row take turns, ours and the peers' in the other order
// each time, with a quarter of a second before each in which threads that spin go to sleep; one during which others use more than a
// quarter of a processor is taken again.
package main
