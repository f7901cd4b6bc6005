// Attention in tiles: a CTA holds 64 rows, the queries of one sequence with the
// heads of one KV head, and passes over the keys 64 at a time (Dao et al., 2022).
// Sequences of few rows go the way of attention_few.cuh.
#include "attention_few.cuh"

constexpr int TileRows = 64, TileKeys = 64;
constexpr int Chunk = 32; // features of Q and K that are multiplied at a time

// A thread has the rows ty, ty+8 … ty+56 of the tile, of its scores the keys tx,
// tx+16, tx+32 and tx+48, and of Out the columns tx·4 … tx·4+3, plus multiples
// of 64. So a warp has two rows and sixteen keys at a time.
constexpr int Rs = 8, Ks = 4, Lanes = 16;

// Tile is the shared memory of heads of at most 64·N features: by turns a chunk
// of Q and K, or some keys of P and V. Q is read again with every tile of keys,
// from a cache: so three CTAs find room on every SM.
template <int N>
struct Tile {
    static constexpr int VKeys = N == 1 ? 32 : 16; // keys of P and V at a time
    static constexpr int QFloats = TileRows * Chunk, KFloats = TileKeys * Chunk;
    static constexpr int PFloats = TileRows * VKeys, VFloats = VKeys * 64 * N;
    static constexpr int Floats = QFloats + KFloats > PFloats + VFloats ? QFloats + KFloats : PFloats + VFloats;
    static_assert(Floats >= Threads * Rs * Ks / 2, "scores are biased by way of this memory");
};

// Rows of Q and K are stored in groups of four, group g of row r at g^(r%8):
// then groups of eight rows fall into different banks.
__device__ __forceinline__ int swizzled(int row, int group) { return (group ^ (row & 7)) * 4; }

// A row of P has VKeys keys; of 32, the halves are swapped in every other row, as
// a warp has two rows at a time.
template <int VKeys>
__device__ __forceinline__ int ofP(int row, int key) {
    return row * VKeys + (VKeys == 32 ? key ^ (row & 1) * 16 : key);
}

// fill copies 64 rows × 32 features from feature d on to shared memory; rowOf[i]
// is the i-th row.
__device__ __forceinline__ void fill(float *to, const Rows &m, const int *rowOf, int d) {
    if (m.wide) {
        const int part = threadIdx.x % 8, first = threadIdx.x / 8;
        float4 x[4];
        int row[4];
#pragma unroll
        for (int i = 0; i < 4; i++) row[i] = rowOf[first + 16 * i];
        load<4, 1>(x, m, row, d + part * 4, 0);
#pragma unroll
        for (int i = 0; i < 4; i++)
            *(float4 *)(to + (first + 16 * i) * Chunk + swizzled(first, part)) = x[i];
        return;
    }
    const int feature = threadIdx.x % 32, first = threadIdx.x / 32;
#pragma unroll 1
    for (int i = first; i < 64; i += Threads / 32) {
        float x = 0;
        if (d + feature < m.width) x = load1(m, m.base + rowOf[i] * m.row, m.first + d + feature);
        to[i * Chunk + swizzled(i, feature / 4) + feature % 4] = x;
    }
}

// fillQ is fill for rows of a tile, each of a query and a head.
__device__ __forceinline__ void fillQ(float *to, const Operands &o, const Sequence &s, const int *query,
                                      const int *head, int d) {
    if (o.wide & WideQ) {
        const int part = threadIdx.x % 8, first = threadIdx.x / 8;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int r = first + 16 * i;
            float4 x = make_float4(0, 0, 0, 0);
            if (d + part * 4 < o.d)
                x = *(const float4 *)(o.q + (s.row + query[r]) * o.qStride + (long long)head[r] * o.d + d + part * 4);
            *(float4 *)(to + r * Chunk + swizzled(r, part)) = x;
        }
        return;
    }
    const int feature = threadIdx.x % 32;
#pragma unroll 1
    for (int r = threadIdx.x / 32; r < TileRows; r += Threads / 32) {
        float x = 0;
        if (d + feature < o.d) x = o.q[(s.row + query[r]) * o.qStride + (long long)head[r] * o.d + d + feature];
        to[r * Chunk + swizzled(r, feature / 4) + feature % 4] = x;
    }
}

