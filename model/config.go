package model

// Reading configurations: which family one belongs to, config.json, and what is
// wrong with them.

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// ConfigError is a configuration that cannot be true.
type ConfigError struct {
	File, Field, Reason string
}

// Error names file and field.
func (e *ConfigError) Error() string { return fmt.Sprintf("%s: %s: %s", e.File, e.Field, e.Reason) }

// UnsupportedError is a configuration that is right but not supported. It
// matches errors.ErrUnsupported.
type UnsupportedError struct {
	File string
	What string   // "model_type \"rwkv\""
	Have []string // what is supported instead
}

// Error says what is supported.
func (e *UnsupportedError) Error() string {
	text := fmt.Sprintf("%s: %s is not supported", e.File, e.What)
	if len(e.Have) > 0 {
		text += "; supported: " + strings.Join(e.Have, ", ")
	}
	return text
}

// Is matches errors.ErrUnsupported.
func (e *UnsupportedError) Is(target error) bool { return target == runtime.ErrUnsupported }

// family is one row of families.
type family struct {
	name  string
	types []string // model_type of config.json
	arch  string   // general.architecture of GGUF; "": not read from GGUF
	json  func(src Source, ck *weights.Checkpoint) (config, error)
	gguf  func(src Source, ck *weights.Checkpoint) (config, error)
}

// families are all families, one file each.
var families = []family{
	{name: "gpt2", types: []string{"gpt2"}, arch: "gpt2", json: gpt2JSON, gguf: gpt2GGUF},
	{name: "gpt-neo", types: []string{"gpt_neo"}, json: gptNeoJSON},
	{name: "opt", types: []string{"opt"}, json: optJSON},
	{name: "gptj", types: []string{"gptj"}, arch: "gptj", json: gptjJSON, gguf: gptjGGUF},
	{name: "codegen", types: []string{"codegen"}, json: codegenJSON},
	{name: "gpt-bigcode", types: []string{"gpt_bigcode"}, arch: "starcoder", json: bigcodeJSON, gguf: starcoderGGUF},
	{name: "starcoder2", types: []string{"starcoder2"}, arch: "starcoder2", json: starcoder2JSON, gguf: starcoder2GGUF},
	{name: "bloom", types: []string{"bloom"}, arch: "bloom", json: bloomJSON, gguf: bloomGGUF},
	{name: "palm", types: []string{"palm"}, json: palmJSON},
	{name: "falcon", types: []string{"falcon"}, arch: "falcon", json: falconJSON, gguf: falconGGUF},
	{name: "gpt-neox", types: []string{"gpt_neox"}, arch: "gptneox", json: gptNeoXJSON, gguf: gptNeoXGGUF},
	{name: "phi", types: []string{"phi"}, arch: "phi2", json: phiJSON, gguf: phi2GGUF},
	{name: "llama", types: []string{"llama"}, arch: "llama", json: llamaJSON, gguf: llamaGGUF},
	{name: "mistral", types: []string{"mistral"}, json: mistralJSON},
	{name: "mixtral", types: []string{"mixtral"}, json: mixtralJSON},
	{name: "qwen2", types: []string{"qwen2"}, arch: "qwen2", json: qwen2JSON, gguf: qwen2GGUF},
	{name: "qwen3", types: []string{"qwen3"}, arch: "qwen3", json: qwen3JSON, gguf: qwen3GGUF},
	{name: "qwen3-moe", types: []string{"qwen3_moe"}, arch: "qwen3moe", json: qwen3MoEJSON, gguf: qwen3MoEGGUF},
	{name: "gemma", types: []string{"gemma"}, arch: "gemma", json: gemmaJSON, gguf: gemmaGGUF},
	{name: "gemma2", types: []string{"gemma2"}, arch: "gemma2", json: gemma2JSON, gguf: gemma2GGUF},
	{name: "gemma3", types: []string{"gemma3_text"}, arch: "gemma3", json: gemma3JSON, gguf: gemma3GGUF},
	{name: "phi3", types: []string{"phi3"}, arch: "phi3", json: phi3JSON, gguf: phi3GGUF},
	{name: "bert", types: []string{"bert"}, arch: "bert", json: bertJSON, gguf: bertGGUF},
	{name: "roberta", types: []string{"roberta"}, json: robertaJSON},
	{name: "xlm-roberta", types: []string{"xlm-roberta"}, json: xlmRobertaJSON},
	{name: "distilbert", types: []string{"distilbert"}, json: distilbertJSON},
	{name: "electra", types: []string{"electra"}, json: electraJSON},
	{name: "deberta-v2", types: []string{"deberta-v2"}, json: debertaJSON},
	{name: "modernbert", types: []string{"modernbert"}, json: modernbertJSON},
	{name: "bart", types: []string{"bart"}, json: bartJSON},
	{name: "t5", types: []string{"t5", "mt5"}, arch: "t5", json: t5JSON, gguf: t5GGUF},
}

