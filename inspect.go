package godwit

// Info: what is known of a checkpoint without running it, and the memory it takes.

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// Inspect reads the headers of a checkpoint and loads nothing. Info.Memory is
// the estimate for cfg; a model that would not fit is no error here.
func Inspect(ctx context.Context, path string, cfg Config) (*Info, error) {
	if err := checkConfig(&cfg); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	cp, err := openPath(path)
	if err != nil {
		return nil, err
	}
	defer cp.weights.Close() //nolint:errcheck // nothing was written
	in, err := model.Describe(cp.source, cp.weights)
	if err != nil {
		return nil, modelError(path, err)
	}
	cfg = cfg.settle(cp)
	plan := estimate(cp, in, cfg, deviceMemory(cfg.Device))
	in.Context = plan.context
	info := describe(cp, in, cfg, plan)
	for _, name := range cp.weights.Names() {
		t, _ := cp.weights.Info(name)
		info.Tensors = append(info.Tensors, TensorInfo{Name: name, DType: t.DType.String(), Shape: t.Shape, Bytes: t.Bytes, Runs: cfg.runs(cp, name)})
	}
	if cp.weights.Format() == weights.GGUF {
		info.Metadata = cp.weights.Metadata()
	}
	return &info, nil
}

// describe is Info without tensors and metadata.
func describe(cp *checkpoint, in model.Info, cfg Config, plan plan) Info {
	info := Info{
		Name: baseName(cp.path), Path: cp.path, Family: in.Family, Architecture: in.Architecture, Kind: string(in.Kind),
		Unusual: slices.Concat(in.Unusual, cp.unusual, plan.notes),
		Layers:  max(in.Layers, in.EncoderLayers), Heads: max(in.Heads, in.EncoderHeads), KVHeads: in.KVHeads, Hidden: in.Hidden, Vocab: in.Vocab, Context: in.Context,
		MaxTokens: cp.maxNew, Device: cfg.Device, DType: cfg.arithmetic(cp), Labels: slices.Clone(in.Labels),
		Sampling: cp.sampling, Memory: plan.memory,
	}
	info.Memory.Total = plan.need() + plan.memory.Mapped + tokenBytes*int64(in.Vocab)
	for _, name := range cp.weights.Names() {
		t, _ := cp.weights.Info(name)
		rows, cols := t.RowsCols()
		info.Parameters += int64(rows) * int64(cols)
	}
	if cp.tok != nil {
		info.Tokenizer = cp.tok.Description()
	}
	add := func(ok bool, t Task) {
		if ok {
			info.Tasks = append(info.Tasks, t)
		}
	}
	mask := in.Kind == model.Encode && in.LM && cp.tok != nil && cp.tok.Roles().Mask >= 0
	writes := in.Kind != model.Encode && in.LM
	add(writes, TaskGenerate)
	add(writes && cp.chat != nil && cp.tok != nil, TaskChat)
	add(in.Kind == model.Encode, TaskEmbed)
	add(slices.Contains(in.HeadList, model.HeadSequence), TaskClassify)
	add(slices.Contains(in.HeadList, model.HeadToken) && cp.tok != nil, TaskEntities)
	add(slices.Contains(in.HeadList, model.HeadSpan) && cp.tok != nil, TaskAnswer)
	add(mask, TaskFillMask)
	add(cp.tok != nil, TaskAttend)
	if in.Kind != model.Encode {
		info.KVDType, info.KVBytes = cfg.KVDType, model.CacheBytes(in, kvTypes[cfg.KVDType], 1)
		if cp.chat != nil {
			info.ChatTemplate = cp.chatText
		}
	} else {
		info.Dimensions, info.Pooling = in.Hidden, poolingOf(cp, cfg)
	}
	if mask {
		info.MaskToken, _ = cp.tok.Token(cp.tok.Roles().Mask)
	}
	return info
}

func poolingOf(cp *checkpoint, cfg Config) string {
	if cfg.Pooling != "" {
		return cfg.Pooling
	}
	return cp.vectors.pooling
}

// cloneInfo copies what callers could change.
func cloneInfo(in Info) Info {
	in.Tasks, in.Unusual, in.Labels = slices.Clone(in.Tasks), slices.Clone(in.Unusual), slices.Clone(in.Labels)
	in.Sampling.LogitBias = maps.Clone(in.Sampling.LogitBias)
	return in
}

