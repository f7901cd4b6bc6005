package runtime

// The ten operations. Shapes are given beside each operand; the absent operand
// is the zero Tensor, a scale or count of 0 means 1.

// Op is one of the ten operations below, by pointer.
type Op interface {
	// Name is the operation's, as "MatMul".
	Name() string
	// Check validates types and shapes, once for every device. The contents of
	// integer operands are checked where the batch is built.
	Check() error
	// Operands appends the operands that are present to dst.
	Operands(dst []Operand) []Operand

	closed() // no operation outside this package
}

// Access says what an operation does with an operand.
type Access uint8

// The kinds of access.
const (
	Read  Access = 1 << iota // read, unchanged
	Write                    // written; what is not written keeps its value
)

// Operand is one tensor of an operation.
type Operand struct {
	Name   string
	Tensor *Tensor
	Access Access
}

// Fn is an elementwise function.
type Fn uint8

// The elementwise functions.
const (
	Ident    Fn = iota // x
	Relu               // max(x, 0)
	Gelu               // x·Φ(x) = x/2·(1+erf(x/√2)); Hendrycks and Gimpel, 2016
	GeluTanh           // x/2·(1+tanh(√(2/π)·(x+0.044715·x³))), the same paper's approximation
	Silu               // x/(1+e^-x); Elfwing et al., 2017
	Tanh
	Sigmoid // 1/(1+e^-x)
	numFn
)

var fnNames = [...]string{"Ident", "Relu", "Gelu", "GeluTanh", "Silu", "Tanh", "Sigmoid"}

// String is the constant's name.
func (f Fn) String() string {
	if f < numFn {
		return fnNames[f]
	}
	return "Fn?"
}

// Gather adds or copies rows of a table: Out[i] = (Add ? Out[i] : 0) +
// Scale·Table[IDs[i]]. It embeds tokens, positions and types, chooses rows of
// hidden for the head, and decodes block types.
type Gather struct {
	Out   Tensor  // F32 [n, D]
	Table Tensor  // [V, D], any type
	IDs   Tensor  // I32 [n, 1] or [1, n]
	Scale float32 // 0: 1
	Add   bool
}

// MatMul is Out[r] = Residual[r] + Alpha·Act(X[r/Fan]·W[Pick[r]]ᵀ +
// Bias[Pick[r]]), Alpha applied to the activation only. Gated, W holds N gate
// rows over N up rows: Out[r] = Residual[r] + Alpha·Act(gate)·up.
type MatMul struct {
	Out      Tensor  // F32 [R, N]; may be a column view
	X        Tensor  // F32 [R/Fan, K]; may be a column view
	W        Tensor  // [E·N, K], Gated [E·2N, K], with Groups [N, K/Groups]; any type
	Bias     Tensor  // F32 [E, N], Gated [E, 2N]
	Residual Tensor  // F32 [R, N]; may be Out
	Act      Fn      //
	Alpha    float32 // 0: 1
	Gated    bool    //
	Pick     Tensor  // I32 [R]: which of E stacked matrices; -1: no product, the row is Residual or 0
	Fan      int     // each row of X serves Fan rows of Out; 0: 1
	Groups   int     // block diagonal: block g of Out = block g of X · g-th N/Groups rows of W; 0: 1
}

// NormKind is the kind of normalisation.
type NormKind uint8

// The kinds of normalisation. Variances and means are over a part of a row.
const (
	LayerNorm NormKind = iota // (x-mean)/√(var+Eps); Ba et al., 2016
	RMSNorm                   // x/√(mean(x²)+Eps); Zhang and Sennrich, 2019
	L2Norm                    // x/max(√Σx², Eps)
	numNormKind
)

// Norm is Out = norm(X)·Weight + Bias over each of Groups equal parts of a row.
type Norm struct {
	Out    Tensor // F32 [R, C]; may be X
	X      Tensor // F32 [R, C]
	Weight Tensor // F32 [1, C/Groups]
	Bias   Tensor // F32 [1, C/Groups]
	Kind   NormKind
	Eps    float32
	Groups int // 0: 1
}

// Pointwise is Out = Scale·F(In·X)·Mul + Add, elementwise; Mul and Add may have
// one row for all. It caps logits softly, scales, copies for capture.
type Pointwise struct {
	Out       Tensor  // F32 [R, C]; may be X, Mul or Add
	X         Tensor  // F32 [R, C]
	Mul, Add  Tensor  // F32 [R, C] or [1, C]
	F         Fn      //
	In, Scale float32 // 0: 1
}

