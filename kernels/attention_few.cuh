// Attention of few queries, at most Few rows (a query and a head) of one KV head:
// warps take tiles of keys in turn, and each streams them from memory once.
#pragma once

#include "attention.cuh"

constexpr int Few = 8;       // rows of a CTA
constexpr int FewKeys = 32; // of a tile: one a lane
constexpr int FewStride = FewKeys + 4; // of a row of scores: eight rows of four keys fall into different banks
constexpr int Warps = Threads / 32;

// The floats of shared memory that few<N> uses: queries and a tile's scores of
// each warp; after the last tile half of the rows of each warp's Out; and m and l
// of each warp and row.
template <int N>
constexpr int FewShared = Few * 64 * N + Warps * Few * FewStride + 2 * Warps * Few;
static_assert(Warps * 2 <= Few, "the parts of Out take the place of the queries");

// Reductions over the lanes of a warp that all receive.
__device__ __forceinline__ float warpMax(float x) {
    x = fmaxf(x, across<16>(x)), x = fmaxf(x, across<8>(x)), x = fmaxf(x, across<4>(x));
    x = fmaxf(x, across<2>(x));
    return fmaxf(x, across<1>(x));
}

__device__ __forceinline__ float warpSum(float x) {
    x = __fadd_rn(x, across<16>(x)), x = __fadd_rn(x, across<8>(x)), x = __fadd_rn(x, across<4>(x));
    x = __fadd_rn(x, across<2>(x));
    return __fadd_rn(x, across<1>(x));
}

__device__ __forceinline__ float dot(float4 a, float4 b, float sum) {
    sum = __fmaf_rn(a.x, b.x, sum);
    sum = __fmaf_rn(a.y, b.y, sum);
    sum = __fmaf_rn(a.z, b.z, sum);
    return __fmaf_rn(a.w, b.w, sum);
}

__device__ __forceinline__ void axpy(float p, float4 v, float4 &sum) {
    sum.x = __fmaf_rn(p, v.x, sum.x);
    sum.y = __fmaf_rn(p, v.y, sum.y);
    sum.z = __fmaf_rn(p, v.z, sum.z);
    sum.w = __fmaf_rn(p, v.w, sum.w);
}

// FewState is a warp's part of the softmax of up to Few rows. A lane holds four
// columns of Out, twice for heads of more than 128; lane r holds the largest
// score m of row r and the sum l of its exponentials.
template <int N>
struct FewState {
    static constexpr int Columns = N == 4 ? 2 : 1; // groups of four columns a lane
    static constexpr int Sides = N == 1 ? 2 : 1;    // keys whose values a warp reads at once
    float m, l;
    float4 out[Few][Columns];
};

// halve leaves in each lane half of the rows, with the sums of its own and those of
// the lane across: of the upper half if the lane's bit Half is set.
template <int Half>
__device__ __forceinline__ void halve(float (&sum)[Few]) {
    const bool upper = threadIdx.x & Half;
#pragma unroll
    for (int r = 0; r < Half; r++) {
        const float keep = upper ? sum[r + Half] : sum[r], give = upper ? sum[r] : sum[r + Half];
        sum[r] = __fadd_rn(keep, across<Half>(give));
    }
}

// sumOfEighths adds the lanes of an eighth of the warp, all rows at once: lane r
// of it receives row r's sum.
__device__ __forceinline__ float sumOfEighths(float (&sum)[Few]) {
    halve<4>(sum), halve<2>(sum), halve<1>(sum);
    return sum[0];
}

// fewScores leaves the products of the rows with the tile's keys in p. Eight
// lanes share a key, so a warp has four at a time.
template <int N>
__device__ __forceinline__ void fewScores(const Rows &keys, const float *q, float *p, int rows, int keyRow) {
    constexpr int Steps = 2 * N, Keys = 8 / Steps; // loads of a key, keys at once
    const int eighth = threadIdx.x % 32 / 8, part = threadIdx.x % 8;
#pragma unroll 1
    for (int first = 0; first < FewKeys; first += 4 * Keys) {
        float4 x[8];
        int row[Keys];
#pragma unroll
        for (int key = 0; key < Keys; key++) row[key] = ofLane(keyRow, first + 4 * key + eighth);
        load<Keys, Steps>(x, keys, row, part * 4, 32);
        constexpr int Together = Keys < 2 ? Keys : 2; // keys that share what is read of q
#pragma unroll
        for (int key = 0; key < Keys; key += Together) {
            float sum[Together][Few] = {};
#pragma unroll
            for (int r = 0; r < Few; r++) {
                if (r == 1 && rows == 1 || r == 4 && rows <= 4) break;
#pragma unroll
                for (int i = 0; i < Steps; i++) {
                    const float4 a = *(const float4 *)(q + r * 64 * N + i * 32 + part * 4);
#pragma unroll
                    for (int t = 0; t < Together; t++) sum[t][r] = dot(x[(key + t) * Steps + i], a, sum[t][r]);
                }
            }
#pragma unroll
            for (int t = 0; t < Together; t++) p[part * FewStride + first + 4 * (key + t) + eighth] = sumOfEighths(sum[t]);
        }
    }
}

