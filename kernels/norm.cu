// Out = norm(X)·Weight + Bias over each of the equal parts of a row. A warp or a CTA owns a part and keeps it in registers, so that X is
// read once and Out may be X; a part that is too wide or not on 16 bytes is read again from the caches.
#include "vector.cuh"

enum Kind { LayerNorm, RMSNorm, L2Norm };

// warpTotal is the sum over a warp, the same bits in every lane.
__device__ __forceinline__ float warpTotal(float s) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) s += __shfl_xor_sync(~0u, s, distance);
    return s;
}

// total is the sums over the threads that share a part: a warp, or a CTA with a scratch of N places a warp.
template <int Threads, int N> __device__ __forceinline__ Floats<N> total(Floats<N> s, float *scratch) {
#pragma unroll
    for (int i = 0; i < N; i++) s.v[i] = warpTotal(s.v[i]);
    if constexpr (Threads > 32) {
        constexpr int warps = Threads / 32;
        __syncthreads(); // the scratch may still be read
#pragma unroll
        for (int i = 0; i < N; i++)
            if (threadIdx.x % 32 == 0) scratch[i * warps + threadIdx.x / 32] = s.v[i];
        __syncthreads();
#pragma unroll
        for (int i = 0; i < N; i++) {
            s.v[i] = scratch[i * warps];
#pragma unroll
            for (int w = 1; w < warps; w++) s.v[i] += scratch[i * warps + w];
        }
    }
    return s;
}

// Statistics turn x into (x - mean - rest)·inverse. Sums are of distances from the rounded mean, and rest is the mean of those: the
// corrected two-pass algorithm (Chan, Golub, LeVeque, 1983), which keeps digits where the mean is large beside the deviation.
struct Statistics { float mean, rest, inverse; };

__device__ __forceinline__ Statistics statistics(int kind, float mean, Floats<2> sums, float n, float eps) {
    if (kind == L2Norm) {
        const float size = sqrtf(sums.v[1]);
        return {0.0f, 0.0f, 1.0f / (size < eps ? eps : size)}; // a NaN stays
    }
    const float rest = kind == LayerNorm ? sums.v[0] / n : 0.0f;
    const float variance = sums.v[1] / n - rest * rest;
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
__device__ __forceinline__ void held(float *out, const float *x, const float *weight, const float *bias, int n, int kind, float eps, float *scratch) {
    constexpr int chunks = 8;
    const int first = 4 * (threadIdx.x % Threads);
    Floats<4> v[chunks];
    Floats<1> sum = {};
#pragma unroll
    for (int c = 0; c < chunks; c++) {
        const int col = first + 4 * Threads * c;
        if (col < n) {
            v[c] = load<4>(x + col);
            sum.v[0] += (v[c].v[0] + v[c].v[1]) + (v[c].v[2] + v[c].v[3]);
        }
    }
    const float mean = kind == LayerNorm ? total<Threads>(sum, scratch).v[0] / n : 0.0f;
    Floats<2> sums = {};
#pragma unroll
    for (int c = 0; c < chunks; c++) {
        if (first + 4 * Threads * c < n) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const float d = v[c].v[j] - mean;
                sums.v[0] += d;
                sums.v[1] = fmaf(d, d, sums.v[1]);
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
    __shared__ float scratch[16];
    const unsigned row = blockIdx.x / (unsigned)groups, at = (blockIdx.x - row * (unsigned)groups) * (unsigned)n;
    held<256>(out + row * outStride + at, x + row * xStride + at, weight, bias, n, kind, eps, scratch);
}

extern "C" __global__ void __launch_bounds__(256) norm_any(float *out, const float *x, const float *weight, const float *bias, long long parts,
    long long groups, long long n, long long outStride, long long xStride, long long kind, double eps) {
    __shared__ float scratch[16];
    const unsigned row = blockIdx.x / (unsigned)groups, at = (blockIdx.x - row * (unsigned)groups) * (unsigned)n;
    x += row * xStride + at;
    out += row * outStride + at;
    float mean = 0.0f;
    if (kind == LayerNorm) {
        Floats<1> sum = {};
        for (int col = threadIdx.x; col < n; col += 256) sum.v[0] += x[col];
        mean = total<256>(sum, scratch).v[0] / n;
    }
    Floats<2> sums = {};
    for (int col = threadIdx.x; col < n; col += 256) {
        const float d = x[col] - mean;
        sums.v[0] += d;
        sums.v[1] = fmaf(d, d, sums.v[1]);
    }
    const Statistics s = statistics(kind, mean, total<256>(sums, scratch), n, eps);
    for (int col = threadIdx.x; col < n; col += 256) store<1>(out + col, finish<1>(load<1>(x + col), s, weight, bias, col));
}
