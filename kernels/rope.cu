// Rotates pairs of features in place (Su et al., 2021): (a, b) becomes (a·cos - b·sin, b·cos + a·sin). A pair is (i, i+half) of a head,
// or two neighbours when interleaved. A thread rotates four pairs, two interleaved ones, or one where addresses do not allow more.
#include "vector.cuh"

// Place is what a thread works on: a head's first feature, and its first pair there.
struct Place {
    float *head;
    long long cos, sin; // where the row of each table begins
    unsigned pair;      // or feature
};

template <int V>
__device__ __forceinline__ bool place(Place &p, float *x, const int *rows, unsigned count, unsigned perToken, unsigned perHead, int headDim,
    long long xStride, long long cosStride, long long sinStride) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return false;
    const unsigned token = i / perToken, rest = i - token * perToken, head = rest / perHead;
    const long long row = rows[token];
    p = {x + token * xStride + head * headDim, row * cosStride, row * sinStride, (rest - head * perHead) * V};
    return true;
}

template <int V>
__device__ __forceinline__ void halves(float *x, const float *cos, const float *sin, const int *rows, unsigned count, unsigned perToken, unsigned perHead,
    int headDim, long long xStride, long long cosStride, long long sinStride) {
    Place p;
    if (!place<V>(p, x, rows, count, perToken, perHead, headDim, xStride, cosStride, sinStride)) return;
    float *first = p.head + p.pair, *second = first + perHead * V;
    const Floats<V> c = load<V>(cos + p.cos + p.pair), s = load<V>(sin + p.sin + p.pair), a = load<V>(first), b = load<V>(second);
    Floats<V> u, v;
#pragma unroll
    for (int j = 0; j < V; j++) {
        u.v[j] = a.v[j] * c.v[j] - b.v[j] * s.v[j];
        v.v[j] = b.v[j] * c.v[j] + a.v[j] * s.v[j];
    }
    store<V>(first, u);
    store<V>(second, v);
}

extern "C" __global__ void __launch_bounds__(256) rope_halves_x4(float *x, const float *cos, const float *sin, const int *rows, long long count,
    long long perToken, long long perHead, long long headDim, long long xStride, long long cosStride, long long sinStride) {
    halves<4>(x, cos, sin, rows, count, perToken, perHead, headDim, xStride, cosStride, sinStride);
}

extern "C" __global__ void __launch_bounds__(256) rope_halves(float *x, const float *cos, const float *sin, const int *rows, long long count,
    long long perToken, long long perHead, long long headDim, long long xStride, long long cosStride, long long sinStride) {
    halves<1>(x, cos, sin, rows, count, perToken, perHead, headDim, xStride, cosStride, sinStride);
}

extern "C" __global__ void __launch_bounds__(256) rope_interleaved_x2(float *x, const float *cos, const float *sin, const int *rows, long long count,
    long long perToken, long long perHead, long long headDim, long long xStride, long long cosStride, long long sinStride) {
    Place p;
    if (!place<2>(p, x, rows, count, perToken, perHead, headDim, xStride, cosStride, sinStride)) return;
    float *at = p.head + 2 * p.pair;
    const Floats<2> c = load<2>(cos + p.cos + p.pair), s = load<2>(sin + p.sin + p.pair);
    const Floats<4> a = load<4>(at);
    store<4>(at, {{a.v[0] * c.v[0] - a.v[1] * s.v[0], a.v[1] * c.v[0] + a.v[0] * s.v[0], a.v[2] * c.v[1] - a.v[3] * s.v[1],
                    a.v[3] * c.v[1] + a.v[2] * s.v[1]}});
}

// Here a thread turns one feature, so that a warp's accesses have no gaps, and gets the other of the pair from its neighbour.
extern "C" __global__ void __launch_bounds__(256) rope_interleaved(float *x, const float *cos, const float *sin, const int *rows, long long count,
    long long perToken, long long perHead, long long headDim, long long xStride, long long cosStride, long long sinStride) {
    Place p;
    const bool mine = place<1>(p, x, rows, count, perToken, perHead, headDim, xStride, cosStride, sinStride);
    float own = 0.0f, c = 0.0f, s = 0.0f;
    if (mine) {
        own = p.head[p.pair]; // twice as many of these as pairs
        c = cos[p.cos + p.pair / 2];
        s = sin[p.sin + p.pair / 2];
    }
    const float other = __shfl_xor_sync(~0u, own, 1);
    if (mine) p.head[p.pair] = p.pair % 2 ? own * c + other * s : own * c - other * s;
}