// tokenBytes is roughly what a tokenizer and a file's metadata keep of a token.
const tokenBytes = 192

// blockSize is the tokens of a block of the KV cache.
const blockSize = 16

// stepTokens is the most tokens of a sequence in one step.
const stepTokens = 512

// plan is how a model is to be fitted into memory.
type plan struct {
	memory  Memory
	context int // tokens of a sequence
	blocks  int // of the KV cache
	notes   []string
}

// need is what has to be there beside mapped files, which the system can drop.
func (p plan) need() int64 { return p.memory.Weights + p.memory.KV + p.memory.Scratch }

// estimate is the plan for what the configuration wants, whether it fits or not;
// free is what the device has.
func estimate(cp *checkpoint, in model.Info, cfg Config, free int64) plan {
	p := plan{context: in.Context}
	if cfg.Context > 0 {
		p.context = min(cfg.Context, in.Context)
	}
	p.memory.Limit = cfg.MemoryLimit
	if p.memory.Limit == 0 {
		p.memory.Limit = free - free/10
	}
	kernels := cfg.onKernels()
	inner, unpacked := in.Hidden, map[string]bool{}
	for _, name := range cp.weights.Names() {
		t, _ := cp.weights.Info(name)
		rows, cols := t.RowsCols()
		p.memory.Mapped += t.Bytes
		p.memory.Weights += cfg.loaded(t.DType, rows, cols)
		if kernels && t.DType != runtime.F16 && t.DType != runtime.F32 {
			unpacked[t.DType.String()] = true
		}
		if rows != in.Vocab && cols != in.Vocab {
			inner = max(inner, rows, cols)
		}
	}
	if len(unpacked) > 0 {
		types := strings.Join(slices.Sorted(maps.Keys(unpacked)), ", ")
		p.notes = append(p.notes, fmt.Sprintf("weights of %s are unpacked to F32 on %s", types, cfg.Device))
	}
	p.memory.Weights += 8 * int64(p.context) * int64(in.HeadDim) / 2 // tables of rotary positions
	tokens := int64(stepTokens)
	if in.Kind != model.Decoder {
		tokens = passTokens
	}
	p.memory.Scratch = 4 * (tokens*int64(4*in.Hidden+2*inner) + int64(in.Vocab)*2)
	if in.Kind != model.Encode {
		p.setBlocks(in, kvTypes[cfg.KVDType], 1)
	}
	return p
}

// setBlocks sizes the KV cache for so many sequences of the full context.
func (p *plan) setBlocks(in model.Info, dtype runtime.DType, sequences int) {
	p.blocks = sequences * ((p.context + blockSize - 1) / blockSize)
	if in.Kind == model.Seq2Seq {
		p.blocks *= 2 // the source's keys and values lie there, too
	}
	p.memory.KV = model.CacheBytes(in, dtype, p.blocks*blockSize)
}

// planMemory fits a model into the limit. A context that was asked for is kept
// or refused; the checkpoint's own is shortened to what fits.
func planMemory(cp *checkpoint, in model.Info, cfg Config, free int64) (plan, error) {
	p := estimate(cp, in, cfg, free)
	if cfg.Context > in.Context {
		return p, &ParamError{"Config.Context", cfg.Context, fmt.Sprintf("the model has %d positions", in.Context)}
	}
	limit := p.memory.Limit
	if limit <= 0 { // nothing is known
		limit = 1 << 62
	}
	dtype := kvTypes[cfg.KVDType]
	if p.need() > limit && cfg.Context == 0 && in.Kind != model.Encode {
		const least = 512
		for p.need() > limit && p.context > least {
			p.context = max(p.context/2, least)
			p.setBlocks(in, dtype, 1)
		}
		p.notes = append(p.notes, fmt.Sprintf("the context is %d of the checkpoint's %d tokens, as more does not fit into memory: set Context and MemoryLimit to choose", p.context, in.Context))
	}
	if p.need() > limit {
		return p, &MemoryError{Device: cfg.Device, Need: p.need(), Free: limit}
	}
	if in.Kind == model.Encode {
		return p, nil
	}
	// Room for several sequences, as long as it stays a small part of the limit.
	for n := 2; n <= 64; n *= 2 {
		more := p
		more.setBlocks(in, dtype, n)
		if more.memory.KV > limit/8 || more.blocks*blockSize > 1<<16 && n > 4 {
			break
		}
		p = more
	}
	return p, nil
}
