// The elementwise functions, numbered as runtime.Fn. Each keeps its digits on the whole line: far from zero, where a formula that is
// right on paper loses them (1+erf at x ≪ 0) or overflows (x·e^x), another form of it is used.
#pragma once

enum Function { Ident, Relu, Gelu, GeluTanh, Silu, Tanh, Sigmoid };

// sigmoid is 1/(1+e^-x). The divisor is at least 1; where e^-x overflows, the quotient is the 0 that it should be.
__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1.0f, 1.0f + expf(-x)); }

// apply is f(x). All threads of a launch have the same f: the branch costs a warp nothing but itself.
__device__ __forceinline__ float apply(int f, float x) {
    switch (f) {
    case Relu:
        return x < 0.0f ? 0.0f : x; // a NaN stays, which fmaxf would drop
    case Gelu: // x·Φ(x), Φ(x) = erfc(-x/√2)/2
        return 0.5f * x * erfcf(x * -0.70710678118654752f);
    case GeluTanh: // (1+tanh(u))/2 = 1/(1+e^-2u), u = √(2/π)·(x+0.044715·x³)
        return x * sigmoid(1.5957691216057308f * fmaf(0.044715f * x * x, x, x));
    case Silu:
        return x * sigmoid(x);
    case Tanh:
        return tanhf(x);
    case Sigmoid:
        return sigmoid(x);
    }
    return x;
}
