package runtime

// Shape checks of the operations, done once for every device.

import "fmt"

// OpError is an operation whose operands do not fit together.
type OpError struct {
	Op, Operand, Reason string
}

// Error names the operation and the operand.
func (e *OpError) Error() string { return "runtime: " + e.Op + "." + e.Operand + ": " + e.Reason }

// checker collects the first thing wrong with an operation.
type checker struct {
	op  string
	err error
}

func (c *checker) fail(operand, format string, args ...any) {
	if c.err == nil {
		c.err = &OpError{c.op, operand, fmt.Sprintf(format, args...)}
	}
}

func (c *checker) that(ok bool, operand, reason string) {
	if !ok && c.err == nil {
		c.err = &OpError{c.op, operand, reason}
	}
}

// extent checks that t is present and lies inside its memory.
func (c *checker) extent(operand string, t *Tensor) bool {
	if c.err != nil {
		return false
	}
	switch {
	case t.IsZero():
		c.that(false, operand, "absent")
	case t.Rows < 0 || t.Cols < 0 || t.Offset < 0 || !t.DType.Valid():
		c.that(false, operand, "malformed")
	case t.Cols%t.DType.BlockSize() != 0:
		c.fail(operand, "%v: columns are no whole number of blocks of %d", *t, t.DType.BlockSize())
	case t.Rows > 1 && t.StrideBytes() < t.RowBytes():
		c.fail(operand, "%v: rows overlap", *t)
	case t.Span() > 0 && t.Offset+t.Span() > t.Mem.Size:
		c.fail(operand, "%v: ends at byte %d of %d", *t, t.Offset+t.Span(), t.Mem.Size)
	}
	return c.err == nil
}

// f32 checks an F32 tensor of the given shape; -1 leaves a dimension open.
func (c *checker) f32(operand string, t *Tensor, rows, cols int) {
	if !c.extent(operand, t) {
		return
	}
	if t.DType != F32 {
		c.fail(operand, "%v, want F32", *t)
		return
	}
	c.shape(operand, t, rows, cols)
}

// shape checks dimensions; -1 leaves one open.
func (c *checker) shape(operand string, t *Tensor, rows, cols int) {
	if c.err == nil && (rows >= 0 && t.Rows != rows || cols >= 0 && t.Cols != cols) {
		c.fail(operand, "%v, want [%d %d]", *t, rows, cols)
	}
}

// optional checks an F32 tensor that may be absent.
func (c *checker) optional(operand string, t *Tensor, rows, cols int) {
	if !t.IsZero() {
		c.f32(operand, t, rows, cols)
	}
}

// broadcast checks an F32 tensor [rows, cols] or [1, cols] that may be absent.
func (c *checker) broadcast(operand string, t *Tensor, rows, cols int) {
	if !t.IsZero() && t.Rows == 1 {
		rows = 1
	}
	c.optional(operand, t, rows, cols)
}

// ints checks a contiguous I32 tensor of n elements; -1: any number.
func (c *checker) ints(operand string, t *Tensor, n int) {
	if !c.extent(operand, t) {
		return
	}
	switch {
	case t.DType != I32 || !t.Contiguous():
		c.fail(operand, "%v, want contiguous I32", *t)
	case n >= 0 && t.Rows*t.Cols != n:
		c.fail(operand, "%v, want %d elements", *t, n)
	}
}

// overlap reports whether two tensors share bytes of one memory.
func overlap(a, b *Tensor) bool {
	return !a.IsZero() && !b.IsZero() && a.Mem == b.Mem &&
		a.Offset < b.Offset+b.Span() && b.Offset < a.Offset+a.Span()
}

func same(a, b *Tensor) bool { return *a == *b }

// apart checks that out shares no bytes with in; as column views of one matrix
// they may interleave.
func (c *checker) apart(operand string, out, in *Tensor) {
	if c.err != nil || !overlap(out, in) {
		return
	}
	if s := out.StrideBytes(); s > 0 && s == in.StrideBytes() {
		// From row to row both repeat: in begins d bytes after a row of out does.
		d := ((in.Offset-out.Offset)%s + s) % s
		if d >= out.RowBytes() && d+in.RowBytes() <= s {
			return
		}
	}
	c.fail(operand, "%v shares memory with Out", *in)
}

