// Package godwit runs Transformer models inside Go programs: text from
// decoders, vectors, labels and masked words from encoders, and what every
// attention head looked at. It reads Hugging Face directories and GGUF files as
// they are, needs no Python and no C toolchain, and is one go get.
//
//	m, err := godwit.Open(ctx, "SmolLM2-135M-Instruct.Q4_1.gguf", godwit.Config{})
//	if err != nil { … }
//	defer m.Close()
//	for tok, err := range m.Generate(ctx, godwit.Request{Prompt: "Gravity is", MaxTokens: 48}) {
//		if err != nil { … }
//		fmt.Print(tok.Text)
//	}
//
// A Model is one checkpoint with every head it has; Info().Tasks says which
// methods it answers. All methods may be called from any number of goroutines.
// Zero fields of Config and of requests mean "the usual"; where zero is itself
// a wish the field is a pointer, which Go 1.26 writes in place: new(0.0).
// Requests and results are plain structs with JSON tags, and results are copies:
// they outlive Close. Use keyed literals: structs gain fields in minor versions.
package godwit

// What is said about a checkpoint and how it is opened.

// Task is something a model can do; methods, commands and Info say the same.
type Task string

// The tasks.
const (
	TaskGenerate Task = "generate" // Generate, Complete
	TaskChat     Task = "chat"     // the same with Messages: there is a chat template
	TaskEmbed    Task = "embed"
	TaskClassify Task = "classify"
	TaskEntities Task = "entities" // token classification
	TaskAnswer   Task = "answer"   // extractive question answering
	TaskFillMask Task = "fill-mask"
	TaskAttend   Task = "attend"
)

// Config says how to open a model. The zero value is the usual.
type Config struct {
	// Device is "auto", "cpu", "cpu:PATH" with a set of instructions as Devices
	// lists them, "reference" (gonum in float32, written to be right), "cuda" or
	// "cuda:N". "": $GODWIT_DEVICE, else auto, which is a GPU whose kernels run, else cpu.
	Device string `json:"device,omitempty"`
	// DType is the arithmetic. "f32" is exact: products, attention and KV cache in
	// f32, whatever weights are stored in. "" is what is fastest for the stored
	// weights: on the CPU int8 activations for block types, bf16 products for
	// bf16, f32 for the others. "bf16" and "f16" round weights stored in f32 while they load; products are
	// those of bf16, and of f32 with f16 weights. Quality says what it costs.
	DType string `json:"dtype,omitempty"`
	// Quantize rounds the matrices to "q8_0" or "q4_0" while they load; "": they
	// stay as they are stored.
	Quantize string `json:"quantize,omitempty"`
	// KVDType is the type of the KV cache: "f32", "f16", "bf16" or "q8_0". "": as
	// wide as the arithmetic: f32 for f32, bf16 for bf16, else f16.
	KVDType string `json:"kv_dtype,omitempty"`
	// Threads that compute; 0: GOMAXPROCS.
	Threads int `json:"threads,omitempty"`
	// Context is the most tokens of a sequence, prompt and answer together; 0:
	// the checkpoint's.
	Context int `json:"context,omitempty"`
	// MemoryLimit bounds weights, KV cache and scratch, in bytes; 0: what is
	// free, with a margin.
	MemoryLimit int64 `json:"memory_limit,omitempty"`
	// Pooling is how Embed makes one vector of a text: "mean", "cls" or "last",
	// over what modules.json says.
	Pooling string `json:"pooling,omitempty"`
	// Sampling has defaults for requests; over generation_config.json.
	Sampling Sampling `json:"sampling,omitzero"`
	// Progress is called while a model loads, on Open's goroutine, at most ten
	// times a second and once at the end of each stage.
	Progress func(Progress) `json:"-"`
}

// Progress is how far a stage of loading is, or a test of Bench.
type Progress struct {
	Stage string `json:"stage"` // "weights"; of Bench the test
	Done  int64  `json:"done"`  // bytes; of Bench runs
	Total int64  `json:"total"`
}

// Info describes a model. It is fixed while the model is open.
type Info struct {
	Name         string   `json:"name"` // base name of Path
	Path         string   `json:"path"`
	Family       string   `json:"family"`       // "gpt2", "llama", "bert"
	Architecture string   `json:"architecture"` // "LlamaForCausalLM"
	Kind         string   `json:"kind"`         // "decoder" or "encoder"
	Tasks        []Task   `json:"tasks"`
	Unusual      []string `json:"unusual,omitempty"` // what a user may want to know: "no tokenizer"

	Parameters int64 `json:"parameters"`
	Layers     int   `json:"layers"`
	Heads      int   `json:"heads"`
	KVHeads    int   `json:"kv_heads"`
	Hidden     int   `json:"hidden"`
	Vocab      int   `json:"vocab"`
	Context    int   `json:"context"`              // most tokens of a sequence
	Dimensions int   `json:"dimensions,omitempty"` // of Embed's vectors
	MaxTokens  int   `json:"max_tokens,omitempty"` // default for requests; 0: the rest of the context
	KVBytes    int64 `json:"kv_bytes,omitempty"`   // of one token in the KV cache

	Pooling      string   `json:"pooling,omitempty"`
	MaskToken    string   `json:"mask_token,omitempty"`
	Tokenizer    string   `json:"tokenizer"` // its kind; "": there is none
	ChatTemplate string   `json:"chat_template,omitempty"`
	Device       string   `json:"device"`
	DType        string   `json:"dtype"`              // arithmetic: "f32", "bf16", "f16" or "int8"
	KVDType      string   `json:"kv_dtype,omitempty"` // of the KV cache
	Labels       []string `json:"labels,omitempty"`   // of Classify or Entities

	Sampling Sampling       `json:"sampling,omitzero"` // what the files ask for; nil fields: they are silent
	Memory   Memory         `json:"memory"`
	Tensors  []TensorInfo   `json:"tensors,omitempty"`  // Inspect only
	Metadata map[string]any `json:"metadata,omitempty"` // of a GGUF file; Inspect only
}

// TensorInfo is one stored tensor.
type TensorInfo struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
	Bytes int64  `json:"bytes"`
	// Runs is the type in which products read it on the device, where that is
	// another one: what nothing multiplies as it is stored, or Config asks to round.
	// Which type is close enough is judged by a sample of the rows.
	Runs string `json:"runs,omitempty"`
}

// Memory is in bytes.
type Memory struct {
	Weights int64 `json:"weights"` // on the device
	Mapped  int64 `json:"mapped"`  // of files, shared with the page cache
	KV      int64 `json:"kv"`      // the KV cache
	Scratch int64 `json:"scratch"` // an estimate of the largest step
	Total   int64 `json:"total"`   // all of these, and the tokenizer: what the process takes at most
	Limit   int64 `json:"limit"`   // for all but what is mapped
}

// DeviceInfo is one device this build knows, usable here or not.
type DeviceInfo struct {
	Name   string `json:"name"`             // as Config.Device wants it
	Detail string `json:"detail,omitempty"` // processor, threads
	Reason string `json:"reason,omitempty"` // why it is not usable; "": it is
	Auto   bool   `json:"auto,omitempty"`   // what "auto" takes
	Free   int64  `json:"free,omitempty"`   // memory, bytes; 0: unknown
	Total  int64  `json:"total,omitempty"`
}
