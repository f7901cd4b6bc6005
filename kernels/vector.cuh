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
    // The compiler cuts some stores of a float4 into four, each of which then writes a quarter of every sector.
    asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(p)), "f"(f.v[0]), "f"(f.v[1]), "f"(f.v[2]), "f"(f.v[3])
                 : "memory");
}