// fillV copies VKeys keys of 64·N features of V. It returns whether one of the
// elements is NaN or infinite, if that matters.
template <int N>
__device__ __forceinline__ bool fillV(float *to, const Rows &m, const int *rowOf, bool matters) {
    bool harm = false;
    if (m.wide) {
        constexpr int Lane = 16 * N, Step = Threads / Lane; // threads a key, keys at once
        const int column = threadIdx.x % Lane * 4, first = threadIdx.x / Lane;
#pragma unroll 1
        for (int i = first; i < Tile<N>::VKeys; i += 4 * Step) {
            float4 x[4];
            int row[4];
#pragma unroll
            for (int c = 0; c < 4; c++) row[c] = rowOf[i + c * Step];
            load<4, 1>(x, m, row, column, 0);
#pragma unroll
            for (int c = 0; c < 4; c++) *(float4 *)(to + (i + c * Step) * 64 * N + column) = x[c];
            if (matters) harm |= !harmless(x[0]) || !harmless(x[1]) || !harmless(x[2]) || !harmless(x[3]);
        }
        return harm;
    }
#pragma unroll 1
    for (int e = threadIdx.x; e < Tile<N>::VFloats; e += Threads) {
        const int row = rowOf[e / (64 * N)], column = e % (64 * N);
        const float x = column < m.width ? load1(m, m.base + row * m.row, m.first + column) : 0;
        to[e] = x;
        harm |= !(x * 0 == 0);
    }
    return harm;
}

// multiply adds the products of `groups` groups of four features.
__device__ __forceinline__ void multiply(float (&score)[Rs][Ks], const float *q, const float *k, int groups) {
    const int tx = threadIdx.x % Lanes, ty = threadIdx.x / Lanes;
#pragma unroll 1
    for (int g = 0; g < groups; g++) {
        const float *qAt = q + ty * Chunk + swizzled(ty, g), *kAt = k + tx * Chunk + swizzled(tx, g);
        float4 b[Ks];
#pragma unroll
        for (int c = 0; c < Ks; c++) b[c] = ((const float4 *)kAt)[16 * c * (Chunk / 4)];
#pragma unroll
        for (int r = 0; r < Rs; r++) {
            const float4 a = *(const float4 *)(qAt + 8 * r * Chunk);
#pragma unroll
            for (int c = 0; c < Ks; c++) score[r][c] = dot(a, b[c], score[r][c]);
        }
    }
}

template <int>
struct Vector;
template <>
struct Vector<2> {
    using type = float2;
};
template <>
struct Vector<4> {
    using type = float4;
};

// weigh adds the values of VKeys keys. With Careful those of keys that a row does
// not see are skipped, as they may be NaN.
template <int N, bool Careful>
__device__ __forceinline__ void weigh(float4 (&out)[Rs][N], const float *p, const float *v) {
    constexpr int VKeys = Tile<N>::VKeys;
    const int tx = threadIdx.x % Lanes, ty = threadIdx.x / Lanes;
    if constexpr (Careful) {
#pragma unroll 1
        for (int key = 0; key < VKeys; key++) {
            float4 x[N];
#pragma unroll
            for (int c = 0; c < N; c++) x[c] = *(const float4 *)(v + key * 64 * N + c * 64 + tx * 4);
#pragma unroll
            for (int r = 0; r < Rs; r++) {
                const float a = p[ofP<VKeys>(ty, key) + 8 * r * VKeys];
                if (unseen(a)) continue;
#pragma unroll
                for (int c = 0; c < N; c++) axpy(a, x[c], out[r][c]);
            }
        }
    } else {
        constexpr int Keys = N == 4 ? 2 : 4; // at a time, as registers allow
        using Weights = typename Vector<Keys>::type;
#pragma unroll 1
        for (int key = 0; key < VKeys; key += Keys) {
            Weights a[Rs];
#pragma unroll
            for (int r = 0; r < Rs; r++) a[r] = *(const Weights *)(p + ofP<VKeys>(ty, key) + 8 * r * VKeys);
#pragma unroll
            for (int i = 0; i < Keys; i++) {
#pragma unroll
                for (int c = 0; c < N; c++) {
                    const float4 x = *(const float4 *)(v + (key + i) * 64 * N + c * 64 + tx * 4);
#pragma unroll
                    for (int r = 0; r < Rs; r++) axpy(((const float *)&a[r])[i], x, out[r][c]);
                }
            }
        }
    }
}

// Reductions over the sixteen threads of a row.
__device__ __forceinline__ float rowMax(float x) {
    x = fmaxf(x, across<8>(x)), x = fmaxf(x, across<4>(x)), x = fmaxf(x, across<2>(x));
    return fmaxf(x, across<1>(x));
}

__device__ __forceinline__ float rowSum(float x) {
    x += across<8>(x), x += across<4>(x), x += across<2>(x);
    return x + across<1>(x);
}

