package simd

// Vectors: functions on rows of floats.

// Function is an elementwise function.
type Function uint8

// The elementwise functions, in the order of runtime's.
const (
	Identity     Function = iota
	Relu                  // max(x, 0)
	Gelu                  // x·Φ(x), Φ the normal distribution's
	GeluTanh              // x/(1+e^-2u), u = √(2/π)·(x + 0.044715·x³)
	Silu                  // x/(1+e^-x)
	Tanh                  //
	Sigmoid               // 1/(1+e^-x)
	NumFunctions          // how many there are
)

// Rows are the operands of an elementwise function on M rows of N floats:
//
//	Out = Add + Alpha·f(In·X + Bias)·(Mul + MulBias)
//
// Row i of an operand begins at element i·Ld of it; Bias and MulBias are one row
// for all. What is nil is left out of the formula, and MulBias is with Mul. Out
// may be X, Mul or Add, with the same Ld. Assembly knows where the fields lie.
type Rows struct {
	X, Out, Bias, Mul, MulBias, Add []float32
	LdX, LdOut, LdMul, LdAdd        int
	M, N                            int
	In, Alpha                       float32
}

// NormRows are the operands of a normalisation of M rows of N > 0 floats:
//
//	Out = (X - mean)/max(√(Share·Σ(X-mean)² + Eps), Least)·Weight + Bias
//
// Centred, mean is that of the row and Share has to be 1/N; else it is 0. Weight
// and Bias may be nil. Out may be X.
type NormRows struct {
	X, Out, Weight, Bias []float32
	LdX, LdOut           int
	M, N                 int
	Share, Eps, Least    float64
	Centred              bool
}

// Vectors are the functions on rows of floats. An element's bits do not depend on
// where it stands in a row, and those of a sum on nothing but the row; lengths may
// be any. Errors are in units of the last place of a float32. NaN gives NaN.
type Vectors struct {
	// Map applies a function to rows. Errors: 4 units; of Gelu below -5, 8; of
	// GeluTanh below 0, where a rounded number stands in an exponent, 4 + 5|u|; and
	// 2^-139 near zero.
	Map [NumFunctions]func(r *Rows)

	// Norm normalises rows. Statistics are taken twice, the second time about the
	// first's mean, and end in float64.
	Norm func(r *NormRows)

	// RoPE rotates the pairs (x[i], x[i+len(cos)]) of each head of a row, by the
	// angle of cos[i] and sin[i]. A head is headDim ≥ 2·len(cos) floats, and there
	// is at least one.
	RoPE func(x, cos, sin []float32, heads, headDim int)

	// RoPEPairs rotates the pairs (x[2i], x[2i+1]).
	RoPEPairs func(x, cos, sin []float32, heads, headDim int)

	// Combine is out = add + Σ w[k]·x[k·ldx:], summed over ascending k before add
	// is added, which may be nil, or out.
	Combine func(out, x []float32, ldx int, w, add []float32)

	// Max is the largest of x, -Inf if there is none.
	Max func(x []float32) float32

	// ExpSum is out = e^(x-shift), of len(x) elements, with an error of 1.1 units
	// and that of the difference, and returns their sum. Out may be x.
	ExpSum func(out, x []float32, shift float32) float64

	// Above lists the numbers of the elements of x that are greater than bound, in
	// ascending order. It ends early where ids, of 64 or more, may not hold all:
	// only the first seen elements were looked at then.
	Above func(ids []int32, x []float32, bound float32) (found, seen int)

	// FromF16 and FromBF16 widen len(src) elements.
	FromF16, FromBF16 func(dst []float32, src []uint16)

	// ToF16 and ToBF16 round len(src) elements to the nearest, ties to even.
	ToF16, ToBF16 func(dst []uint16, src []float32)
}
