// The K largest of each row, descending, ties to the lower id, NaN last; softmax over the row or over the K; log Σ exp of the row; and
// elements at given ids. A warp keeps a short row in registers; a CTA reads a long one twice, and once more a digit where many are equal.
#include <cuda_runtime.h>

#include "vector.cuh"

enum Norm { Raw, SoftmaxAll, SoftmaxTop };

typedef unsigned long long Rank; // an element's value, made an integer, over the complement of its id: all differ, larger comes first

// ordered is an integer that grows with x: 0 for NaN, the same for either zero.
__device__ __forceinline__ unsigned ordered(float x) {
    if (x != x) return 0;
    const unsigned bits = __float_as_uint(x == 0.0f ? 0.0f : x);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

// value is the float that ordered makes o of.
__device__ __forceinline__ float value(unsigned o) { return __uint_as_float(o >> 31 ? o & 0x7fffffffu : ~o); }

__device__ __forceinline__ Rank rank(float x, unsigned id) { return (Rank)ordered(x) << 32 | ~id; }
__device__ __forceinline__ unsigned id(Rank r) { return ~(unsigned)r; }

__device__ __forceinline__ Rank warpLargest(Rank r) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        const Rank other = __shfl_xor_sync(~0u, r, distance);
        if (other > r) r = other;
    }
    return r;
}

__device__ __forceinline__ float warpSum(float s) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) s += __shfl_xor_sync(~0u, s, distance);
    return s;
}

// term is an element's share of Σ exp(x - largest). Where the largest is infinite the sum is that of one element, whatever the
// others are; a NaN makes it NaN.
__device__ __forceinline__ float term(float x, float largest) {
    if (isinf(largest)) return x != x ? x : 0.0f;
    return expf(x - largest);
}
__device__ __forceinline__ float finished(float sum, float largest) { return isinf(largest) ? sum + 1.0f : sum; }

extern "C" __global__ void __launch_bounds__(256) topk_warp(float *values, int *ids, const float *x, float *lse, const int *also, float *alsoValue,
    long long rows, long long n, long long k, long long m, long long norm, long long valuesStride, long long xStride, long long lseStride,
    long long alsoStride, long long alsoValueStride) {
    constexpr int each = 8; // elements of a lane: rows of at most 256
    const unsigned row = blockIdx.x * 8 + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    x += row * xStride;
    Rank held[each];
    float own[each];
    Rank best = 0;
#pragma unroll
    for (int j = 0; j < each; j++) {
        const unsigned at = 32 * j + lane;
        held[j] = 0; // below every element
        if (at < n) {
            own[j] = x[at];
            held[j] = rank(own[j], at);
            if (held[j] > best) best = held[j];
        }
    }
    const float largest = value(warpLargest(best) >> 32);
    float sum = 1.0f;
    if (norm == SoftmaxAll || lse) {
        sum = 0.0f;
#pragma unroll
        for (int j = 0; j < each; j++)
            if (32 * j + lane < n) sum += term(own[j], largest);
        sum = finished(warpSum(sum), largest);
        if (lse && lane == 0) lse[row * lseStride] = largest + logf(sum);
    }
    Rank mine = 0; // lane i keeps the i-th, with the bits of its value, which a rank has lost of -0 and of NaN
    float v = 0.0f;
    for (int i = 0; i < k; i++) {
        best = 0;
#pragma unroll
        for (int j = 0; j < each; j++)
            if (held[j] > best) best = held[j];
        best = warpLargest(best);
        float given = 0.0f;
#pragma unroll
        for (int j = 0; j < each; j++) {
            if (held[j] == best) {
                held[j] = 0;
                given = own[j];
            }
        }
        given = __shfl_sync(~0u, given, id(best) % 32);
        if (lane == i) {
            mine = best;
            v = given;
        }
    }
    if (norm != Raw) {
        v = lane < k ? expf(v - largest) : 0.0f;
        if (norm == SoftmaxTop) sum = warpSum(v);
        v /= sum;
    }
    if (lane < k) {
        values[row * valuesStride + lane] = v;
        ids[row * k + lane] = id(mine);
    }
    for (unsigned i = lane; i < m; i += 32) {
        const int at = also[row * alsoStride + i];
        if (at >= 0) alsoValue[row * alsoValueStride + i] = x[at];
    }
}

