// What the matrix products share: their operands, 16-byte reads of X and W with
// a path for views of any alignment, and the epilogue.
#pragma once

#include "functions.cuh"

// The parameters of every matrix product, in the order of matmulParams in
// matmul.go. Each takes 8 bytes.
#define MATMUL_PARAMS                                                                          \
    const float *x, long long ldx, const void *w, long long ldw, const float *bias,            \
        long long ldbias, const float *res, long long ldres, float *out, long long ldout,      \
        const int *pick, long long experts, long long rows, long long n, long long k,          \
        long long fan, long long act, double alpha, long long gated

#define MATMUL_OPERANDS                                                                        \
    Operands {                                                                                 \
        x, w, bias, res, out, pick, ldx, ldw, ldbias, ldres, ldout, int(experts), int(rows),   \
            int(n), int(k), int(fan), int(act), float(alpha), gated != 0                       \
    }

// Out[r] = Res[r] + alpha·act(X[r/fan]·Wᵀ + Bias), W of expert Pick[r]. Strides
// count elements; n and k are columns of Out and X of one group.
struct Operands {
    const float *x;
    const void *w;
    const float *bias, *res;
    float *out;
    const int *pick;
    long long ldx, ldw, ldbias, ldres, ldout;
    int experts, rows, n, k, fan, act;
    float alpha;
    bool gated;
};

// f16 holds the bits of a half: the products only ever widen it.
typedef unsigned short f16;

__device__ __forceinline__ float widen(float v) { return v; }

__device__ __forceinline__ float widen(f16 v) {
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(v));
    return f;
}

// A vector of 16 bytes of W: 4 floats or 8 halves, as they lie in memory.
template <typename T> struct Vector;

template <> struct Vector<float> {
    static const int N = 4;
    float4 v;
    __device__ __forceinline__ float get(int i) const {
        return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
    }
};

template <> struct Vector<f16> {
    static const int N = 8;
    uint4 v;
    __device__ __forceinline__ float get(int i) const {
        unsigned pair = i < 2 ? v.x : i < 4 ? v.y : i < 6 ? v.z : v.w;
        return widen(f16(i % 2 ? pair >> 16 : pair));
    }
};

// aligned reports whether every row at p with a stride of bytes begins at a
// multiple of 16.
__device__ __forceinline__ bool aligned(const void *p, long long stride) {
    return ((reinterpret_cast<unsigned long long>(p) | stride) & 15) == 0;
}

// read is the vector at p, which is aligned.
__device__ __forceinline__ void read(Vector<float> &to, const float *p) {
    to.v = __ldg(reinterpret_cast<const float4 *>(p));
}

__device__ __forceinline__ void read(Vector<f16> &to, const f16 *p) {
    to.v = __ldg(reinterpret_cast<const uint4 *>(p));
}

// readPart is the vector at p, of any alignment, of which only the first left
// elements exist: the others are zeros.
__device__ __forceinline__ void readPart(Vector<float> &to, const float *p, int left) {
    to.v.x = left > 0 ? __ldg(p) : 0.f;
    to.v.y = left > 1 ? __ldg(p + 1) : 0.f;
    to.v.z = left > 2 ? __ldg(p + 2) : 0.f;
    to.v.w = left > 3 ? __ldg(p + 3) : 0.f;
}

__device__ __forceinline__ unsigned readPair(const f16 *p, int left) {
    unsigned lo = left > 0 ? __ldg(p) : 0, hi = left > 1 ? __ldg(p + 1) : 0;
    return lo | hi << 16;
}

__device__ __forceinline__ void readPart(Vector<f16> &to, const f16 *p, int left) {
    to.v.x = readPair(p, left);
    to.v.y = readPair(p + 2, left - 2);
    to.v.z = readPair(p + 4, left - 4);
    to.v.w = readPair(p + 6, left - 6);
}

// finish is the epilogue of one element: what is added to the residual. v and up
// carry their bias; up is 1 where nothing is gated.
__device__ __forceinline__ float finish(const Operands &o, float v, float up) {
    return o.alpha * apply(o.act, v) * up;
}