// addBiases turns products into scores, four rows of a thread at a time, by way
// of shared memory that only this thread uses: registers cannot be indexed.
__device__ __forceinline__ void addBiases(float (&score)[Rs][Ks], const Operands &o, const Sequence &s, const int *query,
                                          const int *head, int key, float *shared) {
    const int tx = threadIdx.x % Lanes, ty = threadIdx.x / Lanes;
    constexpr int Rows = Rs / 2;
    float *mine = shared + threadIdx.x;
#pragma unroll 1
    for (int half = 0; half < Rs; half += Rows) {
#pragma unroll
        for (int e = 0; e < Rows * Ks; e++) {
            mine[e * Threads] = score[e / Ks][e % Ks];
            score[e / Ks][e % Ks] = score[e / Ks + Rows][e % Ks];
        }
#pragma unroll 1
        for (int e = 0; e < Rows * Ks; e++) {
            const int r = ty + 8 * (half + e / Ks), j = key + tx + 16 * (e % Ks), i = query[r];
            float &x = mine[e * Threads];
            if (j >= s.first(o, i) && j < s.end(o, i)) x = biased(o, s, x, i, head[r], j);
        }
#pragma unroll
        for (int e = 0; e < Rows * Ks; e++) score[e / Ks + Rows][e % Ks] = mine[e * Threads];
    }
}

// TileState is a thread's part of the softmax of its rows. Of the sixteen threads
// that share rows, the r-th holds the largest score m and the sum of exponentials
// l of the r-th of them.
template <int N>
struct TileState {
    float m, l;
    float4 out[Rs][N];
};

// ofRow is x of the thread that holds what belongs to row r of this one's.
__device__ __forceinline__ float ofRow(float x, int r) { return ofLane(x, threadIdx.x % 32 / Lanes * Lanes + r); }

// TileIndex is, in shared memory, which row of K each key of the tile is, that of
// another key in place of those that no row sees, and which query and head each
// row is.
struct TileIndex {
    int key[TileKeys], query[TileRows], head[TileRows];
};

// scores computes those of the tile's rows with the keys key … key+63.
template <int N>
__device__ __forceinline__ void scores(float (&score)[Rs][Ks], const Operands &o, const Sequence &s, int kv, int key,
                                       const TileIndex &index, float *shared) {
    float *q = shared, *k = shared + Tile<N>::QFloats;
#pragma unroll
    for (int r = 0; r < Rs; r++)
#pragma unroll
        for (int c = 0; c < Ks; c++) score[r][c] = 0;
#pragma unroll 1
    for (int d = 0; d < o.d; d += Chunk) {
        if (d > 0) __syncthreads(); // the last chunk is used up
        fill(k, keysOf(o, kv), index.key, d);
        fillQ(q, o, s, index.query, index.head, d);
        __syncthreads();
        multiply(score, q, k, min(Chunk, o.d - d + 3) / 4);
    }
    __syncthreads();
    if (o.biased) {
        addBiases(score, o, s, index.query, index.head, key, shared);
        __syncthreads();
        return;
    }
#pragma unroll
    for (int r = 0; r < Rs; r++)
#pragma unroll
        for (int c = 0; c < Ks; c++) score[r][c] *= o.scale;
}

// seenBy says which of the thread's scores count: bit r·Ks+c.
__device__ __forceinline__ unsigned seenBy(const Operands &o, const Sequence &s, int key, const int *query) {
    const int tx = threadIdx.x % Lanes, ty = threadIdx.x / Lanes;
    unsigned seen = 0;
#pragma unroll 1
    for (int r = Rs - 1; r >= 0; r--) {
        const int i = query[ty + 8 * r], lo = s.first(o, i) - key - tx, hi = s.end(o, i) - key - tx;
        seen <<= Ks;
#pragma unroll
        for (int c = 0; c < Ks; c++)
            if (16 * c >= lo && 16 * c < hi) seen |= 1u << c;
    }
    return seen;
}