// How topk_cta works: the largest element of each thread's share bounds the K-th of the row from below, as K shares have one above
// it (K ≤ threads). The elements above the bound are few; they are collected and sorted. Where they are not few (many equal, or all
// of the large ones in few shares), their ranks are searched digit by digit, until what remains fits.
constexpr int threads = 1024, room = 4096;

struct Scratch {
    unsigned histogram[256];
    float partial[threads / 32];
    unsigned count, digit;
    Rank found[room]; // last: what is one too far is out of bounds
};

// each calls f(x, id) for all elements of the thread's share of a row, with so many loads in flight. All lanes of a warp come back
// from it together.
template <int Loads, typename F> __device__ __forceinline__ void each(const float *x, int n, bool vector, F f) {
    if (vector) {
#pragma unroll Loads
        for (int at = 4 * threadIdx.x; at < n; at += 4 * threads) {
            const Floats<4> v = load<4>(x + at);
#pragma unroll
            for (int j = 0; j < 4; j++) f(v.v[j], at + j);
        }
    } else {
#pragma unroll 1
        for (int at = threadIdx.x; at < n; at += threads) f(x[at], at);
    }
    __syncwarp();
}

// sum is over the CTA, in an order of its own. There is a barrier between two calls.
__device__ __forceinline__ float sum(float v, Scratch &s) {
    v = warpSum(v);
    if (threadIdx.x % 32 == 0) s.partial[threadIdx.x / 32] = v;
    __syncthreads();
    return warpSum(s.partial[threadIdx.x % 32]);
}

// bound is the upper 20 bits of the k-th largest of the threads' numbers, by bisection; 0, no bound, where k is more than threads.
__device__ __forceinline__ unsigned bound(unsigned mine, int k) {
    unsigned b = 0;
    for (int bit = 31; bit >= 12; bit--) {
        const unsigned trial = b | 1u << bit;
        if (__syncthreads_count(mine >= trial) >= k) b = trial;
    }
    return b;
}

// searched is a rank with at least k and at most room elements not below it, by a histogram a digit of eight bits.
__device__ __forceinline__ Rank searched(const float *x, int n, bool vector, int k, Scratch &s) {
    Rank prefix = 0, mask = 0;
    unsigned above = 0; // elements beyond the prefix
    for (int shift = 56;; shift -= 8) {
        if (threadIdx.x < 256) s.histogram[threadIdx.x] = 0;
        __syncthreads();
        each<1>(x, n, vector, [&](float v, unsigned at) {
            const Rank r = rank(v, at);
            if ((r & mask) == prefix) atomicAdd(&s.histogram[r >> shift & 255], 1u);
        });
        __syncthreads();
        // histogram[d] becomes the number of elements of digit d or more.
        for (int distance = 1; distance < 256; distance *= 2) {
            unsigned more = 0;
            if (threadIdx.x + distance < 256) more = s.histogram[threadIdx.x + distance];
            __syncthreads();
            if (threadIdx.x < 256) s.histogram[threadIdx.x] += more;
            __syncthreads();
        }
        if (threadIdx.x < 256 && above + s.histogram[threadIdx.x] >= k && (threadIdx.x == 255 || above + s.histogram[threadIdx.x + 1] < k))
            s.digit = threadIdx.x;
        __syncthreads();
        const unsigned digit = s.digit, reached = above + s.histogram[digit];
        if (digit < 255) above += s.histogram[digit + 1];
        prefix |= (Rank)digit << shift;
        mask |= (Rank)255 << shift;
        if (reached <= room || shift == 0) return prefix;
        __syncthreads();
    }
}