// RoPE rotates in place the first 2·Cos.Cols features of each head of X by the
// angles whose cosines and sines the tables hold (Su et al., 2021). Feature i is
// paired with i+Cos.Cols, or with its neighbour when Interleaved.
type RoPE struct {
	X           Tensor // F32 [T, heads·HeadDim]
	Cos, Sin    Tensor // F32 [P, rot/2]; they carry every scaling and attention factor
	Rows        Tensor // I32 [T]: the table row of each token
	HeadDim     int
	Interleaved bool
}

// StoreKV writes K and V rows to slots of the paged cache, converting to its
// type. The order inside the cache is the device's own.
type StoreKV struct {
	K, V           Tensor // F32 [T, KVHeads·D], [T, KVHeads·Dv]
	CacheK, CacheV Tensor // [blocks·BlockSize, KVHeads·D], [.., KVHeads·Dv]; both F32, F16, BF16 or Q8_0
	Slots          Tensor // I32 [T]: block·BlockSize + offset; -1: skip
	KVHeads        int
	BlockSize      int
}

// CopyBlocks copies whole blocks of one cache tensor: block Dst[i] = block
// Src[i]. No block is both source and destination.
type CopyBlocks struct {
	Cache     Tensor // [blocks·BlockSize, C]
	Src, Dst  Tensor // I32 [n]
	BlockSize int
}

// Unlimited is a Left or Right without a bound.
const Unlimited = -1

// Attention is softmax(Scale·QKᵀ + biases, masked)·V for N sequences of
// queries laid end to end (Vaswani et al., 2017). Query i of sequence n stands at
// position KLens[n]-qlen+i of its KLens[n] keys. All biases are added after
// Scale and SoftCap. Keys are contiguous rows of K and V, or blocks of a cache.
// A query that may see no key gives a row of zeros.
type Attention struct {
	Out            Tensor  // F32 [T, Heads·Dv]
	Q              Tensor  // F32 [T, Heads·D]
	K, V           Tensor  // F32 [S, KVHeads·D], [S, KVHeads·Dv]; or the cache tensors of StoreKV
	Heads, KVHeads int     // query head h reads KV head h/(Heads/KVHeads)
	Scale          float32 // 0: 1
	QStarts        Tensor  // I32 [N+1]: first row of each sequence; rows from QStarts[N] on are padding, left alone
	KLens          Tensor  // I32 [N]: keys of each sequence, its new tokens included
	KStarts        Tensor  // I32 [N]: first key row, contiguous keys      exactly one of
	Blocks         Tensor  // I32 [N, maxBlocks]: block table, paged keys   these two
	BlockSize      int     // tokens a block, paged
	MaxQ, MaxK     int     // host bounds of queries and keys a sequence, for grid and scratch; they change no bit
	Left, Right    int     // keys seen before and after the own position; Unlimited: all
	SoftCap        float32 // cap·tanh(s/cap); 0: none
	Slopes         Tensor  // F32 [1, H]: + slope·(j-i); ALiBi, Press et al., 2021
	KeyBias        Tensor  // F32 [H, P]: + KeyBias[h][j]
	RelIndex       Tensor  // I32 [2M+1]: r = RelIndex[clamp(j-i,-M,M)+M], of RelBias, QRel, KRel
	RelBias        Tensor  // F32 [R, H]: + RelBias[r][h]; T5, Raffel et al., 2019
	QRel, KRel     Tensor  // F32 [T, H·R], [S, H·R]: + QRel[i][h·R+r] + KRel[j][h·R+r], contiguous keys; DeBERTa, He et al., 2020
	Sinks          Tensor  // F32 [1, H]: exp(sink) joins the denominator
	Probs          Tensor  // F32 [T, H·maxK]: receives the distributions; zeroed by the caller, masked entries stay exactly 0
}

// TopKNorm says what TopK returns as values.
type TopKNorm uint8

// The values of TopK.
const (
	Raw        TopKNorm = iota // the elements
	SoftmaxAll                 // softmax over the whole row
	SoftmaxTop                 // softmax over the K chosen
	numTopKNorm
)

// TopK finds the K largest of each row, descending, ties to the lower id. Rows
// with NaN still give valid, distinct ids.
type TopK struct {
	Values    Tensor   // F32 [R, K]
	IDs       Tensor   // I32 [R, K]
	X         Tensor   // F32 [R, N]
	Norm      TopKNorm //
	LSE       Tensor   // F32 [R, 1]: log Σ exp of the row
	Also      Tensor   // I32 [R, m]: ids whose raw values are wanted; -1: none, AlsoValue stays
	AlsoValue Tensor   // F32 [R, m]
}

// Combine is Out[t] = Residual[t] + Σ_k Weights[t,k]·X[t·K+k], k ascending.
type Combine struct {
	Out      Tensor // F32 [T, D]; may be Residual
	X        Tensor // F32 [T·K, D]
	Weights  Tensor // F32 [T, K]
	Residual Tensor // F32 [T, D]
}
