package runtime

// What each operation is called and which operands it has.

func present(dst []Operand, name string, t *Tensor, access Access) []Operand {
	if t.IsZero() {
		return dst
	}
	return append(dst, Operand{name, t, access})
}

func (*Gather) closed() {}

// Name implements Op.
func (*Gather) Name() string { return "Gather" }

// Operands implements Op.
func (o *Gather) Operands(dst []Operand) []Operand {
	access := Write
	if o.Add {
		access |= Read
	}
	dst = present(dst, "Out", &o.Out, access)
	dst = present(dst, "Table", &o.Table, Read)
	dst = present(dst, "IDs", &o.IDs, Read)
	return dst
}

func (*MatMul) closed() {}

// Name implements Op.
func (*MatMul) Name() string { return "MatMul" }

// Operands implements Op.
func (o *MatMul) Operands(dst []Operand) []Operand {
	dst = present(dst, "Out", &o.Out, Write)
	dst = present(dst, "X", &o.X, Read)
	dst = present(dst, "W", &o.W, Read)
	dst = present(dst, "Bias", &o.Bias, Read)
	dst = present(dst, "Residual", &o.Residual, Read)
	dst = present(dst, "Pick", &o.Pick, Read)
	return dst
}

func (*Norm) closed() {}

// Name implements Op.
func (*Norm) Name() string { return "Norm" }

// Operands implements Op.
func (o *Norm) Operands(dst []Operand) []Operand {
	dst = present(dst, "Out", &o.Out, Write)
	dst = present(dst, "X", &o.X, Read)
	dst = present(dst, "Weight", &o.Weight, Read)
	dst = present(dst, "Bias", &o.Bias, Read)
	return dst
}

func (*Pointwise) closed() {}

// Name implements Op.
func (*Pointwise) Name() string { return "Pointwise" }

// Operands implements Op.
func (o *Pointwise) Operands(dst []Operand) []Operand {
	dst = present(dst, "Out", &o.Out, Write)
	dst = present(dst, "X", &o.X, Read)
	dst = present(dst, "Mul", &o.Mul, Read)
	dst = present(dst, "Add", &o.Add, Read)
	return dst
}

func (*RoPE) closed() {}

// Name implements Op.
func (*RoPE) Name() string { return "RoPE" }

// Operands implements Op.
func (o *RoPE) Operands(dst []Operand) []Operand {
	dst = present(dst, "X", &o.X, Read|Write)
	dst = present(dst, "Cos", &o.Cos, Read)
	dst = present(dst, "Sin", &o.Sin, Read)
	dst = present(dst, "Rows", &o.Rows, Read)
	return dst
}

func (*StoreKV) closed() {}

// Name implements Op.
func (*StoreKV) Name() string { return "StoreKV" }

// Operands implements Op.
func (o *StoreKV) Operands(dst []Operand) []Operand {
	dst = present(dst, "K", &o.K, Read)
	dst = present(dst, "V", &o.V, Read)
	dst = present(dst, "CacheK", &o.CacheK, Write)
	dst = present(dst, "CacheV", &o.CacheV, Write)
	dst = present(dst, "Slots", &o.Slots, Read)
	return dst
}

func (*CopyBlocks) closed() {}

// Name implements Op.
func (*CopyBlocks) Name() string { return "CopyBlocks" }

// Operands implements Op.
func (o *CopyBlocks) Operands(dst []Operand) []Operand {
	dst = present(dst, "Cache", &o.Cache, Read|Write)
	dst = present(dst, "Src", &o.Src, Read)
	dst = present(dst, "Dst", &o.Dst, Read)
	return dst
}

func (*Attention) closed() {}

// Name implements Op.
func (*Attention) Name() string { return "Attention" }

// Operands implements Op.
func (o *Attention) Operands(dst []Operand) []Operand {
	dst = present(dst, "Out", &o.Out, Write)
	dst = present(dst, "Q", &o.Q, Read)
	dst = present(dst, "K", &o.K, Read)
	dst = present(dst, "V", &o.V, Read)
	dst = present(dst, "QStarts", &o.QStarts, Read)
	dst = present(dst, "KLens", &o.KLens, Read)
	dst = present(dst, "KStarts", &o.KStarts, Read)
	dst = present(dst, "Blocks", &o.Blocks, Read)
	dst = present(dst, "Slopes", &o.Slopes, Read)
	dst = present(dst, "KeyBias", &o.KeyBias, Read)
	dst = present(dst, "RelIndex", &o.RelIndex, Read)
	dst = present(dst, "RelBias", &o.RelBias, Read)
	dst = present(dst, "QRel", &o.QRel, Read)
	dst = present(dst, "KRel", &o.KRel, Read)
	dst = present(dst, "Sinks", &o.Sinks, Read)
	dst = present(dst, "Probs", &o.Probs, Write)
	return dst
}

func (*TopK) closed() {}

// Name implements Op.
func (*TopK) Name() string { return "TopK" }

// Operands implements Op.
func (o *TopK) Operands(dst []Operand) []Operand {
	dst = present(dst, "Values", &o.Values, Write)
	dst = present(dst, "IDs", &o.IDs, Write)
	dst = present(dst, "X", &o.X, Read)
	dst = present(dst, "LSE", &o.LSE, Write)
	dst = present(dst, "Also", &o.Also, Read)
	dst = present(dst, "AlsoValue", &o.AlsoValue, Write)
	return dst
}

func (*Combine) closed() {}

// Name implements Op.
func (*Combine) Name() string { return "Combine" }

// Operands implements Op.
func (o *Combine) Operands(dst []Operand) []Operand {
	dst = present(dst, "Out", &o.Out, Write)
	dst = present(dst, "X", &o.X, Read)
	dst = present(dst, "Weights", &o.Weights, Read)
	dst = present(dst, "Residual", &o.Residual, Read)
	return dst
}
