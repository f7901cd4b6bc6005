// The matrix product of few rows, as in decoding: W is streamed once from memory,
// 16 bytes a thread and load, and never waits for shared memory.
//
// A CTA computes up to R rows by C columns of W. Its warps share K: warp i takes
// the i-th piece of every Warps pieces of 32 vectors, and holds a partial sum of
// every output in each lane. At the end the lanes and then the warps are added,
// in an order that is the same for every output: its bits depend on neither the
// other rows nor R.

#include "matmul.cuh"

static const int Warps = 4;
static const int C = 8; // columns of W a CTA: a sector of Out

// exchange makes eight consecutive floats of what two neighbouring lanes read.
// Reading them directly, a warp would touch each sector of X twice; so lanes 2i
// and 2i+1 read both halves of one sector, then of the next, and swap.
__device__ __forceinline__ void exchange(float *x, const float4 &a, const float4 &b, bool odd) {
    float give[4] = {odd ? a.x : b.x, odd ? a.y : b.y, odd ? a.z : b.z, odd ? a.w : b.w};
    float keep[4] = {odd ? b.x : a.x, odd ? b.y : a.y, odd ? b.z : a.z, odd ? b.w : a.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float got = __shfl_xor_sync(~0u, give[i], 1);
        x[i] = odd ? got : keep[i];
        x[4 + i] = odd ? keep[i] : got;
    }
}

// readX is the lane's N floats of a row's piece at p.
template <int N> __device__ __forceinline__ void readX(float *x, const float *p, int lane) {
    if constexpr (N == 8) {
        p += lane / 2 * 16 + lane % 2 * 4;
        Vector<float> a, b;
        read(a, p);
        read(b, p + 8);
        exchange(x, a.v, b.v, lane % 2);
    } else {
        Vector<float> v;
        read(v, p + 4 * lane);
#pragma unroll
        for (int i = 0; i < 4; i++)
            x[i] = v.get(i);
    }
}

// reduce adds V values over the lanes of a warp. In each step a lane gives away
// half of its values and adds what it gets to the other half; with one value
// left all lanes add. Value i of the V ends in v[i % (V/32)] of lane i/(V/32),
// or in every lane of the i-th 32/V.
template <int V, int Step = 16> __device__ __forceinline__ void reduce(float *v, int lane) {
    if constexpr (V > 1) {
        const bool upper = lane & Step;
#pragma unroll
        for (int i = 0; i < V / 2; i++) {
            float give = upper ? v[i] : v[i + V / 2];
            float keep = upper ? v[i + V / 2] : v[i];
            v[i] = keep + __shfl_xor_sync(~0u, give, Step);
        }
    } else {
        v[0] += __shfl_xor_sync(~0u, v[0], Step);
    }
    if constexpr (Step > 1)
        reduce<(V + 1) / 2, Step / 2>(v, lane);
}

// sum adds the warps' partial sums of value i, in their order.
template <int V> __device__ __forceinline__ float sum(const float (&part)[Warps][V], int i) {
    float v = part[0][i];
#pragma unroll
    for (int w = 1; w < Warps; w++)
        v += part[w][i];
    return v;
}