// aliasOrApart allows in to be exactly out.
func (c *checker) aliasOrApart(operand string, out, in *Tensor) {
	if !same(out, in) {
		c.apart(operand, out, in)
	}
}

func atLeast1(n int) int { return max(n, 1) }

// Check implements Op.
func (o *Gather) Check() error {
	c := checker{op: "Gather"}
	c.extent("Table", &o.Table)
	c.f32("Out", &o.Out, -1, o.Table.Cols)
	c.ints("IDs", &o.IDs, o.Out.Rows)
	c.apart("Table", &o.Out, &o.Table)
	return c.err
}

// Check implements Op.
func (o *MatMul) Check() error {
	c := checker{op: "MatMul"}
	fan, groups, parts := atLeast1(o.Fan), atLeast1(o.Groups), 1
	if o.Gated {
		parts = 2
	}
	c.f32("Out", &o.Out, -1, -1)
	c.that(o.Out.Rows%fan == 0, "Fan", "does not divide the rows of Out")
	c.f32("X", &o.X, o.Out.Rows/fan, -1)
	c.extent("W", &o.W)
	if c.err != nil {
		return c.err
	}
	n := o.Out.Cols
	c.that(o.Act < numFn, "Act", "unknown function")
	if groups > 1 {
		c.that(!o.Gated && o.Pick.IsZero(), "Groups", "goes with neither Gated nor Pick")
		c.that(n%groups == 0 && o.X.Cols%groups == 0, "Groups", "does not divide the columns of Out and X")
	}
	if c.err != nil {
		return c.err
	}
	c.shape("W", &o.W, -1, o.X.Cols/groups)
	if n == 0 || o.W.Rows%(parts*n) != 0 || o.W.Rows == 0 {
		c.fail("W", "%v, want a multiple of %d rows", o.W, parts*n)
		return c.err
	}
	experts := o.W.Rows / (parts * n)
	if o.Pick.IsZero() {
		c.that(experts == 1, "W", "holds several matrices and Pick is absent")
	} else {
		c.ints("Pick", &o.Pick, o.Out.Rows)
	}
	c.optional("Bias", &o.Bias, experts, parts*n)
	c.optional("Residual", &o.Residual, o.Out.Rows, n)
	c.aliasOrApart("Residual", &o.Out, &o.Residual)
	c.apart("X", &o.Out, &o.X)
	return c.err
}

// Check implements Op.
func (o *Norm) Check() error {
	c := checker{op: "Norm"}
	c.f32("X", &o.X, -1, -1)
	c.f32("Out", &o.Out, o.X.Rows, o.X.Cols)
	c.that(o.Kind < numNormKind, "Kind", "unknown normalisation")
	groups := atLeast1(o.Groups)
	c.that(o.X.Cols%groups == 0 && o.X.Cols > 0, "Groups", "does not divide the columns of X")
	c.optional("Weight", &o.Weight, 1, o.X.Cols/groups)
	c.optional("Bias", &o.Bias, 1, o.X.Cols/groups)
	c.aliasOrApart("X", &o.Out, &o.X)
	return c.err
}

// Check implements Op.
func (o *Pointwise) Check() error {
	c := checker{op: "Pointwise"}
	c.f32("X", &o.X, -1, -1)
	c.f32("Out", &o.Out, o.X.Rows, o.X.Cols)
	c.that(o.F < numFn, "F", "unknown function")
	c.broadcast("Mul", &o.Mul, o.X.Rows, o.X.Cols)
	c.broadcast("Add", &o.Add, o.X.Rows, o.X.Cols)
	c.aliasOrApart("X", &o.Out, &o.X)
	c.aliasOrApart("Mul", &o.Out, &o.Mul)
	c.aliasOrApart("Add", &o.Out, &o.Add)
	return c.err
}