// parse finds the family and reads its configuration.
func parse(src Source, ck *weights.Checkpoint) (config, error) {
	var have []string
	if src.GGUF != nil {
		arch, _ := src.GGUF["general.architecture"].(string)
		for _, f := range families {
			if f.arch != "" && f.arch == arch {
				return f.gguf(src, ck)
			}
			if f.arch != "" {
				have = append(have, f.arch)
			}
		}
		return nil, &UnsupportedError{src.File, fmt.Sprintf("general.architecture %q", arch), have}
	}
	var head struct {
		ModelType    string `json:"model_type"`
		Causal       *bool  `json:"is_causal"`        // of a decoder: false makes it see what follows
		PerLayer     any    `json:"per_layer_config"` // layers of different sizes
		Quantization *struct {
			Method string `json:"quant_method"`
		} `json:"quantization_config"` // weights in formats of Python libraries
	}
	if err := decode(src, &head); err != nil {
		return nil, err
	}
	if head.ModelType == "" {
		return nil, &ConfigError{src.File, "model_type", "is absent: is this the config.json of a transformers model?"}
	}
	k := checker{src: src}
	k.refuse(head.Causal != nil && !*head.Causal, "is_causal", false)
	k.refuse(head.PerLayer != nil, "per_layer_config", "of any kind")
	if head.Quantization != nil {
		k.refuse(true, "quantization_config", head.Quantization.Method)
	}
	if k.err != nil {
		return nil, k.err
	}
	for _, f := range families {
		if slices.Contains(f.types, head.ModelType) {
			return f.json(src, ck)
		}
		have = append(have, f.types...)
	}
	return nil, &UnsupportedError{src.File, fmt.Sprintf("model_type %q", head.ModelType), have}
}

// decode reads config.json into a struct with its names. Aliases are other
// spellings of fields that transformers' configuration classes accept
// ("hidden_size": "n_embd"); where a file has both, the alias counts, as there.
func decode(src Source, into any, aliases ...map[string]string) error {
	if len(src.Config) > 16<<20 {
		return &ConfigError{src.File, "size", "is over 16 MiB"}
	}
	err := json.Unmarshal(src.Config, into)
	for _, names := range aliases {
		if err == nil {
			err = decodeAliases(src.Config, into, names)
		}
	}
	if err != nil {
		field := "JSON"
		if e := (*json.UnmarshalTypeError)(nil); errors.As(err, &e) && e.Field != "" {
			field = e.Field
		}
		return &ConfigError{src.File, field, err.Error()}
	}
	return nil
}

// decodeAliases reads the fields that are spelled otherwise.
func decodeAliases(config []byte, into any, names map[string]string) error {
	var all, known map[string]json.RawMessage
	if err := json.Unmarshal(config, &all); err != nil {
		return err
	}
	for alias, name := range names {
		if v, ok := all[alias]; ok {
			if known == nil {
				known = map[string]json.RawMessage{}
			}
			known[name] = v
		}
	}
	b, err := json.Marshal(known)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

// architecture is the class a configuration names: one of have, or the first of
// have if it names none.
func architecture(src Source, names, have []string) (string, error) {
	if len(names) == 0 {
		return have[0], nil
	}
	for _, n := range names {
		if slices.Contains(have, n) {
			return n, nil
		}
	}
	return "", &UnsupportedError{src.File, fmt.Sprintf("architecture %q", names[0]), have}
}