// fewSoftmax turns the products in p into numerators of probabilities, and takes
// them into m and l. Lane r returns by what the row's former sums shrink; lane r's
// row sees the keys lo to hi-1.
template <int N>
__device__ __forceinline__ float fewSoftmax(FewState<N> &w, const Operands &o, const Sequence &s, int kv, int rows, int key,
                                            int lo, int hi, float *p) {
    const int lane = threadIdx.x % 32, j = key + lane;
    float shrink = 1;
#pragma unroll 1
    for (int r = 0; r < rows; r++) {
        const int from = ofLane(lo, r), to = ofLane(hi, r);
        const bool seen = j >= from && j < to;
        float x = __fmul_rn(o.scale, p[r * FewStride + lane]);
        if (o.biased && seen) x = biased(o, s, p[r * FewStride + lane], r / o.group, kv * o.group + r % o.group, j);
        if (!seen) x = -Infinity;
        const float before = ofLane(w.m, r), m = fmaxf(before, warpMax(x));
        const float f = expf(__fsub_rn(before, base(m))), e = expf(__fsub_rn(x, base(m)));
        const float sum = warpSum(seen ? e : 0);
        if (lane == r) shrink = f, w.m = m, w.l = __fmaf_rn(w.l, f, sum);
        p[r * FewStride + lane] = seen ? e : Unseen;
    }
    return shrink;
}

// fewValues adds the values of the tile, weighed by what is in p. Where rows do
// not see the same keys, values that are not harmless are skipped.
template <int N>
__device__ __forceinline__ void fewValues(FewState<N> &w, const Rows &values, const float *p, int rows, int keyRow,
                                          bool mixed) {
    constexpr int Columns = w.Columns, Sides = w.Sides, Keys = 4;
    const int lane = threadIdx.x % 32, side = lane / (32 / Sides), column = lane % (32 / Sides) * 4;
#pragma unroll 1
    for (int first = 0; first < FewKeys; first += Keys * Sides) {
        float4 x[Keys * Columns];
        int row[Keys];
#pragma unroll
        for (int i = 0; i < Keys; i++) row[i] = ofLane(keyRow, first + side * Keys + i);
        load<Keys, Columns>(x, values, row, column, 128);
        bool harm = false;
        if (mixed) {
#pragma unroll
            for (int i = 0; i < Keys * Columns; i++) harm |= !harmless(x[i]);
        }
#pragma unroll
        for (int r = 0; r < Few; r++) {
            if (r == 1 && rows == 1 || r == 4 && rows <= 4) break;
            const float4 weight = *(const float4 *)(p + r * FewStride + first + side * Keys);
            const float weights[Keys] = {weight.x, weight.y, weight.z, weight.w};
            if (harm) {
#pragma unroll
                for (int i = 0; i < Keys; i++) {
                    if (unseen(weights[i])) continue;
#pragma unroll
                    for (int c = 0; c < Columns; c++) axpy(weights[i], x[i * Columns + c], w.out[r][c]);
                }
                continue;
            }
#pragma unroll
            for (int i = 0; i < Keys; i++) {
#pragma unroll
                for (int c = 0; c < Columns; c++) axpy(weights[i], x[i * Columns + c], w.out[r][c]);
            }
        }
    }
}

// fewTile takes the keys key … key+31; keyRow is the lane's, or that of another
// key if no row sees it.
template <int N>
__device__ __forceinline__ void fewTile(FewState<N> &w, const Operands &o, const Sequence &s, int kv, int rows, int key,
                                        int keyRow, int lo, int hi, const float *q, float *p) {
    fewScores<N>(keysOf(o, kv), q, p, rows, keyRow);
    __syncwarp();
    const float shrink = fewSoftmax<N>(w, o, s, kv, rows, key, lo, hi, p);
    __syncwarp();
#pragma unroll
    for (int r = 0; r < Few; r++) {
        if (r == 1 && rows == 1 || r == 4 && rows <= 4) break;
        const float f = ofLane(shrink, r);
#pragma unroll
        for (int c = 0; c < w.Columns; c++) {
            float4 &x = w.out[r][c];
            x = make_float4(__fmul_rn(x.x, f), __fmul_rn(x.y, f), __fmul_rn(x.z, f), __fmul_rn(x.w, f));
        }
    }
    fewValues<N>(w, valuesOf(o, kv), p, rows, keyRow, s.queries > 1);
    __syncwarp(); // the next tile writes p
}