// addTile weighs the values of a tile by score, which is used up, by
// way of shared memory, VKeys keys at a time.
template <int N>
__device__ __forceinline__ void addTile(float4 (&out)[Rs][N], float (&score)[Rs][Ks], const Operands &o, int kv,
                                        const TileIndex &index, bool edge, float *shared) {
    constexpr int VKeys = Tile<N>::VKeys, Here = VKeys / 16;
    float *p = shared, *v = p + Tile<N>::PFloats;
    const int tx = threadIdx.x % Lanes, ty = threadIdx.x / Lanes;
#pragma unroll 1
    for (int part = 0; part < TileKeys; part += VKeys) {
        if (part > 0) __syncthreads(); // the last part is used up
#pragma unroll
        for (int r = 0; r < Rs; r++) {
#pragma unroll
            for (int c = 0; c < Here; c++) p[ofP<VKeys>(ty, tx + 16 * c) + 8 * r * VKeys] = score[r][c];
#pragma unroll
            for (int c = 0; c + Here < Ks; c++) score[r][c] = score[r][c + Here]; // registers cannot be indexed
        }
        const bool harm = fillV<N>(v, valuesOf(o, kv), index.key + part, edge);
        if (__syncthreads_or(edge && harm)) {
            weigh<N, true>(out, p, v);
        } else {
            weigh<N, false>(out, p, v);
        }
    }
}

// takeTile takes a tile's scores into m and l, and turns them into numerators of
// probabilities.
template <int N>
__device__ __forceinline__ void takeTile(TileState<N> &t, float (&score)[Rs][Ks], unsigned seen) {
#pragma unroll
    for (int r = 0; r < Rs; r++) {
        float m = -Infinity, sum = 0;
#pragma unroll
        for (int c = 0; c < Ks; c++)
            if (seen >> (r * Ks + c) & 1) m = fmaxf(m, score[r][c]);
        const float before = ofRow(t.m, r);
        m = fmaxf(before, rowMax(m));
        const float shrink = expf(before - base(m));
#pragma unroll
        for (int c = 0; c < Ks; c++) {
            const float e = expf(score[r][c] - base(m));
            const bool counts = seen >> (r * Ks + c) & 1;
            sum += counts ? e : 0;
            score[r][c] = counts ? e : Unseen;
        }
        sum = rowSum(sum);
        if (threadIdx.x % Lanes == r) t.m = m, t.l = fmaf(t.l, shrink, sum);
#pragma unroll
        for (int c = 0; c < N; c++) {
            float4 &x = t.out[r][c];
            x.x *= shrink, x.y *= shrink, x.z *= shrink, x.w *= shrink;
        }
    }
}

// finish adds the sinks to the sums. It leaves the reference point of the
// exponentials in m, the reciprocal of their sum in l, and returns by what the
// former sums shrink.
template <int N>
__device__ __forceinline__ float finish(TileState<N> &t, const Operands &o, const int *head) {
    const int r = threadIdx.x % Lanes % Rs;
    const float sink = o.sinks ? o.sinks[head[threadIdx.x / Lanes + 8 * r]] : -Infinity;
    const float m = base(fmaxf(t.m, sink)), shrink = expf(t.m - m);
    t.m = m, t.l = 1 / fmaf(t.l, shrink, expf(sink - m));
    return shrink;
}

// writeProbs makes a tile's scores probabilities and writes those that count.
template <int N>
__device__ __forceinline__ void writeProbs(const TileState<N> &t, float (&score)[Rs][Ks], unsigned seen, const Operands &o,
                                           const Sequence &s, int key, const TileIndex &index, int rows) {
    const int tx = threadIdx.x % Lanes, ty = threadIdx.x / Lanes;
#pragma unroll
    for (int r = 0; r < Rs; r++) {
        const int row = ty + 8 * r;
        const float m = ofRow(t.m, r), l = ofRow(t.l, r);
        float *to = o.probs + (s.row + index.query[row]) * o.probsStride + index.head[row] * o.probsColumns + key + tx;
#pragma unroll
        for (int c = 0; c < Ks; c++) {
            const float e = expf(score[r][c] - m) * l;
            const bool counts = seen >> (r * Ks + c) & 1;
            if (counts && row < rows) to[16 * c] = e;
            score[r][c] = counts ? e : Unseen;
        }
    }
}

// writeOut writes the rows of the tile, each times the factor that its lane
// holds. A row that sees no key is zeros.
template <int N>
__device__ __forceinline__ void writeOut(TileState<N> &t, float factor, const Operands &o, const Sequence &s,
                                         const TileIndex &index, int rows) {
    const int tx = threadIdx.x % Lanes, ty = threadIdx.x / Lanes;
#pragma unroll 1
    for (int r = 0; r < Rs; r++) {
        const int row = ty + 8 * r, i = index.query[row];
        const float f = ofRow(factor, r);
        const bool blind = s.first(o, i) >= s.end(o, i);
        float *to = o.out + (s.row + i) * o.outStride + (long long)index.head[row] * o.dv + tx * 4;
#pragma unroll
        for (int c = 0; c < N; c++) {
            float4 x = t.out[0][c];
            x.x *= f, x.y *= f, x.z *= f, x.w *= f;
            if (blind) x = make_float4(0, 0, 0, 0);
            const int left = row < rows ? o.dv - 64 * c - tx * 4 : 0; // columns from here on
            if (o.wide & WideOut) {
                if (left > 0) storeWide(to + 64 * c, x);
            } else {
                if (left > 0) to[64 * c] = x.x;
                if (left > 1) to[64 * c + 1] = x.y;
                if (left > 2) to[64 * c + 2] = x.z;
                if (left > 3) to[64 * c + 3] = x.w;
            }
#pragma unroll
            for (int next = 0; next + 1 < Rs; next++) t.out[next][c] = t.out[next + 1][c]; // registers cannot be indexed
        }
    }
}

