// Step 2 of the matrix product: tiles in shared memory.
//
// A CTA computes 32 × 32 outputs. For each 32 k it brings 32 × 32 elements of X
// and of W to shared memory, where each then serves 32 threads: memory is read a
// 32nd as often, and along rows, so that a warp's load is four whole sectors.
// Columns of W are read across, hence rows of 33 there: lanes 32 apart would
// share a bank. What limits it now is shared memory: two loads for one FMA.

#include "matmul.cuh"

static const int Edge = 32;

extern "C" __global__ void __launch_bounds__(1024) lab_matmul_shared(MATMUL_PARAMS) {
    const Operands o = MATMUL_OPERANDS;
    __shared__ float xs[Edge][Edge], ws[Edge][Edge + 1];
    const int tx = threadIdx.x, ty = threadIdx.y;
    const int n0 = blockIdx.x * Edge, m0 = blockIdx.y * Edge;
    const float *from = o.x + (long long)min(m0 + ty, o.rows - 1) / o.fan * o.ldx;
    const float *weights = static_cast<const float *>(o.w) + min(n0 + ty, o.n - 1) * o.ldw;
    float v = 0.f;
    for (int at = 0; at < o.k; at += Edge) {
        const bool there = at + tx < o.k;
        xs[ty][tx] = there ? from[at + tx] : 0.f;
        ws[ty][tx] = there ? weights[at + tx] : 0.f;
        __syncthreads();
#pragma unroll
        for (int k = 0; k < Edge; k++)
            v = fmaf(xs[ty][k], ws[tx][k], v);
        __syncthreads(); // all have read what the next step overwrites
    }
    const int row = m0 + ty, col = n0 + tx;
    if (row >= o.rows || col >= o.n)
        return;
    v = finish(o, v + (o.bias ? o.bias[col] : 0.f), 1.f);
    if (o.res)
        v += o.res[row * o.ldres + col];
    o.out[row * o.ldout + col] = v;
}
