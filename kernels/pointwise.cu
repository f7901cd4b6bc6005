// Out = Scale·F(In·X)·Mul + Add. A thread computes V neighbours of one row, so that a warp moves whole sectors; there is nothing to
// reuse, and bandwidth is the limit. Out may be any of the operands: a thread has read all of its own before it writes.
#include "functions.cuh"
#include "vector.cuh"

template <int V>
__device__ __forceinline__ void pointwise(float *out, const float *x, const float *mul, const float *add, unsigned count, unsigned perRow,
    long long outStride, long long xStride, long long mulStride, long long addStride, int f, float in, float scale) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const unsigned row = i / perRow, col = (i - row * perRow) * V;
    Floats<V> y = load<V>(x + row * xStride + col);
#pragma unroll
    for (int j = 0; j < V; j++) y.v[j] = scale * apply(f, in * y.v[j]);
    if (mul) { // a stride of 0 gives every row the same one
        const Floats<V> m = load<V>(mul + row * mulStride + col);
#pragma unroll
        for (int j = 0; j < V; j++) y.v[j] *= m.v[j];
    }
    if (add) {
        const Floats<V> a = load<V>(add + row * addStride + col);
#pragma unroll
        for (int j = 0; j < V; j++) y.v[j] += a.v[j];
    }
    store<V>(out + row * outStride + col, y);
}

extern "C" __global__ void __launch_bounds__(256) pointwise_f32x4(float *out, const float *x, const float *mul, const float *add, long long count,
    long long perRow, long long outStride, long long xStride, long long mulStride, long long addStride, long long f, double in, double scale) {
    pointwise<4>(out, x, mul, add, count, perRow, outStride, xStride, mulStride, addStride, f, in, scale);
}

extern "C" __global__ void __launch_bounds__(256) pointwise_f32(float *out, const float *x, const float *mul, const float *add, long long count,
    long long perRow, long long outStride, long long xStride, long long mulStride, long long addStride, long long f, double in, double scale) {
    pointwise<1>(out, x, mul, add, count, perRow, outStride, xStride, mulStride, addStride, f, in, scale);
}
