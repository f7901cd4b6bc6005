// Out[t] = Residual[t] + Σ_k Weights[t,k]·X[t·K+k], k ascending whatever the launch: the same bits in any batch. A thread computes V
// neighbours of one token and reads each row of X once.
#include "vector.cuh"

template <int V>
__device__ __forceinline__ void combine(float *out, const float *x, const float *weights, const float *residual, unsigned count, unsigned perRow, int k,
    long long outStride, long long xStride, long long weightStride, long long residualStride) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const unsigned token = i / perRow, col = (i - token * perRow) * V;
    const float *w = weights + token * weightStride;
    x += token * k * xStride + col;
    Floats<V> sum = {};
    for (int e = 0; e < k; e++) {
        const float weight = w[e];
        const Floats<V> row = load<V>(x + e * xStride);
#pragma unroll
        for (int j = 0; j < V; j++) sum.v[j] = fmaf(weight, row.v[j], sum.v[j]);
    }
    if (residual) {
        const Floats<V> r = load<V>(residual + token * residualStride + col);
#pragma unroll
        for (int j = 0; j < V; j++) sum.v[j] += r.v[j];
    }
    store<V>(out + token * outStride + col, sum);
}

extern "C" __global__ void __launch_bounds__(256) combine_f32x4(float *out, const float *x, const float *weights, const float *residual, long long count,
    long long perRow, long long k, long long outStride, long long xStride, long long weightStride, long long residualStride) {
    combine<4>(out, x, weights, residual, count, perRow, k, outStride, xStride, weightStride, residualStride);
}

extern "C" __global__ void __launch_bounds__(256) combine_f32(float *out, const float *x, const float *weights, const float *residual, long long count,
    long long perRow, long long k, long long outStride, long long xStride, long long weightStride, long long residualStride) {
    combine<1>(out, x, weights, residual, count, perRow, k, outStride, xStride, weightStride, residualStride);
}
