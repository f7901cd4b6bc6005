// Step 3 of attention: one pass, and tiles in registers.
//
// The sums of the keys so far belong to the largest score so far; when a larger
// one comes, they shrink by exp(old - new) (Milakov and Gimelshein, 2018). So
// each key is read once. A CTA has 32 queries and 64 keys at a time, a thread 4 × 4
// scores and 4 × 4 sums: eight loads from shared memory serve 16 FMAs, not two
// one. Scores change hands by way of shared memory. What ships does more: 16-byte
// loads, 8 × 4 scores a thread, all heads of a group at once.

#include "attention_lab.cuh"

constexpr int Rows = 32, Keys = 64, Most = 64, Threads = 128; // features of a head at most; a thread's rows lie 8 apart

// fill brings rows to shared memory, zeros beyond their width; rows beyond the
// last are the last again.
template <int N>
__device__ void fill(float (*to)[Most + 1], const float *from, long long stride, int first, int end, int width) {
#pragma unroll 4
    for (int at = threadIdx.x; at < N * Most; at += Threads) {
        const int r = at / Most, e = at % Most;
        to[r][e] = e < width ? from[min(first + r, end - 1) * stride + e] : 0;
    }
}

extern "C" __global__ void __launch_bounds__(Threads) lab_attention_online(LAB_PARAMETERS) {
    __shared__ float qs[Rows][Most + 1], kvs[Keys][Most + 1], ps[Rows][Keys + 1];
    const Sequence s(qStarts, kLens, kStarts, blockIdx.x, left, right);
    const int h = blockIdx.y, kv = (int)(h / (heads / kvHeads)), first = blockIdx.z * Rows;
    const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    if (first >= s.queries) return;
    const int last = min(first + Rows, s.queries) - 1;
    fill<Rows>(qs, q + s.row * qStride + h * d, qStride, first, s.queries, (int)d);
    float m[4] = {-Infinity, -Infinity, -Infinity, -Infinity}, l[4] = {}, sum[4][4] = {};
    for (int key = s.first(first) / Keys * Keys; key < s.end(last); key += Keys) {
        __syncthreads(); // the last tile's values are used up
        fill<Keys>(kvs, k + s.kStart * kStride + kv * d, kStride, key, s.keys, (int)d);
        __syncthreads();
        float x[4][4] = {};
        for (int e = 0; e < d; e++) {
            float a[4], b[4];
#pragma unroll
            for (int r = 0; r < 4; r++) a[r] = qs[ty + 8 * r][e], b[r] = kvs[tx + 16 * r][e];
#pragma unroll
            for (int r = 0; r < 4; r++)
#pragma unroll
                for (int c = 0; c < 4; c++) x[r][c] = fmaf(a[r], b[c], x[r][c]);
        }
#pragma unroll
        for (int r = 0; r < 4; r++) {
            const int i = min(first + ty + 8 * r, last), lo = s.first(i) - key, hi = s.end(i) - key;
            float most = m[r], p = 0;
#pragma unroll
            for (int c = 0; c < 4; c++) {
                x[r][c] *= (float)scale;
                if (tx + 16 * c >= lo && tx + 16 * c < hi) most = fmaxf(most, x[r][c]);
            }
#pragma unroll
            for (int lane = 8; lane > 0; lane /= 2) most = fmaxf(most, __shfl_xor_sync(~0u, most, lane));
            const float base = most == -Infinity ? 0 : most, shrink = expf(m[r] - base);
#pragma unroll
            for (int c = 0; c < 4; c++) {
                const bool seen = tx + 16 * c >= lo && tx + 16 * c < hi;
                const float e = expf(x[r][c] - base);
                if (seen) p += e;
                ps[ty + 8 * r][tx + 16 * c] = seen ? e : -1;
                sum[r][c] *= shrink;
            }
            m[r] = most, l[r] = fmaf(l[r], shrink, p);
        }
        __syncthreads(); // the keys are used up, the probabilities written
        fill<Keys>(kvs, v + s.kStart * vStride + kv * dv, vStride, key, s.keys, (int)dv);
        __syncthreads();
        for (int j = 0; j < Keys; j++) {
            float b[4];
#pragma unroll
            for (int c = 0; c < 4; c++) b[c] = kvs[j][tx + 16 * c];
#pragma unroll
            for (int r = 0; r < 4; r++) {
                const float p = ps[ty + 8 * r][j];
                if (p < 0) continue; // not seen: the value may be NaN
#pragma unroll
                for (int c = 0; c < 4; c++) sum[r][c] = fmaf(p, b[c], sum[r][c]);
            }
        }
    }
#pragma unroll
    for (int r = 0; r < 4; r++) {
        const int i = first + ty + 8 * r;
#pragma unroll
        for (int lane = 8; lane > 0; lane /= 2) l[r] += __shfl_xor_sync(~0u, l[r], lane);
        if (i > last) continue;
#pragma unroll
        for (int c = 0; c < 4; c++)
            if (tx + 16 * c < dv)
                out[(s.row + i) * outStride + h * dv + tx + 16 * c] = s.first(i) < s.end(i) ? sum[r][c] / l[r] : 0;
    }
}
