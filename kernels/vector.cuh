// Four floats at a time, or one: kernels are written once over V and compiled for both. Four need addresses that are multiples of 16.
#pragma once

template <int V> struct Floats { float v[V]; };

template <int V> __device__ __forceinline__ Floats<V> load(const float *p);
template <> __device__ __forceinline__ Floats<1> load<1>(const float *p) { return {{*p}}; }
template <> __device__ __forceinline__ Floats<2> load<2>(const float *p) {
    const float2 f = *reinterpret_cast<const float2 *>(p);
    return {{f.x, f.y}};
}
template <> __device__ __forceinline__ Floats<4> load<4>(const float *p) {
    const float4 f = *reinterpret_cast<const float4 *>(p);
    return {{f.x, f.y, f.z, f.w}};
}

template <int V> __device__ __forceinline__ void store(float *p, const Floats<V> &f);
template <> __device__ __forceinline__ void store<1>(float *p, const Floats<1> &f) { *p = f.v[0]; }
template <> __device__ __forceinline__ void store<4>(float *p, const Floats<4> &f) {
    *reinterpret_cast<float4 *>(p) = make_float4(f.v[0], f.v[1], f.v[2], f.v[3]);
}
