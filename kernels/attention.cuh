// What the attention kernels share: their operands, reading rows of queries,
// keys and values of any storage type, masks, and biases.
#pragma once

// The operands, in the order of attention.go. Strides of f32 operands count
// elements, those of K and V bytes; a null pointer is an absent operand.
#define ATTENTION_PARAMETERS \
    float *out, const float *q, const char *k, const char *v, const int *qStarts, const int *kLens, const int *kStarts, \
    const int *blocks, const float *slopes, const float *keyBias, const int *relIndex, const float *relBias, \
    const float *qRel, const float *kRel, const float *sinks, float *probs, long long heads, long long kvHeads, \
    long long d, long long dv, long long outStride, long long qStride, long long kRow, long long vRow, long long type, \
    long long wide, long long tableColumns, long long blockSize, long long left, long long right, \
    long long keyBiasStride, long long relReach, long long relBiasStride, long long relCount, long long qRelStride, \
    long long kRelStride, long long probsColumns, long long probsStride, double scale, double softCap

#define ATTENTION_OPERANDS \
    Operands { \
        out, q, k, v, qStarts, kLens, kStarts, blocks, slopes, keyBias, relIndex, relBias, qRel, kRel, sinks, probs, \
        (int)heads, (int)kvHeads, (int)(heads / kvHeads), (int)d, (int)dv, outStride, qStride, kRow, vRow, (int)type, \
        (int)wide, (int)tableColumns, (int)blockSize, (int)left, (int)right, keyBiasStride, (int)relReach, \
        relBiasStride, (int)relCount, qRelStride, kRelStride, probsColumns, probsStride, (float)scale, (float)softCap, \
        softCap != 0 || slopes || keyBias || relIndex \
    }

struct Operands {
    float *out;
    const float *q;
    const char *k, *v;
    const int *qStarts, *kLens, *kStarts, *blocks;
    const float *slopes, *keyBias;
    const int *relIndex;
    const float *relBias, *qRel, *kRel, *sinks;
    float *probs;
    int heads, kvHeads, group, d, dv; // group: query heads of a KV head
    long long outStride, qStride, kRow, vRow;
    int type, wide;
    int tableColumns, blockSize, left, right; // left, right < 0: unlimited
    long long keyBiasStride;
    int relReach;
    long long relBiasStride;
    int relCount;
    long long qRelStride, kRelStride, probsColumns, probsStride;
    float scale, softCap;
    bool biased; // more than Scale is done to scores
};

// Threads of a CTA, in every kernel.
constexpr int Threads = 128;

// The storage types of K and V, and what the bits of `wide` say: that four
// elements of a row from a multiple of four on can be read or written at once.
enum Type { F32, F16, BF16, Q80 };
enum Wide { WideQ = 1, WideK = 2, WideV = 4, WideOut = 8 };

constexpr float Infinity = __builtin_huge_valf();
// In place of a probability, of which none is -0: the query does not see the key.
// As a factor it adds nothing, unless the value is NaN or infinite.
constexpr float Unseen = -0.0f;
__device__ __forceinline__ bool unseen(float p) { return __float_as_uint(p) == 0x80000000; }

// harmless is whether Unseen times each of four values is zero.
__device__ __forceinline__ bool harmless(float4 x) {
    return fmaf(x.x, 0, fmaf(x.y, 0, fmaf(x.z, 0, x.w * 0))) == 0;
}

// Sequence is the CTA's, of those laid end to end.
struct Sequence {
    int row, queries, keys; // row: the first of Q
    int position;            // of the first query among the keys

    __device__ __forceinline__ explicit Sequence(const Operands &o)
            : row(o.qStarts[blockIdx.x]), queries(o.qStarts[blockIdx.x + 1] - row), keys(o.kLens[blockIdx.x]),
                position(keys - queries) {}

    // keyRow is the row of K and V that holds key j.
    __device__ __forceinline__ int keyRow(const Operands &o, int j) const {
        if (!o.blocks) return o.kStarts[blockIdx.x] + j;
        const int block = j / o.blockSize;
        return o.blocks[(long long)blockIdx.x * o.tableColumns + block] * o.blockSize + (j - block * o.blockSize);
    }

    // Query i sees the keys first(i) <= j < end(i). Both rise with i; first may
    // exceed end.
    __device__ __forceinline__ int first(const Operands &o, int i) const {
        return o.left < 0 ? 0 : max(0, position + i - o.left);
    }
    __device__ __forceinline__ int end(const Operands &o, int i) const {
        return o.right < 0 ? keys : min(keys, position + i + o.right + 1);
    }
};

// Rows is a matrix of heads: Q, K or V, seen from one head.
struct Rows {
    const char *base;
    long long row;      // bytes
    int first, width;   // elements of the head in a row
    int scales;         // byte of a row where the scales of Q8_0 begin
    int type;
    bool wide;
};

__device__ __forceinline__ float fromF16(unsigned short bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}

// Two elements from the halves of a word.
__device__ __forceinline__ float2 pairOfF16(unsigned bits) {
    float2 x;
    asm("{.reg .b16 lo, hi; mov.b32 {lo, hi}, %2; cvt.f32.f16 %0, lo; cvt.f32.f16 %1, hi;}"
        : "=f"(x.x), "=f"(x.y)
        : "r"(bits));
    return x;
}

__device__ __forceinline__ float2 pairOfBF16(unsigned bits) {
    return make_float2(__uint_as_float(bits << 16), __uint_as_float(bits & 0xffff0000));
}

// The scale of Q8_0's element e: a row holds all its elements, a byte each, then
// the scales of its blocks of 32.
__device__ __forceinline__ float scaleOf(const Rows &m, const char *row, int e) {
    return fromF16(*(const unsigned short *)(row + m.scales + (e >> 5) * 2));
}

