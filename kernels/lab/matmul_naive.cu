// Step 1 of the matrix product: one thread an output, straight from memory.
//
// A thread reads a row of X and a row of W from end to end. The lanes of a warp
// stand in neighbouring columns: of X they all want the same element, but of W
// each wants another row, K elements from the next, so that one load touches 32
// sectors of 32 bytes for 4 bytes of each. Every FMA waits for two loads.

#include "matmul.cuh"

extern "C" __global__ void __launch_bounds__(256) lab_matmul_naive(MATMUL_PARAMS) {
    const Operands o = MATMUL_OPERANDS;
    const int col = blockIdx.x * 32 + threadIdx.x, row = blockIdx.y * 8 + threadIdx.y;
    if (row >= o.rows || col >= o.n)
        return;
    const float *xs = o.x + row / o.fan * o.ldx;
    const float *ws = static_cast<const float *>(o.w) + col * o.ldw;
    float v = 0.f;
    for (int at = 0; at < o.k; at++)
        v = fmaf(xs[at], ws[at], v);
    v = finish(o, v + (o.bias ? o.bias[col] : 0.f), 1.f);
    if (o.res)
        v += o.res[row * o.ldres + col];
    o.out[row * o.ldout + col] = v;
}