// stream is the CTA of C columns of W, tile x; rows R·y … R·y+R-1; group z. With
// Pick, R is 1 and the row has its expert's W.
template <typename T, int R> __device__ __forceinline__ void stream(Operands o) {
    const int N = Vector<T>::N, V = R * C;
    static_assert(V == 64 || V <= 32, "a lane ends with a pair or one");
    __shared__ __align__(8) float part[Warps][V];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const long long g = blockIdx.z;
    const int width = o.gated ? C / 2 : C, first = blockIdx.y * R, n0 = blockIdx.x * width;
    const int count = min(R, o.rows - first);

    const float *x = o.x + g * o.k;
    const T *w = reinterpret_cast<const T *>(o.w) + g * o.n * o.ldw;
    const float *bias = o.bias ? o.bias + g * o.n : nullptr;
    int expert = 0;
    if (R == 1 && o.pick) {
        expert = __ldg(o.pick + first);
        w += (long long)max(expert, 0) * (o.gated ? 2 : 1) * o.n * o.ldw;
        if (bias)
            bias += max(expert, 0) * o.ldbias;
    }

    float acc[V];
#pragma unroll
    for (int i = 0; i < V; i++)
        acc[i] = 0.f;
    // The rows of W for the CTA's columns, and its rows of X; beyond the last, the
    // last again: nobody writes their products.
    const T *column[C];
#pragma unroll
    for (int j = 0; j < C; j++) {
        const int up = o.gated && j >= C / 2;
        column[j] = w + (min(n0 + (up ? j - C / 2 : j), o.n - 1) + up * o.n) * o.ldw;
    }
    const float *row[R];
#pragma unroll
    for (int r = 0; r < R; r++)
        row[r] = x + (first + min(r, count - 1)) / o.fan * o.ldx;
    const bool vec = aligned(x, o.ldx * 4) && aligned(w, o.ldw * sizeof(T));
    const int k = expert < 0 ? 0 : o.k, pieces = vec ? k / (32 * N) : 0;
#pragma unroll 1
    for (int at = warp * 32 * N; at < pieces * 32 * N; at += Warps * 32 * N) {
        Vector<T> ws[C];
#pragma unroll
        for (int j = 0; j < C; j++)
            read(ws[j], column[j] + at + N * lane);
        float wf[C][N];
#pragma unroll
        for (int j = 0; j < C; j++)
#pragma unroll
            for (int i = 0; i < N; i++)
                wf[j][i] = ws[j].get(i);
#pragma unroll
        for (int r = 0; r < R; r++) {
            float xf[N];
            readX<N>(xf, row[r] + at, lane);
#pragma unroll
            for (int j = 0; j < C; j++)
#pragma unroll
                for (int i = 0; i < N; i++)
                    acc[r * C + j] = fmaf(xf[i], wf[j][i], acc[r * C + j]);
        }
    }
    // What is no whole piece, and all of a view that is not aligned: an element a
    // lane.
#pragma unroll 1
    for (int at = pieces * 32 * N + warp * 32 + lane; at < k; at += Warps * 32) {
        float wf[C];
#pragma unroll
        for (int j = 0; j < C; j++)
            wf[j] = widen(__ldg(column[j] + at));
#pragma unroll
        for (int r = 0; r < R; r++) {
            const float xf = __ldg(row[r] + at);
#pragma unroll
            for (int j = 0; j < C; j++)
                acc[r * C + j] = fmaf(xf, wf[j], acc[r * C + j]);
        }
    }

    reduce<V>(acc, lane);
    if constexpr (V == 64)
        *reinterpret_cast<float2 *>(part[warp] + 2 * lane) = make_float2(acc[0], acc[1]);
    else if (lane % (32 / V) == 0)
        part[warp][lane / (32 / V)] = acc[0];
    __syncthreads();
    const int r = threadIdx.x / width, c = threadIdx.x % width, col = n0 + c;
    if (r >= count || col >= o.n)
        return;
    const long long at = g * o.n + col;
    float *const out = o.out + (first + r) * o.ldout + at;
    const float *res = o.res ? o.res + (first + r) * o.ldres + at : nullptr;
    if (expert < 0) {
        *out = res ? *res : 0.f;
        return;
    }
    float up = 1.f, v = sum<V>(part, r * C + c) + (bias ? __ldg(bias + col) : 0.f);
    if (o.gated)
        up = sum<V>(part, r * C + C / 2 + c) + (bias ? __ldg(bias + o.n + col) : 0.f);
    v = finish(o, v, up);
    *out = res ? *res + v : v;
}

extern "C" __global__ void __launch_bounds__(128, 5) matmul_rows1_f32(MATMUL_PARAMS) { stream<float, 1>(MATMUL_OPERANDS); }
extern "C" __global__ void __launch_bounds__(128, 4) matmul_rows1_f16(MATMUL_PARAMS) { stream<f16, 1>(MATMUL_OPERANDS); }
extern "C" __global__ void __launch_bounds__(128, 5) matmul_rows4_f32(MATMUL_PARAMS) { stream<float, 4>(MATMUL_OPERANDS); }
extern "C" __global__ void __launch_bounds__(128, 2) matmul_rows4_f16(MATMUL_PARAMS) { stream<f16, 4>(MATMUL_OPERANDS); }
extern "C" __global__ void __launch_bounds__(128, 3) matmul_rows8_f32(MATMUL_PARAMS) { stream<float, 8>(MATMUL_OPERANDS); }
extern "C" __global__ void __launch_bounds__(128, 2) matmul_rows8_f16(MATMUL_PARAMS) { stream<f16, 8>(MATMUL_OPERANDS); }