// tile computes up to 64 rows from row first on: row m is query m/group, head
// m%group of the group. For Probs it passes over the keys twice, as a probability
// is known when all scores have been seen.
template <int N>
__device__ __forceinline__ void tile(const Operands &o, const Sequence &s, int kv, int first, int rows, TileIndex &index,
                                     float *shared) {
    if (threadIdx.x < TileRows) {
        const int m = first + min((int)threadIdx.x, rows - 1);
        index.query[threadIdx.x] = m / o.group;
        index.head[threadIdx.x] = kv * o.group + m % o.group;
    }
    __syncthreads();
    TileState<N> t;
    t.m = -Infinity, t.l = 0;
#pragma unroll
    for (int r = 0; r < Rs; r++) {
#pragma unroll
        for (int c = 0; c < N; c++) t.out[r][c] = make_float4(0, 0, 0, 0);
    }
    const bool probs = N == 4 && o.probs; // the other entry points are without
    const int *last = index.query + TileRows - 1;
#pragma unroll 1
    for (int pass = probs ? 0 : 1; pass < 2; pass++) {
        // Tiles lie at multiples of 64 keys: a row's sums do not depend on the others.
#pragma unroll 1
        for (int key = s.first(o, *index.query) / TileKeys * TileKeys; key < s.end(o, *last); key += TileKeys) {
            __syncthreads(); // the last tile is used up
            if (threadIdx.x < TileKeys) {
                const int j = min(max(key + (int)threadIdx.x, s.first(o, *index.query)), s.end(o, *last) - 1);
                index.key[threadIdx.x] = s.keyRow(o, j);
            }
            __syncthreads();
            float score[Rs][Ks];
            scores<N>(score, o, s, kv, key, index, shared);
            // Whether some row does not see some key.
            const bool edge = key < s.first(o, *last) || key + TileKeys > s.end(o, *index.query);
            const unsigned seen = edge ? seenBy(o, s, key, index.query) : ~0u;
            if (probs && pass == 1) {
                writeProbs(t, score, seen, o, s, key, index, rows);
            } else {
                takeTile(t, score, seen);
            }
            if (pass == 1) addTile<N>(t.out, score, o, kv, index, edge, shared);
        }
        if (probs && pass == 0) finish(t, o, index.head);
    }
    float factor = 1;
    if (!probs) factor = finish(t, o, index.head) * t.l;
    writeOut(t, factor, o, s, index, rows);
}

// attention is the CTA of sequence x, KV head y and tile z of rows.
template <int N>
__device__ __forceinline__ void attention(const Operands &o) {
    constexpr int Floats = FewShared<N> > Tile<N>::Floats ? FewShared<N> : Tile<N>::Floats;
    __shared__ __align__(16) float shared[Floats];
    __shared__ TileIndex index;
    const Sequence s(o);
    const int rows = s.queries * o.group;
    if (!(N == 4 && o.probs) && rows <= Few && (o.wide & WideK) && (o.wide & WideV)) {
        if (rows > 0 && blockIdx.z == 0) few<N>(o, s, blockIdx.y, rows, shared);
        return;
    }
    // With causal masks the last tile takes longest: it begins first.
    const int first = (gridDim.z - 1 - blockIdx.z) * TileRows;
    if (first < rows) tile<N>(o, s, blockIdx.y, first, min(TileRows, rows - first), index, shared);
}

extern "C" __global__ void __launch_bounds__(Threads, 3) attention_64(ATTENTION_PARAMETERS) {
    attention<1>(ATTENTION_OPERANDS);
}

extern "C" __global__ void __launch_bounds__(Threads, 3) attention_128(ATTENTION_PARAMETERS) {
    attention<2>(ATTENTION_OPERANDS);
}

extern "C" __global__ void __launch_bounds__(Threads, 2) attention_256(ATTENTION_PARAMETERS) {
    attention<4>(ATTENTION_OPERANDS);
}
