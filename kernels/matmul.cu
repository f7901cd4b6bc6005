// The matrix product in tiles: f32 on CUDA cores, W in f32 or f16, K innermost in
// both operands. A product by expert runs the same tile over gathered rows.
//
// A CTA computes BM rows by BN columns of W. It walks K in steps of BK through
// two buffers of shared memory: while the threads multiply one, their reads of
// the next are under way in registers. Both operands are stored transposed, k
// outermost, so that a thread reads its TM rows and TN columns of one k as
// vectors of four.
//
// An output is one chain of fused multiply-adds over k ascending, whatever the
// tile: its bits depend on neither the other rows nor the size of the tile.

#include "matmul.cuh"

// A warp is 4 × 8 threads, each with TM × TN outputs in blocks of 4 × 4. Blocks
// of a thread lie BM/(TM/4) rows and BN/(TN/4) columns apart: a warp's vectors
// then are neighbours, and its reads free of bank conflicts.
template <typename T, int BM, int BN, int BK, int TM, int TN> struct Tile {
    static const int WarpsM = BM / (4 * TM), WarpsN = BN / (8 * TN);
    static const int Warps = WarpsM * WarpsN, Threads = 32 * Warps;
    static const int N = Vector<T>::N;
    static const int ReadsX = BM * BK / (4 * Threads), ReadsW = BN * BK / (N * Threads);
    static const int SizeX = BK * BM, SizeW = BK * BN;
    static const int Floats = 2 * (SizeX + SizeW);
    static const int StageRows = 4 * TM; // of a row of warps
    static_assert(ReadsX > 0 && ReadsW > 0 && BK % (2 * N) == 0 && BK % 8 == 0, "a read is a whole sector");
    static_assert(StageRows * BN <= Floats, "the epilogue's stage fits");
    static_assert(Threads % BN == 0, "a thread of the epilogue keeps its column");

    // Two lanes read one row. Their columns in shared memory would meet in a
    // bank, as the rows there are a multiple of 32 long: the second lane's are
    // moved by 16.
    static __device__ __forceinline__ int slotX(int k, int m) { return k * BM + (m ^ (k >> 2 & 1) << 4); }
    static __device__ __forceinline__ int slotW(int k, int n) { return k * BN + (n ^ (k / N & 1) << 4); }

    // Source is where a thread reads: the rows of each of its vectors, from its
    // own column on. Rows beyond the last are the last again; nobody writes their
    // products.
    struct Source {
        const float *x[ReadsX];
        const T *w[ReadsW];
        int k;
        bool vec; // every row begins at a multiple of 16 bytes
    };

    static __device__ __forceinline__ int rowX(int i) { return (threadIdx.x + i * Threads) / 2 % BM; }
    static __device__ __forceinline__ int colX(int i) {
        unsigned at = threadIdx.x + i * Threads;
        return at / (2 * BM) * 8 + at % 2 * 4;
    }
    static __device__ __forceinline__ int rowW(int i) { return (threadIdx.x + i * Threads) / 2 % BN; }
    static __device__ __forceinline__ int colW(int i) {
        unsigned at = threadIdx.x + i * Threads;
        return at / (2 * BN) * 2 * N + at % 2 * N;
    }

    static __device__ __forceinline__ void fetch(const Source &s, int k, Vector<float> *x, Vector<T> *w) {
        if (s.vec && k + BK <= s.k) {
#pragma unroll
            for (int i = 0; i < ReadsX; i++)
                read(x[i], s.x[i] + k);
#pragma unroll
            for (int i = 0; i < ReadsW; i++)
                read(w[i], s.w[i] + k);
            return;
        }
#pragma unroll
        for (int i = 0; i < ReadsX; i++)
            readPart(x[i], s.x[i] + k, s.k - k - colX(i));
#pragma unroll
        for (int i = 0; i < ReadsW; i++)
            readPart(w[i], s.w[i] + k, s.k - k - colW(i));
    }

    static __device__ __forceinline__ void store(float *xs, float *ws, const Vector<float> *x, const Vector<T> *w) {
#pragma unroll
        for (int i = 0; i < ReadsX; i++) {
            float *to = xs + slotX(colX(i), rowX(i)); // the slots of a vector lie rows apart
#pragma unroll
            for (int j = 0; j < 4; j++)
                to[j * BM] = x[i].get(j);
        }
#pragma unroll
        for (int i = 0; i < ReadsW; i++) {
            float *to = ws + slotW(colW(i), rowW(i));
#pragma unroll
            for (int j = 0; j < N; j++)
                to[j * BN] = w[i].get(j);
        }
    }

    // multiply adds one step to the accumulators.
    static __device__ __forceinline__ void multiply(float (&acc)[TM][TN], const float *xs, const float *ws, int ty, int tx) {
#pragma unroll 1
        for (int at = 0; at < BK; at += 8) {
            // Vectors of W in f16 are as long as this piece, and so is the run of
            // columns that are moved alike.
            const float *x = xs + at * BM, *w = ws + at * BN;
            const int moved = N == 8 ? 4 * tx ^ (at / 8 & 1) << 4 : 0;
#pragma unroll
            for (int k = 0; k < 8; k++) {
                const float *xk = x + slotX(k, 4 * ty), *wk = N == 8 ? w + k * BN + moved : w + slotW(k, 4 * tx);
                float a[TM], b[TN];
#pragma unroll
                for (int i = 0; i < TM; i += 4)
                    *reinterpret_cast<float4 *>(a + i) = *reinterpret_cast<const float4 *>(xk + i * BM / TM);
#pragma unroll
                for (int j = 0; j < TN; j += 4)
                    *reinterpret_cast<float4 *>(b + j) = *reinterpret_cast<const float4 *>(wk + j * BN / TN);
#pragma unroll
                for (int i = 0; i < TM; i++)
#pragma unroll
                    for (int j = 0; j < TN; j++)
                        acc[i][j] = fmaf(a[i], b[j], acc[i][j]);
            }
        }
    }

    // product leaves the tile's products in acc. Shared memory is free again only
    // after the next barrier.
    static __device__ __forceinline__ void product(float (&acc)[TM][TN], const Source &s, float *shared, int ty, int tx) {
        float *xs = shared, *ws = shared + 2 * SizeX;
        Vector<float> x[ReadsX];
        Vector<T> w[ReadsW];
#pragma unroll
        for (int i = 0; i < TM; i++)
#pragma unroll
            for (int j = 0; j < TN; j++)
                acc[i][j] = 0.f;
        if (s.k > 0) {
            fetch(s, 0, x, w);
            store(xs, ws, x, w);
            __syncthreads();
        }
        int buffer = 0;
        for (int at = 0; at < s.k; at += BK) {
            bool more = at + BK < s.k;
            if (more)
                fetch(s, at + BK, x, w);
            multiply(acc, xs + buffer * SizeX, ws + buffer * SizeW, ty, tx);
            buffer ^= 1;
            if (more) {
                // The other buffer was last read before the last barrier.
                store(xs + buffer * SizeX, ws + buffer * SizeW, x, w);
                __syncthreads();
            }
        }
    }

    // write is the epilogue. The rows of one row of warps at a time pass through
    // shared memory: lanes then write along a row, a thread keeps its column, and
    // the functions stand in the code once. Gated, the left half of the columns is
    // gates and the right half what they gate.
    static __device__ __forceinline__ void write(const Operands &o, const float (&acc)[TM][TN], float *stage, const int *list,
                                                 int first, int count, int n0, const float *bias, int warpM, int ty, int tx) {
        const int width = o.gated ? BN / 2 : BN;
        const int c = threadIdx.x & (width - 1), col = n0 + c;
        float add = 0.f, addUp = 0.f;
        if (bias && col < o.n) {
            add = __ldg(bias + col);
            if (o.gated)
                addUp = __ldg(bias + o.n + col);
        }
#pragma unroll 1
        for (int pass = 0; pass < WarpsM; pass++) {
            __syncthreads();
            if (warpM == pass) {
                float4 *const to = reinterpret_cast<float4 *>(stage) + ty % 4 * BN + tx;
#pragma unroll
                for (int i = 0; i < TM; i++)
#pragma unroll
                    for (int j = 0; j < TN; j += 4)
                        to[((i / 4 * 16 + i % 4) * BN + j * BN / TN) / 4] = make_float4(acc[i][j], acc[i][j + 1], acc[i][j + 2], acc[i][j + 3]);
            }
            __syncthreads();
#pragma unroll 1
            for (int s = threadIdx.x / width; s < StageRows; s += Threads / width) {
                int m = pass * 16 + s % 16 + s / 16 * (4 * BM / TM);
                if (m >= count || col >= o.n)
                    continue;
                float up = o.gated ? stage[s * BN + BN / 2 + c] + addUp : 1.f;
                float v = finish(o, stage[s * BN + c] + add, up);
                long long row = list ? list[m] : first + m;
                if (o.res)
                    v += o.res[row * o.ldres + col];
                o.out[row * o.ldout + col] = v;
            }
        }
    }

    // run is one tile: rows first … first+count-1, or those of a list, by the
    // columns from n0 on. x, w and bias are those of the group or expert.
    static __device__ __forceinline__ void run(const Operands &o, float *shared, const int *list, int first, int count, int n0,
                                               const float *x, const T *w, const float *bias) {
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        const int warpM = warp / WarpsN, ty = warpM * 4 + lane / 8, tx = warp % WarpsN * 8 + lane % 8;
        Source s;
        s.k = o.k;
        s.vec = aligned(x, o.ldx * 4) && aligned(w, o.ldw * sizeof(T));
#pragma unroll
        for (int i = 0; i < ReadsX; i++) {
            int m = min(rowX(i), count - 1);
            s.x[i] = x + (list ? list[m] : first + m) / o.fan * o.ldx + colX(i);
        }
#pragma unroll
        for (int i = 0; i < ReadsW; i++) {
            int n = rowW(i), up = o.gated && n >= BN / 2;
            if (up)
                n -= BN / 2;
            s.w[i] = w + (min(n0 + n, o.n - 1) + up * o.n) * o.ldw + colW(i);
        }
        float acc[TM][TN];
        product(acc, s, shared, ty, tx);
        write(o, acc, shared, list, first, count, n0, bias, warpM, ty, tx);
    }

    // plain is the CTA of a product without Pick: row tile x, column tile y,
    // group z.
    static __device__ __forceinline__ void plain(Operands o) {
        __shared__ __align__(16) float shared[Floats];
        const long long g = blockIdx.z;
        const int first = blockIdx.x * BM, n0 = blockIdx.y * (o.gated ? BN / 2 : BN);
        o.out += g * o.n;
        if (o.res)
            o.res += g * o.n;
        run(o, shared, nullptr, first, min(BM, o.rows - first), n0, o.x + g * o.k,
            reinterpret_cast<const T *>(o.w) + g * o.n * o.ldw, o.bias ? o.bias + g * o.n : nullptr);
    }

    // gather lists the rows whose pick is e and whose rank among them is from
    // first on, up to BM of them, in ascending order, and returns their number.
    // Rank seen is that of the first such row from row at on; both advance.
    static __device__ __forceinline__ int gather(const Operands &o, int *list, int *sums, int e, int first, int &at, int &seen) {
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        for (;;) {
            int row = at + threadIdx.x;
            int mine = row < o.rows && __ldg(o.pick + row) == e, rank = mine;
#pragma unroll
            for (int d = 1; d < 32; d *= 2) {
                int below = __shfl_up_sync(~0u, rank, d);
                if (lane >= d)
                    rank += below;
            }
            __syncthreads(); // the list and the sums of the round before are read
            if (lane == 31)
                sums[warp] = rank;
            __syncthreads();
            int total = seen;
#pragma unroll
            for (int i = 0; i < Warps; i++) {
                if (i == warp)
                    rank += total - mine;
                total += sums[i];
            }
            if (mine && rank >= first && rank < first + BM)
                list[rank - first] = row;
            if (total >= first + BM || at + Threads >= o.rows) {
                __syncthreads();
                return min(total - first, BM); // the round may hold rows of the next tile too
            }
            at += Threads;
            seen = total;
        }
    }

    // picked is the CTA of a product by expert: expert z, column tile y, and of
    // the expert's row tiles each gridDim.x-th from x on. The last z is for the
    // rows without a product.
    static __device__ __forceinline__ void picked(const Operands &o) {
        __shared__ __align__(16) float shared[Floats];
        __shared__ int list[BM], sums[Warps];
        const int n0 = blockIdx.y * (o.gated ? BN / 2 : BN);
        const int e = blockIdx.z;
        if (e == o.experts) {
            rest(o, n0, o.gated ? BN / 2 : BN);
            return;
        }
        const int parts = o.gated ? 2 : 1;
        const T *w = reinterpret_cast<const T *>(o.w) + (long long)e * parts * o.n * o.ldw;
        const float *bias = o.bias ? o.bias + e * o.ldbias : nullptr;
        int at = 0, seen = 0;
#pragma unroll 1
        for (int first = blockIdx.x * BM;; first += gridDim.x * BM) {
            int count = gather(o, list, sums, e, first, at, seen);
            if (count <= 0)
                return;
            run(o, shared, list, 0, count, n0, o.x, w, bias);
        }
    }

    // rest writes the residual, or zeros, to the rows that pick nothing.
    static __device__ __forceinline__ void rest(const Operands &o, int n0, int width) {
        if (o.res == o.out)
            return;
        for (int row = blockIdx.x * Warps + threadIdx.x / 32; row < o.rows; row += gridDim.x * Warps) {
            if (__ldg(o.pick + row) >= 0)
                continue;
            for (int col = n0 + threadIdx.x % 32; col < min(n0 + width, o.n); col += 32)
                o.out[row * o.ldout + col] = o.res ? o.res[row * o.ldres + col] : 0.f;
        }
    }
};

