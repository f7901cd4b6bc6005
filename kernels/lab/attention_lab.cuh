// What the steps of attention share: their operands, and where a row finds its
// keys. They take plain attention: contiguous f32 keys, windows, grouped heads.
#pragma once

#define LAB_PARAMETERS \
    float *out, const float *q, const float *k, const float *v, const int *qStarts, const int *kLens, const int *kStarts, \
    long long sequences, long long heads, long long kvHeads, long long d, long long dv, long long outStride, \
    long long qStride, long long kStride, long long vStride, long long left, long long right, double scale

constexpr float Infinity = __builtin_huge_valf();

// Sequence n: queries and keys, and what query i sees of the keys.
struct Sequence {
    int row, queries, keys, kStart, left, right;

    __device__ Sequence(const int *qStarts, const int *kLens, const int *kStarts, int n, long long left, long long right)
        : row(qStarts[n]), queries(qStarts[n + 1] - row), keys(kLens[n]), kStart(kStarts[n]), left((int)left),
          right((int)right) {}

    __device__ int first(int i) const { return left < 0 ? 0 : max(0, keys - queries + i - left); }
    __device__ int end(int i) const { return right < 0 ? keys : min(keys, keys - queries + i + right + 1); }
};