__device__ __forceinline__ float load1(const Rows &m, const char *row, int e) {
    switch (m.type) {
        case F32: return *(const float *)(row + 4ll * e);
        case F16: return fromF16(*(const unsigned short *)(row + 2ll * e));
        case BF16: return pairOfBF16(*(const unsigned short *)(row + 2ll * e)).x;
        default: return (float)*(const signed char *)(row + e) * scaleOf(m, row, e);
    }
}

// load reads four elements of each of the rows row[0] … row[Keys-1] at each of
// Steps places: element d + step*by of the head, zeros beyond its width. The rows
// must be wide. All loads of one type stand together, so that they are under way
// at the same time.
template <int Keys, int Steps>
__device__ __forceinline__ void load(float4 (&x)[Keys * Steps], const Rows &m, const int (&row)[Keys], int d, int by) {
    if (m.type == F32) {
#pragma unroll
        for (int key = 0; key < Keys; key++) {
            const float *at = (const float *)(m.base + row[key] * m.row) + m.first + d;
#pragma unroll
            for (int i = 0; i < Steps; i++) {
                float4 &y = x[key * Steps + i];
                y = make_float4(0, 0, 0, 0);
                if (d + i * by < m.width) y = *(const float4 *)(at + i * by);
            }
        }
        return;
    }
    if (m.type == Q80) {
#pragma unroll
        for (int key = 0; key < Keys; key++) {
            const char *at = m.base + row[key] * m.row;
#pragma unroll
            for (int i = 0; i < Steps; i++) {
                char4 b = make_char4(0, 0, 0, 0);
                float f = 0;
                if (d + i * by < m.width) {
                    b = *(const char4 *)(at + m.first + d + i * by);
                    f = scaleOf(m, at, m.first + d + i * by);
                }
                x[key * Steps + i] = make_float4(b.x * f, b.y * f, b.z * f, b.w * f);
            }
        }
        return;
    }
    uint2 b[Keys * Steps];
#pragma unroll
    for (int key = 0; key < Keys; key++) {
        const unsigned short *at = (const unsigned short *)(m.base + row[key] * m.row) + m.first + d;
#pragma unroll
        for (int i = 0; i < Steps; i++) {
            b[key * Steps + i] = make_uint2(0, 0);
            if (d + i * by < m.width) b[key * Steps + i] = *(const uint2 *)(at + i * by);
        }
    }
#pragma unroll
    for (int i = 0; i < Keys * Steps; i++) {
        const float2 lo = m.type == F16 ? pairOfF16(b[i].x) : pairOfBF16(b[i].x);
        const float2 hi = m.type == F16 ? pairOfF16(b[i].y) : pairOfBF16(b[i].y);
        x[i] = make_float4(lo.x, lo.y, hi.x, hi.y);
    }
}

// biased is a product after Scale, SoftCap and the biases: of query i of the
// sequence, head h, with key j.
__device__ __forceinline__ float biased(const Operands &o, const Sequence &s, float product, int i, int h, int j) {
    float x = o.scale * product;
    if (o.softCap != 0) x = o.softCap * tanhf(x / o.softCap);
    const int distance = j - (s.position + i);
    if (o.slopes) x = fmaf(o.slopes[h], (float)distance, x);
    if (o.keyBias) x += o.keyBias[h * o.keyBiasStride + j];
    if (!o.relIndex) return x;
    const int r = o.relIndex[min(max(distance, -o.relReach), o.relReach) + o.relReach];
    if (o.relBias) x += o.relBias[r * o.relBiasStride + h];
    const long long at = (long long)h * o.relCount + r;
    if (o.qRel) x += o.qRel[(s.row + i) * o.qRelStride + at];
    if (o.kRel) x += o.kRel[(o.kStarts[blockIdx.x] + j) * o.kRelStride + at];
    return x;
}

// across is x of the lane whose number differs in the bits Bits; all lanes of the
// warp take part. (The compiler's own intrinsics cost four moves each.)
template <int Bits>
__device__ __forceinline__ float across(float x) {
    float y;
    asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 31, 0xffffffff;" : "=f"(y) : "f"(x), "n"(Bits));
    return y;
}

// ofLane is x of a lane.
__device__ __forceinline__ float ofLane(float x, int lane) {
    float y;
    asm volatile("shfl.sync.idx.b32 %0, %1, %2, 31, 0xffffffff;" : "=f"(y) : "f"(x), "r"(lane));
    return y;
}
__device__ __forceinline__ int ofLane(int x, int lane) {
    int y;
    asm volatile("shfl.sync.idx.b32 %0, %1, %2, 31, 0xffffffff;" : "=r"(y) : "r"(x), "r"(lane));
    return y;
}

// base is the reference point of exponentials for a largest score m: m, but 0
// while no key was seen.
__device__ __forceinline__ float base(float m) { return m == -Infinity ? 0 : m; }

// storeWide writes 16 bytes at once, which the compiler is free not to do.
__device__ __forceinline__ void storeWide(float *to, float4 x) {
    asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)), "f"(x.x), "f"(x.y), "f"(x.z),
                 "f"(x.w)
                 : "memory");
}

__device__ __forceinline__ Rows keysOf(const Operands &o, int kv) {
    return Rows{o.k, o.kRow, kv * o.d, o.d, o.kvHeads * o.d, o.type, (o.wide & WideK) != 0};
}

__device__ __forceinline__ Rows valuesOf(const Operands &o, int kv) {
    return Rows{o.v, o.vRow, kv * o.dv, o.dv, o.kvHeads * o.dv, o.type, (o.wide & WideV) != 0};
}
