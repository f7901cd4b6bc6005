// Step 3 of the matrix product: tiles in registers.
//
// A CTA of 256 threads computes 64 × 64 outputs, a thread 4 × 4 of them: of each
// k it reads 4 + 4 elements from shared memory for 16 FMAs, where step 2 read 2
// for one. Both tiles are stored k outermost, rows of 65 so that neither the
// stores nor the loads meet in a bank. Left for the kernel that ships: vectors
// of four instead of single loads, 8 × 8 outputs, and a second buffer, so that
// memory is read while the threads multiply.

#include "matmul.cuh"

static const int Edge = 64, Depth = 16;

extern "C" __global__ void __launch_bounds__(256) lab_matmul_registers(MATMUL_PARAMS) {
    const Operands o = MATMUL_OPERANDS;
    __shared__ float xs[Depth][Edge + 1], ws[Depth][Edge + 1];
    const int t = threadIdx.x, tx = t % 16, ty = t / 16;
    const int n0 = blockIdx.x * Edge, m0 = blockIdx.y * Edge;
    const float *weights = static_cast<const float *>(o.w);
    float acc[4][4] = {};
    for (int at = 0; at < o.k; at += Depth) {
        const int k = at + tx;
#pragma unroll
        for (int i = 0; i < Edge; i += 16) {
            const int row = min(m0 + ty + i, o.rows - 1) / o.fan, col = min(n0 + ty + i, o.n - 1);
            xs[tx][ty + i] = k < o.k ? o.x[row * o.ldx + k] : 0.f;
            ws[tx][ty + i] = k < o.k ? weights[col * o.ldw + k] : 0.f;
        }
        __syncthreads();
#pragma unroll
        for (int d = 0; d < Depth; d++) {
            float a[4], b[4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                a[i] = xs[d][ty + 16 * i];
                b[i] = ws[d][tx + 16 * i];
            }
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    acc[i][j] = fmaf(a[i], b[j], acc[i][j]);
        }
        __syncthreads(); // all have read what the next step overwrites
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const int col = n0 + tx + 16 * j;
        if (col >= o.n)
            continue;
        const float bias = o.bias ? o.bias[col] : 0.f;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int row = m0 + ty + 16 * i;
            if (row >= o.rows)
                continue;
            float v = finish(o, acc[i][j] + bias, 1.f);
            if (o.res)
                v += o.res[row * o.ldres + col];
            o.out[row * o.ldout + col] = v;
        }
    }
}
