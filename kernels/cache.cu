// The paged cache: rows of its type in the order of slots. StoreKV converts and
// writes rows, CopyBlocks copies blocks; attention.cuh reads rows.
//
// A row of Q8_0 is all of its elements, a byte each, and then the scales of its
// blocks of 32 in binary16: so elements lie where several can be read at once.

constexpr int Threads = 128;

enum Type { F32, F16, BF16, Q80 }; // as in attention.cuh

__device__ __forceinline__ unsigned toF16(float x) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

// toBF16 rounds to nearest, ties to even; a NaN stays one.
__device__ __forceinline__ unsigned toBF16(float x) {
    const unsigned bits = __float_as_uint(x);
    if ((bits & 0x7fffffff) > 0x7f800000) return bits >> 16 | 0x40;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

// storeQ80 encodes a block of 32, an element a lane: d = max|x|/127 in binary16
// and x/d rounded half away from zero, d not yet rounded. A block that has a NaN
// or an infinity, or whose d binary16 cannot hold, becomes NaN as a whole.
__device__ __forceinline__ void storeQ80(char *to, float x, int e, int columns) {
    unsigned peak = __float_as_uint(x) & 0x7fffffff; // of a NaN above that of infinity
#pragma unroll
    for (int other = 16; other > 0; other /= 2) peak = max(peak, __shfl_xor_sync(~0u, peak, other));
    const float d = __fdiv_rn(__uint_as_float(peak), 127), inverse = __fdiv_rn(1, d);
    const bool holds = d <= 65504; // not so for NaN
    float q = 0;
    if (holds && inverse <= 3.402823466e38f) { // 1/d of a d near zero is infinite
        const float y = __fmul_rn(x, inverse);
        q = truncf(y);
        if (fabsf(y - q) >= 0.5f) q += copysignf(1, y);
    }
    to[e] = (char)(int)q;
    if (e % 32 == 0) *(unsigned short *)(to + columns + e / 32 * 2) = holds ? toF16(d) : 0x7e00;
}

// store_kv: a thread for each four elements of K and V of a token, or for each
// element where rows are not wide. Strides of K and V count elements, rows of the
// cache bytes.
extern "C" __global__ void __launch_bounds__(Threads)
        store_kv(const float *k, const float *v, char *cacheK, char *cacheV, const int *slots, long long tokens,
                 long long kColumns, long long vColumns, long long kStride, long long vStride, long long kRow, long long vRow,
                 long long type, long long wide) {
    const int width = wide ? 4 : 1, ofK = (int)kColumns / width, perToken = ofK + (int)vColumns / width;
    const int i = blockIdx.x * Threads + threadIdx.x, token = i / perToken, part = i - token * perToken;
    // Warps are whole where a block of Q8_0 is one's.
    if (token >= tokens) return;
    const int slot = slots[token];
    if (slot < 0) return;
    const bool isK = part < ofK;
    const int e = (isK ? part : part - ofK) * width, columns = (int)(isK ? kColumns : vColumns);
    const float *from = (isK ? k + token * kStride : v + token * vStride) + e;
    char *to = isK ? cacheK + slot * kRow : cacheV + slot * vRow;
    if (type == Q80) {
        storeQ80(to, *from, e, columns);
    } else if (wide) {
        const float4 x = *(const float4 *)from;
        if (type == F32)
            *(float4 *)(to + 4ll * e) = x;
        else if (type == F16)
            *(uint2 *)(to + 2ll * e) = make_uint2(toF16(x.x) | toF16(x.y) << 16, toF16(x.z) | toF16(x.w) << 16);
        else
            *(uint2 *)(to + 2ll * e) = make_uint2(toBF16(x.x) | toBF16(x.y) << 16, toBF16(x.z) | toBF16(x.w) << 16);
    } else if (type == F32) {
        *(float *)(to + 4ll * e) = *from;
    } else {
        *(unsigned short *)(to + 2ll * e) = type == F16 ? toF16(*from) : toBF16(*from);
    }
}

template <typename T>
__device__ __forceinline__ void copyBlock(const char *cache, const int *src, const int *dst, long long bytes) {
    const long long n = bytes / sizeof(T), step = (long long)gridDim.y * Threads;
    const T *from = (const T *)(cache + src[blockIdx.x] * bytes);
    T *to = (T *)(cache + dst[blockIdx.x] * bytes);
#pragma unroll 4
    for (long long i = (long long)blockIdx.y * Threads + threadIdx.x; i < n; i += step) to[i] = from[i];
}

// copy_blocks_16 copies block src[x] to dst[x], 16 bytes at a time.
extern "C" __global__ void __launch_bounds__(Threads)
        copy_blocks_16(const char *cache, const int *src, const int *dst, long long bytes) {
    copyBlock<uint4>(cache, src, dst, bytes);
}

// copy_blocks_2 is copy_blocks_16 for blocks that do not lie on 16 bytes.
extern "C" __global__ void __launch_bounds__(Threads)
        copy_blocks_2(const char *cache, const int *src, const int *dst, long long bytes) {
    copyBlock<unsigned short>(cache, src, dst, bytes);
}