// f16 needs steps of 16: 16 halves are a sector of 32 bytes.
typedef Tile<float, 128, 128, 8, 8, 8> LargeF32;
typedef Tile<f16, 128, 128, 16, 8, 8> LargeF16;
typedef Tile<float, 32, 64, 16, 4, 4> SmallF32;
typedef Tile<f16, 32, 64, 16, 4, 4> SmallF16;

extern "C" __global__ void __launch_bounds__(256, 2) matmul_128x128_f32(MATMUL_PARAMS) { LargeF32::plain(MATMUL_OPERANDS); }
extern "C" __global__ void __launch_bounds__(256, 1) matmul_128x128_f16(MATMUL_PARAMS) { LargeF16::plain(MATMUL_OPERANDS); }
extern "C" __global__ void __launch_bounds__(128, 4) matmul_32x64_f32(MATMUL_PARAMS) { SmallF32::plain(MATMUL_OPERANDS); }
extern "C" __global__ void __launch_bounds__(128, 4) matmul_32x64_f16(MATMUL_PARAMS) { SmallF16::plain(MATMUL_OPERANDS); }

extern "C" __global__ void __launch_bounds__(256, 2) matmul_pick_128x128_f32(MATMUL_PARAMS) { LargeF32::picked(MATMUL_OPERANDS); }
extern "C" __global__ void __launch_bounds__(256, 1) matmul_pick_128x128_f16(MATMUL_PARAMS) { LargeF16::picked(MATMUL_OPERANDS); }
extern "C" __global__ void __launch_bounds__(128, 4) matmul_pick_32x64_f32(MATMUL_PARAMS) { SmallF32::picked(MATMUL_OPERANDS); }
extern "C" __global__ void __launch_bounds__(128, 4) matmul_pick_32x64_f16(MATMUL_PARAMS) { SmallF16::picked(MATMUL_OPERANDS); }