// Check implements Op.
func (o *RoPE) Check() error {
	c := checker{op: "RoPE"}
	c.f32("X", &o.X, -1, -1)
	c.f32("Cos", &o.Cos, -1, -1)
	c.f32("Sin", &o.Sin, o.Cos.Rows, o.Cos.Cols)
	c.that(o.HeadDim > 0 && o.X.Cols%max(o.HeadDim, 1) == 0, "HeadDim", "does not divide the columns of X")
	c.that(2*o.Cos.Cols <= o.HeadDim, "Cos", "rotates more features than a head has")
	c.ints("Rows", &o.Rows, o.X.Rows)
	return c.err
}

// cacheType reports whether a paged cache may have this type.
func cacheType(t DType) bool { return t == F32 || t == F16 || t == BF16 || t == Q8_0 }

func (c *checker) cache(operand string, t *Tensor, blockSize int) {
	if !c.extent(operand, t) {
		return
	}
	c.that(blockSize > 0 && t.Rows%max(blockSize, 1) == 0, "BlockSize", "does not divide the rows of the cache")
	if !cacheType(t.DType) || !t.Contiguous() {
		c.fail(operand, "%v, want a contiguous F32, F16, BF16 or Q8_0 cache", *t)
	}
}

// Check implements Op.
func (o *StoreKV) Check() error {
	c := checker{op: "StoreKV"}
	c.cache("CacheK", &o.CacheK, o.BlockSize)
	c.cache("CacheV", &o.CacheV, o.BlockSize)
	c.f32("K", &o.K, -1, o.CacheK.Cols)
	c.f32("V", &o.V, o.K.Rows, o.CacheV.Cols)
	c.shape("CacheV", &o.CacheV, o.CacheK.Rows, -1)
	c.that(o.CacheV.DType == o.CacheK.DType, "CacheV", "has another type than CacheK")
	c.ints("Slots", &o.Slots, o.K.Rows)
	c.that(o.KVHeads > 0 && o.K.Cols%max(o.KVHeads, 1) == 0 && o.V.Cols%max(o.KVHeads, 1) == 0, "KVHeads", "does not divide the columns of K and V")
	return c.err
}

// Check implements Op.
func (o *CopyBlocks) Check() error {
	c := checker{op: "CopyBlocks"}
	c.cache("Cache", &o.Cache, o.BlockSize)
	c.ints("Src", &o.Src, -1)
	c.ints("Dst", &o.Dst, o.Src.Rows*o.Src.Cols)
	return c.err
}

// Check implements Op.
func (o *Attention) Check() error {
	c := checker{op: "Attention"}
	c.that(o.Heads > 0 && o.KVHeads > 0 && o.Heads%max(o.KVHeads, 1) == 0, "Heads", "is no multiple of KVHeads")
	c.f32("Q", &o.Q, -1, -1)
	c.f32("Out", &o.Out, o.Q.Rows, -1)
	if c.err != nil {
		return c.err
	}
	c.that(o.Q.Cols > 0 && o.Q.Cols%o.Heads == 0 && o.Out.Cols > 0 && o.Out.Cols%o.Heads == 0, "Heads", "does not divide the columns of Q and Out")
	d, dv := o.Q.Cols/o.Heads, o.Out.Cols/o.Heads
	c.ints("KLens", &o.KLens, -1)
	if c.err != nil {
		return c.err
	}
	n := o.KLens.Rows * o.KLens.Cols
	c.ints("QStarts", &o.QStarts, n+1)
	o.checkKeys(&c, d, dv, n)
	o.checkBiases(&c)
	c.that(o.MaxQ >= 0 && o.MaxK >= 0, "MaxK", "negative")
	c.that(o.Left >= Unlimited && o.Right >= Unlimited, "Left", "below Unlimited")
	if !o.Probs.IsZero() {
		c.f32("Probs", &o.Probs, o.Q.Rows, -1)
		c.that(o.Probs.Cols%o.Heads == 0 && o.Probs.Cols/o.Heads >= o.MaxK, "Probs", "has fewer columns than Heads·MaxK")
		c.apart("Probs", &o.Out, &o.Probs)
	}
	c.apart("Q", &o.Out, &o.Q)
	c.apart("K", &o.Out, &o.K)
	c.apart("V", &o.Out, &o.V)
	return c.err
}