// fewMerge joins the warps' parts in their order and writes Out, two rows at a
// time.
template <int N>
__device__ __forceinline__ void fewMerge(FewState<N> &w, const Operands &o, const Sequence &s, int kv, int rows,
                                         float *shared) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    float2 *ends = (float2 *)(shared + FewShared<N> - 2 * Warps * Few);
    if (lane < Few) ends[warp * Few + lane] = make_float2(w.m, w.l);
#pragma unroll 1
    for (int pair = 0; pair < rows; pair += 2) {
        __syncthreads(); // the queries, or the last rows' parts, are used up
#pragma unroll
        for (int r = 0; r < Few; r++) {
            if (r / 2 != pair / 2) continue;
#pragma unroll
            for (int c = 0; c < w.Columns; c++) {
                float4 x = w.out[r][c];
                if (w.Sides == 2) { // the halves of the warp had different keys
                    x.x = __fadd_rn(x.x, across<16>(x.x)), x.y = __fadd_rn(x.y, across<16>(x.y));
                    x.z = __fadd_rn(x.z, across<16>(x.z)), x.w = __fadd_rn(x.w, across<16>(x.w));
                }
                if (lane < 16 * N) *(float4 *)(shared + (warp * 2 + r % 2) * 64 * N + c * 128 + lane * 4) = x;
            }
        }
        __syncthreads();
#pragma unroll 1
        for (int e = threadIdx.x; e < 2 * 64 * N; e += Threads) {
            const int r = e / (64 * N), column = e % (64 * N);
            if (pair + r >= rows || column >= o.dv) continue;
            const int i = (pair + r) / o.group, h = kv * o.group + (pair + r) % o.group;
            const float sink = o.sinks ? o.sinks[h] : -Infinity;
            float m = sink;
#pragma unroll
            for (int v = 0; v < Warps; v++) m = fmaxf(m, ends[v * Few + pair + r].x);
            m = base(m);
            float l = expf(__fsub_rn(sink, m)), x = 0;
#pragma unroll
            for (int v = 0; v < Warps; v++) {
                const float2 end = ends[v * Few + pair + r];
                const float f = expf(__fsub_rn(end.x, m));
                l = __fmaf_rn(end.y, f, l);
                x = __fmaf_rn(shared[(v * 2 + r) * 64 * N + column], f, x);
            }
            const bool blind = s.first(o, i) >= s.end(o, i);
            o.out[(s.row + i) * o.outStride + (long long)h * o.dv + column] = blind ? 0 : __fdiv_rn(x, l);
        }
    }
}

// few computes a sequence's rows for KV head kv: row m is query m/group, head
// m%group of the group. 64·N is the most features a head has. K and V must be
// wide.
template <int N>
__device__ __forceinline__ void few(const Operands &o, const Sequence &s, int kv, int rows, float *shared) {
    float *q = shared, *p = shared + Few * 64 * N + threadIdx.x / 32 * (Few * FewStride);
#pragma unroll 1
    for (int e = threadIdx.x; e < Few * 64 * N; e += Threads) {
        const int r = e / (64 * N), d = e % (64 * N), i = r / o.group, h = kv * o.group + r % o.group;
        q[e] = r < rows && d < o.d ? o.q[(s.row + i) * o.qStride + (long long)h * o.d + d] : 0;
    }
    __syncthreads();
    FewState<N> w;
    w.m = -Infinity, w.l = 0;
#pragma unroll
    for (int r = 0; r < Few; r++) {
#pragma unroll
        for (int c = 0; c < w.Columns; c++) w.out[r][c] = make_float4(0, 0, 0, 0);
    }
    // What the lane's row sees, and what the rows see together.
    const int lane = threadIdx.x % 32, i = min(lane, rows - 1) / o.group;
    const int lo = s.first(o, i), hi = s.end(o, i), from = s.first(o, 0), to = s.end(o, s.queries - 1);
    // Tile t is warp t%4's, wherever the first seen key lies: so the order of
    // summation depends on nothing but the keys.
    const int tile = from / FewKeys;
#pragma unroll 1
    for (int t = tile + ((threadIdx.x / 32 - tile) & (Warps - 1)); t * FewKeys < to; t += Warps) {
        const int j = min(max(t * FewKeys + lane, from), to - 1);
        fewTile<N>(w, o, s, kv, rows, t * FewKeys, s.keyRow(o, j), lo, hi, q, p);
    }
    fewMerge<N>(w, o, s, kv, rows, shared);
}
