// Out[i] = (Add ? Out[i] : 0) + Scale·Table[IDs[i]]. A thread moves V neighbours of one row; a warp reads the row's number once.
#include <cuda_fp16.h>

#include "vector.cuh"

template <int V> __device__ __forceinline__ Floats<V> elements(const float *p) { return load<V>(p); }

template <int V> __device__ __forceinline__ Floats<V> elements(const __half *p) {
    Floats<V> f;
    if constexpr (V == 4) {
        const uint2 bits = *reinterpret_cast<const uint2 *>(p);
        const float2 a = __half22float2(*reinterpret_cast<const __half2 *>(&bits.x)), b = __half22float2(*reinterpret_cast<const __half2 *>(&bits.y));
        f = {{a.x, a.y, b.x, b.y}};
    } else {
        f.v[0] = __half2float(*p);
    }
    return f;
}

template <int V, typename T>
__device__ __forceinline__ void gather(float *out, const T *table, const int *ids, unsigned count, unsigned perRow, long long outStride, long long tableStride,
    float scale, bool add) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const unsigned row = i / perRow, col = (i - row * perRow) * V;
    Floats<V> y = elements<V>(table + ids[row] * tableStride + col);
    float *to = out + row * outStride + col;
    if (scale != 1.0f) { // a product by 1 would quieten a NaN
#pragma unroll
        for (int j = 0; j < V; j++) y.v[j] *= scale;
    }
    if (add) {
        const Floats<V> old = load<V>(to);
#pragma unroll
        for (int j = 0; j < V; j++) y.v[j] += old.v[j];
    }
    store<V>(to, y);
}

extern "C" __global__ void __launch_bounds__(256) gather_f32x4(float *out, const float *table, const int *ids, long long count, long long perRow,
    long long outStride, long long tableStride, double scale, long long add) {
    gather<4>(out, table, ids, count, perRow, outStride, tableStride, scale, add);
}

extern "C" __global__ void __launch_bounds__(256) gather_f32(float *out, const float *table, const int *ids, long long count, long long perRow,
    long long outStride, long long tableStride, double scale, long long add) {
    gather<1>(out, table, ids, count, perRow, outStride, tableStride, scale, add);
}

extern "C" __global__ void __launch_bounds__(256) gather_f16x4(float *out, const __half *table, const int *ids, long long count, long long perRow,
    long long outStride, long long tableStride, double scale, long long add) {
    gather<4>(out, table, ids, count, perRow, outStride, tableStride, scale, add);
}

extern "C" __global__ void __launch_bounds__(256) gather_f16(float *out, const __half *table, const int *ids, long long count, long long perRow,
    long long outStride, long long tableStride, double scale, long long add) {
    gather<1>(out, table, ids, count, perRow, outStride, tableStride, scale, add);
}