// collect puts the ranks that are not below a limit into s.found, in any order; s.count says how many there are, more than room too.
// It is the thread's share of the sum, if that is wanted, as the elements pass by.
__device__ __forceinline__ float collect(const float *x, int n, bool vector, Rank limit, bool summed, float largest, Scratch &s) {
    if (threadIdx.x == 0) s.count = 0;
    __syncthreads();
    float share = 0.0f;
    each<2>(x, n, vector, [&](float v, unsigned at) {
        if (summed) share += term(v, largest);
        const Rank r = rank(v, at);
        if (r < limit) return;
        const unsigned place = atomicAdd(&s.count, 1u);
        if (place < room) s.found[place] = r;
    });
    __syncthreads();
    return share;
}

// sort puts s.found into descending order, its rest filled with 0: bitonic (Batcher, 1968).
__device__ __forceinline__ void sort(Scratch &s) {
    unsigned size = 1;
    while (size < s.count) size *= 2;
    for (unsigned i = s.count + threadIdx.x; i < size; i += threads) s.found[i] = 0;
    for (unsigned run = 2; run <= size; run *= 2) {
        for (unsigned distance = run / 2; distance > 0; distance /= 2) {
            __syncthreads();
#pragma unroll 1
            for (unsigned i = threadIdx.x; i < size / 2; i += threads) {
                const unsigned a = 2 * i - (i & (distance - 1)), b = a + distance;
                const Rank p = s.found[a], q = s.found[b];
                if ((p < q) == ((a & run) == 0)) {
                    s.found[a] = q;
                    s.found[b] = p;
                }
            }
        }
    }
    __syncthreads();
}

extern "C" __global__ void __launch_bounds__(1024) topk_cta(float *values, int *ids, const float *x, float *lse, const int *also, float *alsoValue,
    long long rows, long long n, long long k, long long m, long long norm, long long valuesStride, long long xStride, long long lseStride,
    long long alsoStride, long long alsoValueStride) {
    __shared__ Scratch s;
    const unsigned row = blockIdx.x, t = threadIdx.x;
    x += row * xStride;
    const bool vector = n % 4 == 0 && (unsigned long long)x % 16 == 0;

    unsigned mine = 0;
    each<4>(x, n, vector, [&](float v, unsigned) {
        const unsigned o = ordered(v);
        if (o > mine) mine = o;
    });
    // The first 32 places take the largest of each warp.
    unsigned top = mine;
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        const unsigned other = __shfl_xor_sync(~0u, top, distance);
        if (other > top) top = other;
    }
    if (t % 32 == 0) s.histogram[t / 32] = top;
    __syncthreads();
    top = s.histogram[t % 32];
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        const unsigned other = __shfl_xor_sync(~0u, top, distance);
        if (other > top) top = other;
    }
    const float largest = value(top);

    const bool summed = norm == SoftmaxAll || lse;
    float total;
    Rank limit = (Rank)bound(mine, k) << 32;
    for (;;) { // twice at most
        total = collect(x, n, vector, limit, summed, largest, s);
        if (s.count <= room) break;
        limit = searched(x, n, vector, k, s);
    }
    if (summed) total = finished(sum(total, s), largest);
    if (lse && t == 0) lse[row * lseStride] = largest + logf(total);
    sort(s);

    if (norm == SoftmaxTop) {
        total = 0.0f;
        for (unsigned i = t; i < k; i += threads) total += expf(value(s.found[i] >> 32) - largest);
        total = sum(total, s);
    }
    for (unsigned i = t; i < k; i += threads) {
        const unsigned at = id(s.found[i]);
        const float v = x[at];
        values[row * valuesStride + i] = norm == Raw ? v : expf(v - largest) / total;
        ids[row * k + i] = at;
    }
    for (unsigned i = t; i < m; i += threads) {
        const int at = also[row * alsoStride + i];
        if (at >= 0) alsoValue[row * alsoValueStride + i] = x[at];
    }
}
