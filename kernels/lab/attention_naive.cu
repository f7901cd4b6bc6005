// Step 1 of attention: a thread for each query and head, straight from memory.
//
// It multiplies the query with every key twice, once for the largest score, without
// which exponentials overflow, and once to weigh the values, whose sum grows in
// Out. Lanes of a warp are heads of neighbouring queries: each reads rows of its
// own, 4 bytes of a sector of 32, and every FMA waits for two loads.

#include "attention_lab.cuh"

extern "C" __global__ void __launch_bounds__(128, 4) lab_attention_naive(LAB_PARAMETERS) {
    const long long at = (long long)blockIdx.x * 128 + threadIdx.x;
    const int row = (int)(at / heads), h = (int)(at % heads), kv = (int)(h / (heads / kvHeads));
    int n = 0;
    while (n < sequences && row >= qStarts[n + 1]) n++;
    if (n == sequences) return; // padding
    const Sequence s(qStarts, kLens, kStarts, n, left, right);
    const int lo = s.first(row - s.row), hi = s.end(row - s.row);
    const float *query = q + row * qStride + h * d;
    float *to = out + row * outStride + h * dv;
    for (int e = 0; e < dv; e++) to[e] = 0;
    if (lo >= hi) return;
    float m = -Infinity, l = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int j = lo; j < hi; j++) {
            const float *key = k + (s.kStart + j) * kStride + kv * d;
            float x = 0;
            for (int e = 0; e < d; e++) x = fmaf(query[e], key[e], x);
            x *= (float)scale;
            if (pass == 0) {
                m = fmaxf(m, x);
                continue;
            }
            const float *value = v + (s.kStart + j) * vStride + kv * dv;
            const float p = expf(x - m);
            l += p;
            for (int e = 0; e < dv; e++) to[e] = fmaf(p, value[e], to[e]);
        }
    }
    for (int e = 0; e < dv; e++) to[e] /= l;
}