func (o *Attention) checkKeys(c *checker, d, dv, n int) {
	c.that(o.KStarts.IsZero() != o.Blocks.IsZero(), "Blocks", "exactly one of KStarts and Blocks")
	if o.Blocks.IsZero() {
		c.f32("K", &o.K, -1, o.KVHeads*d)
		c.f32("V", &o.V, o.K.Rows, o.KVHeads*dv)
		c.ints("KStarts", &o.KStarts, n)
		return
	}
	c.cache("K", &o.K, o.BlockSize)
	c.cache("V", &o.V, o.BlockSize)
	c.shape("K", &o.K, -1, o.KVHeads*d)
	c.shape("V", &o.V, o.K.Rows, o.KVHeads*dv)
	c.that(o.V.DType == o.K.DType, "V", "has another type than K")
	c.ints("Blocks", &o.Blocks, -1)
	c.shape("Blocks", &o.Blocks, n, -1)
	c.that(o.MaxK <= o.Blocks.Cols*o.BlockSize, "MaxK", "exceeds what the block table holds")
}

func (o *Attention) checkBiases(c *checker) {
	c.optional("Slopes", &o.Slopes, 1, o.Heads)
	c.optional("Sinks", &o.Sinks, 1, o.Heads)
	if !o.KeyBias.IsZero() {
		c.f32("KeyBias", &o.KeyBias, o.Heads, -1)
		c.that(o.KeyBias.Cols >= o.MaxK, "KeyBias", "has fewer columns than MaxK")
	}
	relative := !o.RelBias.IsZero() || !o.QRel.IsZero() || !o.KRel.IsZero()
	c.that(relative == !o.RelIndex.IsZero(), "RelIndex", "goes with RelBias, QRel or KRel")
	if relative && c.err == nil {
		c.ints("RelIndex", &o.RelIndex, -1)
		c.that(o.RelIndex.Rows*o.RelIndex.Cols%2 == 1, "RelIndex", "wants 2M+1 elements")
	}
	c.optional("RelBias", &o.RelBias, -1, o.Heads)
	if !o.QRel.IsZero() || !o.KRel.IsZero() {
		c.that(o.Blocks.IsZero(), "KRel", "needs contiguous keys")
		c.optional("QRel", &o.QRel, o.Q.Rows, -1)
		c.optional("KRel", &o.KRel, o.K.Rows, -1)
		c.that((o.QRel.IsZero() || o.QRel.Cols%o.Heads == 0) && (o.KRel.IsZero() || o.KRel.Cols%o.Heads == 0), "QRel", "columns are no multiple of Heads")
		c.that(o.QRel.IsZero() || o.KRel.IsZero() || o.QRel.Cols == o.KRel.Cols, "KRel", "has other columns than QRel")
	}
}

// Check implements Op.
func (o *TopK) Check() error {
	c := checker{op: "TopK"}
	c.f32("X", &o.X, -1, -1)
	c.f32("Values", &o.Values, o.X.Rows, -1)
	c.that(o.Values.Cols <= o.X.Cols, "Values", "wants more elements than a row has")
	c.ints("IDs", &o.IDs, o.X.Rows*o.Values.Cols)
	c.that(o.Norm < numTopKNorm, "Norm", "unknown")
	c.optional("LSE", &o.LSE, o.X.Rows, 1)
	c.that(o.Also.IsZero() == o.AlsoValue.IsZero(), "Also", "goes with AlsoValue")
	if !o.Also.IsZero() {
		c.ints("Also", &o.Also, -1)
		c.shape("Also", &o.Also, o.X.Rows, -1)
		c.f32("AlsoValue", &o.AlsoValue, o.X.Rows, o.Also.Cols)
	}
	return c.err
}

// Check implements Op.
func (o *Combine) Check() error {
	c := checker{op: "Combine"}
	c.f32("Out", &o.Out, -1, -1)
	c.f32("Weights", &o.Weights, o.Out.Rows, -1)
	c.f32("X", &o.X, o.Out.Rows*o.Weights.Cols, o.Out.Cols)
	c.optional("Residual", &o.Residual, o.Out.Rows, o.Out.Cols)
	c.aliasOrApart("Residual", &o.Out, &o.Residual)
	c.apart("X", &o.Out, &o.X)
	c.apart("Weights", &o.Out, &o.Weights)
	return c.err
}
