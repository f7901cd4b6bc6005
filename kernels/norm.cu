// Out = norm(X)·Weight + Bias over each of the equal parts of a row. A warp or a CTA owns a part and keeps it in registers, so that X is
// read once and Out may be X; a part that is too wide or not on 16 bytes is read again from the caches.
#include "vector.cuh"

enum Kind { LayerNorm, RMSNorm, L2Norm };

// total is the sums over a warp of two numbers, the same bits in every lane.
__device__ __forceinline__ float2 warpTotal(float2 s) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        s.x += __shfl_xor_sync(~0u, s.x, distance);
        s.y += __shfl_xor_sync(~0u, s.y, distance);
    }
    return s;
}

// total is the sums over the threads that share a part: a warp, or a CTA with a scratch of one place a warp.
template <int Threads> __device__ __forceinline__ float2 total(float2 s, float2 *scratch) {
    s = warpTotal(s);
    if constexpr (Threads > 32) {
        __syncthreads(); // the scratch may still be read
        if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = s;
        __syncthreads();
        s = scratch[0];
#pragma unroll
        for (int w = 1; w < Threads / 32; w++) {
            s.x += scratch[w].x;
            s.y += scratch[w].y;
        }
    }
    return s;
}

// Statistics turn x into (x - mean - rest)·inverse. Sums are of distances from the rounded mean, and rest is the mean of those: the
// corrected two-pass algorithm (Chan, Golub, LeVeque, 1983), which keeps digits where the mean is large beside the deviation.
struct Statistics { float mean, rest, inverse; };

__device__ __forceinline__ Statistics statistics(int kind, float mean, float2 sums, float n, float eps) {
    if (kind == L2Norm) {
        const float size = sqrtf(sums.y);
        return {0.0f, 0.0f, 1.0f / (size < eps ? eps : size)}; // a NaN stays
    }
    const float rest = kind == LayerNorm ? sums.x / n : 0.0f;
    const float variance = sums.y / n - rest * rest;
    return {mean, rest, 1.0f / sqrtf((variance < 0.0f ? 0.0f : variance) + eps)}; // equal elements may leave less than nothing
}

template <int V>
__device__ __forceinline__ Floats<V> finish(Floats<V> x, const Statistics &s, const float *weight, const float *bias, int col) {
#pragma unroll
    for (int j = 0; j < V; j++) x.v[j] = (x.v[j] - s.mean - s.rest) * s.inverse;
    if (weight) {
        const Floats<V> w = load<V>(weight + col);
#pragma unroll
        for (int j = 0; j < V; j++) x.v[j] *= w.v[j];
    }
    if (bias) {
        const Floats<V> b = load<V>(bias + col);
#pragma unroll
        for (int j = 0; j < V; j++) x.v[j] += b.v[j];
    }
    return x;
}

// held normalises a part of at most 32·Threads floats, kept in registers: eight times four a thread.
template <int Threads>
__device__ __forceinline__ void held(float *out, const float *x, const float *weight, const float *bias, int n, int kind, float eps, float2 *scratch) {
    constexpr int chunks = 8;
    const int first = 4 * (threadIdx.x % Threads);
    Floats<4> v[chunks];
    float2 sums = {0.0f, 0.0f};
#pragma unroll
    for (int c = 0; c < chunks; c++) {
        const int col = first + 4 * Threads * c;
        if (col < n) {
            v[c] = load<4>(x + col);
            sums.x += (v[c].v[0] + v[c].v[1]) + (v[c].v[2] + v[c].v[3]);
        }
    }
    const float mean = kind == LayerNorm ? total<Threads>(sums, scratch).x / n : 0.0f;
    sums = {0.0f, 0.0f};
#pragma unroll
    for (int c = 0; c < chunks; c++) {
        if (first + 4 * Threads * c < n) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const float d = v[c].v[j] - mean;
                sums.x += d;
                sums.y = fmaf(d, d, sums.y);
            }
        }
    }
    const Statistics s = statistics(kind, mean, total<Threads>(sums, scratch), n, eps);
#pragma unroll
    for (int c = 0; c < chunks; c++) {
        const int col = first + 4 * Threads * c;
        if (col < n) store<4>(out + col, finish<4>(v[c], s, weight, bias, col));
    }
}

extern "C" __global__ void __launch_bounds__(256) norm_warp(float *out, const float *x, const float *weight, const float *bias, long long parts,
    long long groups, long long n, long long outStride, long long xStride, long long kind, double eps) {
    const unsigned part = blockIdx.x * 8 + threadIdx.x / 32;
    if (part >= parts) return;
    const unsigned row = part / (unsigned)groups, at = (part - row * (unsigned)groups) * (unsigned)n;
    held<32>(out + row * outStride + at, x + row * xStride + at, weight, bias, n, kind, eps, nullptr);
}

extern "C" __global__ void __launch_bounds__(256) norm_cta(float *out, const float *x, const float *weight, const float *bias, long long parts,
    long long groups, long long n, long long outStride, long long xStride, long long kind, double eps) {
    __shared__ float2 scratch[8];
    const unsigned row = blockIdx.x / (unsigned)groups, at = (blockIdx.x - row * (unsigned)groups) * (unsigned)n;
    held<256>(out + row * outStride + at, x + row * xStride + at, weight, bias, n, kind, eps, scratch);
}

extern "C" __global__ void __launch_bounds__(256) norm_any(float *out, const float *x, const float *weight, const float *bias, long long parts,
    long long groups, long long n, long long outStride, long long xStride, long long kind, double eps) {
    __shared__ float2 scratch[8];
    const unsigned row = blockIdx.x / (unsigned)groups, at = (blockIdx.x - row * (unsigned)groups) * (unsigned)n;
    x += row * xStride + at;
    out += row * outStride + at;
    float mean = 0.0f;
    if (kind == LayerNorm) {
        float2 sums = {0.0f, 0.0f};
        for (int col = threadIdx.x; col < n; col += 256) sums.x += x[col];
        mean = total<256>(sums, scratch).x / n;
    }
    float2 sums = {0.0f, 0.0f};
    for (int col = threadIdx.x; col < n; col += 256) {
        const float d = x[col] - mean;
        sums.x += d;
        sums.y = fmaf(d, d, sums.y);
    }
    const Statistics s = statistics(kind, mean, total<256>(sums, scratch), n, eps);
    for (int col = threadIdx.x; col < n; col += 256) store<1>(out + col, finish<1>(load<1>(x + col), s, weight, bias, col));
}
