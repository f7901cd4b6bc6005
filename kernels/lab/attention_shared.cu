// Step 2 of attention: tiles in shared memory.
//
// A CTA has 16 queries of one head, and 16 threads for each. It brings 16 keys at
// a time to shared memory, along rows, where each serves 16 queries; a thread
// has one score of the tile, and every sixteenth column of Out in registers. Still
// it passes over the keys twice. What limits it now is shared memory: two loads
// for one FMA.

#include "attention_lab.cuh"

constexpr int Edge = 16, Most = 64; // rows, keys; features of a head

// fill brings rows to shared memory, zeros beyond their width; rows beyond the
// last are the last again.
__device__ void fill(float (*to)[Most + 1], const float *from, long long stride, int first, int end, int width) {
    from += min(first + (int)threadIdx.y, end - 1) * stride;
    for (int e = threadIdx.x; e < Most; e += Edge) to[threadIdx.y][e] = e < width ? from[e] : 0;
}

extern "C" __global__ void __launch_bounds__(Edge * Edge, 2) lab_attention_shared(LAB_PARAMETERS) {
    __shared__ float qs[Edge][Most + 1], ks[Edge][Most + 1], vs[Edge][Most + 1], ps[Edge][Edge + 1];
    const Sequence s(qStarts, kLens, kStarts, blockIdx.x, left, right);
    const int h = blockIdx.y, kv = (int)(h / (heads / kvHeads)), first = blockIdx.z * Edge, tx = threadIdx.x, ty = threadIdx.y;
    if (first >= s.queries) return;
    const int last = min(first + Edge, s.queries) - 1, i = min(first + ty, last);
    fill(qs, q + s.row * qStride + h * d, qStride, first, s.queries, (int)d);
    const int lo = s.first(i), hi = s.end(i);
    float m = -Infinity, l = 0, sum[Most / Edge] = {};
    for (int pass = 0; pass < 2; pass++) {
        for (int key = s.first(first) / Edge * Edge; key < s.end(last); key += Edge) {
            __syncthreads(); // all have read what the next tile overwrites
            fill(ks, k + s.kStart * kStride + kv * d, kStride, key, s.keys, (int)d);
            if (pass == 1) fill(vs, v + s.kStart * vStride + kv * dv, vStride, key, s.keys, (int)dv);
            __syncthreads();
            float x = 0;
            for (int e = 0; e < d; e++) x = fmaf(qs[ty][e], ks[tx][e], x);
            const bool seen = key + tx >= lo && key + tx < hi;
            x = seen ? x * (float)scale : -Infinity;
            if (pass == 0) {
                m = fmaxf(m, x);
                continue;
            }
            ps[ty][tx] = expf(x - m);
            __syncthreads();
            for (int j = max(lo - key, 0); j < min(hi - key, Edge); j++) { // none that the query does not see
                l += ps[ty][j];
#pragma unroll
                for (int c = 0; c < Most / Edge; c++) sum[c] = fmaf(ps[ty][j], vs[j][tx + c * Edge], sum[c]);
            }
        }
#pragma unroll
        for (int lane = Edge / 2; lane > 0; lane /= 2) m = fmaxf(m, __shfl_xor_sync(~0u, m, lane));
    }
    if (first + ty > last) return;
#pragma unroll
    for (int c = 0; c < Most / Edge; c++)
        if (tx + c * Edge < dv) out[(s.row + i) * outStride + h * dv + tx + c * Edge] = lo < hi ? sum[c] / l : 0;
}
