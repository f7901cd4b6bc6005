package godwit

// What lies in a checkpoint's directory beside the weights, or in a GGUF file's
// metadata: tokenizer, chat template, defaults for generation, pooling.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/tokenizer"
	"github.com/godwit-ml/godwit/tokenizer/template"
	"github.com/godwit-ml/godwit/weights"
)

// checkpoint is everything read of a model before it is loaded.
type checkpoint struct {
	path     string // as it was given
	weights  *weights.Checkpoint
	source   model.Source
	tok      *tokenizer.Tokenizer // nil: there is none
	tokErr   error                // why, if there should be one
	chat     *template.Template   // nil: there is none
	chatText string
	chatErr  error
	sampling Sampling
	eos      []int32
	maxNew   int
	wishes   wishes
	vectors  vectorConfig
	unusual  []string
}

// Limits of files that are read whole.
const (
	maxConfigBytes    = 16 << 20
	maxTokenizerBytes = 256 << 20
)

// openPath opens a Hugging Face directory or a .gguf file of the system.
func openPath(name string) (*checkpoint, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, &ModelError{File: name, Reason: "cannot be opened: " + bareReason(err), Err: err}
	}
	w, err := weights.Open(name)
	if err != nil {
		return nil, modelError(name, err)
	}
	c := &checkpoint{path: name, weights: w}
	if st.IsDir() {
		err = c.readDir(os.DirFS(name), ".", func(file string) string { return filepath.Join(name, file) })
	} else {
		err = c.readGGUF(name)
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return c, nil
}

// openFS opens a directory or a .gguf file of a file system.
func openFS(fsys fs.FS, name string) (*checkpoint, error) {
	st, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, &ModelError{File: name, Reason: "cannot be opened: " + bareReason(err), Err: err}
	}
	w, err := weights.OpenFS(fsys, name)
	if err != nil {
		return nil, modelError(name, err)
	}
	c := &checkpoint{path: name, weights: w}
	if st.IsDir() {
		err = c.readDir(fsys, name, func(file string) string { return path.Join(name, file) })
	} else {
		err = c.readGGUF(name)
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return c, nil
}

// bareReason is an error without the path that the caller names anyway.
func bareReason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// dir reads files of one directory; show is how messages call them.
type dir struct {
	fsys fs.FS
	name string
	show func(file string) string
}

// read reads a file of at most limit bytes; nil if there is none.
func (d dir) read(file string, limit int64) ([]byte, error) {
	f, err := d.fsys.Open(path.Join(d.name, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &ModelError{File: d.show(file), Reason: bareReason(err), Err: err}
	}
	defer f.Close() //nolint:errcheck // nothing was written
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, &ModelError{File: d.show(file), Reason: bareReason(err), Err: err}
	}
	if int64(len(data)) > limit {
		return nil, &ModelError{File: d.show(file), Reason: fmt.Sprintf("is over %d MiB", limit>>20)}
	}
	return data, nil
}

// json reads a JSON file into a struct; false if there is none.
func (d dir) json(file string, into any) (bool, error) {
	data, err := d.read(file, maxConfigBytes)
	if data == nil || err != nil {
		return false, err
	}
	if err := json.Unmarshal(data, into); err != nil {
		field := ""
		var t *json.UnmarshalTypeError
		if errors.As(err, &t) {
			field = t.Field
		}
		return false, &ModelError{File: d.show(file), Field: field, Reason: err.Error(), Err: err}
	}
	return true, nil
}

// readDir reads a Hugging Face directory.
func (c *checkpoint) readDir(fsys fs.FS, name string, show func(string) string) error {
	d := dir{fsys, name, show}
	config, err := d.read("config.json", maxConfigBytes)
	if err != nil {
		return err
	}
	if config == nil {
		return &ModelError{File: show("config.json"), Reason: "is missing: a Hugging Face directory has one beside its weights"}
	}
	c.source = model.Source{File: show("config.json"), Config: config}
	if err := c.readTokenizer(d); err != nil {
		return err
	}
	if err := c.readGeneration(d, config); err != nil {
		return err
	}
	return c.readVectors(d)
}

// readTokenizer finds the tokenizer and the chat template. A tokenizer that is
// not supported leaves a model that works on ids.
func (c *checkpoint) readTokenizer(d dir) error {
	config, err := d.read("tokenizer_config.json", maxConfigBytes)
	if err != nil {
		return err
	}
	data, err := d.read("tokenizer.json", maxTokenizerBytes)
	if err != nil {
		return err
	}
	file := "tokenizer.json"
	switch {
	case data != nil:
		c.tok, c.tokErr = tokenizer.FromJSON(data, config)
	default:
		for _, file = range []string{"tokenizer.model", "spiece.model", "sentencepiece.bpe.model"} {
			if data, err = d.read(file, maxTokenizerBytes); err != nil {
				return err
			}
			if data != nil {
				c.tok, c.tokErr = tokenizer.FromSentencePiece(data)
				break
			}
		}
	}
	if c.tokErr != nil {
		c.unusual = append(c.unusual, "the tokenizer cannot be used: "+c.tokErr.Error())
		c.tokErr = &ModelError{File: d.show(file), Reason: c.tokErr.Error(), Err: c.tokErr}
	} else if c.tok == nil {
		c.unusual = append(c.unusual, "no tokenizer.json and no SentencePiece model: only token ids work")
	}
	text, err := d.read("chat_template.jinja", maxConfigBytes)
	if err != nil {
		return err
	}
	if c.tok != nil {
		c.chatText = c.tok.ChatTemplate()
	}
	if text != nil {
		c.chatText = string(text)
	}
	c.parseChat()
	return nil
}

func (c *checkpoint) parseChat() {
	if c.chatText == "" {
		return
	}
	if c.chat, c.chatErr = template.Parse(c.chatText); c.chatErr != nil {
		c.unusual = append(c.unusual, "the chat template cannot be used: "+c.chatErr.Error())
	}
}

// ids is one id or a list of them, as eos_token_id is.
type ids []int32

// UnmarshalJSON reads null, a number or a list.
func (v *ids) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	if data[0] == '[' {
		return json.Unmarshal(data, (*[]int32)(v))
	}
	var one int32
	if err := json.Unmarshal(data, &one); err != nil {
		return err
	}
	*v = ids{one}
	return nil
}

// generationJSON is generation_config.json.
type generationJSON struct {
	EOS               ids      `json:"eos_token_id"`
	MaxNew            int      `json:"max_new_tokens"`
	DoSample          bool     `json:"do_sample"`
	Temperature       *float64 `json:"temperature"`
	TopP              *float64 `json:"top_p"`
	MinP              *float64 `json:"min_p"`
	TypicalP          *float64 `json:"typical_p"`
	TopK              *int     `json:"top_k"`
	RepetitionPenalty *float64 `json:"repetition_penalty"`
}

func (c *checkpoint) readGeneration(d dir, config []byte) error {
	var g generationJSON
	found, err := d.json("generation_config.json", &g)
	if err != nil {
		return err
	}
	if !found { // what transformers did before there was the file
		if err := json.Unmarshal(config, &g); err != nil {
			return &ModelError{File: d.show("config.json"), Reason: err.Error(), Err: err}
		}
	}
	if len(g.EOS) == 0 {
		var old struct {
			EOS ids `json:"eos_token_id"`
		}
		if err := json.Unmarshal(config, &old); err != nil {
			return &ModelError{File: d.show("config.json"), Field: "eos_token_id", Reason: err.Error(), Err: err}
		}
		g.EOS = old.EOS
	}
	if len(g.EOS) == 0 && c.tok != nil && c.tok.Roles().EOS >= 0 {
		g.EOS = ids{c.tok.Roles().EOS}
	}
	c.eos, c.maxNew = g.EOS, max(g.MaxNew, 0)
	c.sampling.RepetitionPenalty = g.RepetitionPenalty
	if g.DoSample {
		c.sampling.Temperature, c.sampling.TopK = g.Temperature, g.TopK
		c.sampling.TopP, c.sampling.MinP, c.sampling.TypicalP = g.TopP, g.MinP, g.TypicalP
		if c.sampling.Temperature == nil {
			c.sampling.Temperature = new(1.0)
		}
		if c.sampling.TopK == nil {
			c.sampling.TopK = new(50) // Hugging Face's default, which it does not write
		}
	}
	return c.readWishes(d, found, config)
}

// readWishes reads the rest of the same file.
func (c *checkpoint) readWishes(d dir, found bool, config []byte) error {
	var fields map[string]json.RawMessage
	file := "generation_config.json"
	if found {
		if _, err := d.json(file, &fields); err != nil {
			return err
		}
	} else {
		file = "config.json"
		if err := json.Unmarshal(config, &fields); err != nil {
			return &ModelError{File: d.show(file), Reason: err.Error(), Err: err}
		}
	}
	c.wishes = readWishes(d.show(file), fields, !found)
	c.unusual = append(c.unusual, c.wishes.notes()...)
	return nil
}

// readGGUF reads the metadata of a GGUF file.
func (c *checkpoint) readGGUF(name string) error {
	meta := c.weights.Metadata()
	c.source = model.Source{File: name, GGUF: meta}
	if c.weights.Format() != weights.GGUF {
		return &ModelError{File: name, Reason: "is no GGUF file: of a safetensors checkpoint name the directory, which has config.json beside it"}
	}
	if kind, _ := meta["tokenizer.ggml.model"].(string); kind == "" || kind == "no_vocab" {
		c.unusual = append(c.unusual, "no tokenizer in the file: only token ids work")
	} else if c.tok, c.tokErr = tokenizer.FromGGUF(meta); c.tokErr != nil {
		c.unusual = append(c.unusual, "the tokenizer cannot be used: "+c.tokErr.Error())
		c.tokErr = &ModelError{File: name, Field: "tokenizer.ggml", Reason: c.tokErr.Error(), Err: c.tokErr}
	}
	for _, key := range []string{"eos", "eot", "eom"} {
		if id, ok := meta["tokenizer.ggml."+key+"_token_id"].(uint32); ok && id <= math.MaxInt32 && !slices.Contains(c.eos, int32(id)) {
			c.eos = append(c.eos, int32(id))
		}
	}
	c.chatText, _ = meta["tokenizer.chat_template"].(string)
	c.parseChat()
	return c.ggufPooling(name, meta)
}

// ggufPooling reads how a file's vectors are made: 0 is none said, 1 the mean, 2
// the first token, 3 the last.
func (c *checkpoint) ggufPooling(name string, meta map[string]any) error {
	arch, _ := meta["general.architecture"].(string)
	switch kind, _ := meta[arch+".pooling_type"].(uint32); kind {
	case 0:
		c.vectors.pooling = "mean"
	case 1, 2, 3:
		c.vectors.pooling = poolings[kind-1]
	default:
		return &UnsupportedError{What: fmt.Sprintf("%s.pooling_type %d", arch, kind), Model: name, Have: poolings}
	}
	return nil
}

// vectorConfig is how texts become vectors.
type vectorConfig struct {
	pooling   string // "mean", "cls", "last"
	normalize bool
	maxTokens int // 0: the context
}

// readVectors reads what sentence-transformers writes: modules.json and what it
// points to. Without it the mean of the last hidden states is meant.
func (c *checkpoint) readVectors(d dir) error {
	c.vectors.pooling = "mean"
	var modules []struct {
		Path string `json:"path"`
		Type string `json:"type"`
	}
	found, err := d.json("modules.json", &modules)
	if err != nil || !found {
		return err
	}
	for _, m := range modules {
		kind := m.Type[strings.LastIndexByte(m.Type, '.')+1:]
		switch kind {
		case "Transformer":
			var s struct {
				MaxTokens int `json:"max_seq_length"`
			}
			if _, err := d.json("sentence_bert_config.json", &s); err != nil {
				return err
			}
			c.vectors.maxTokens = max(s.MaxTokens, 0)
		case "Pooling":
			if err := c.readPooling(d, m.Path); err != nil {
				return err
			}
		case "Normalize":
			c.vectors.normalize = true
		default:
			return &UnsupportedError{What: fmt.Sprintf("the module %q of modules.json", m.Type), Model: d.show("modules.json"), Have: []string{"Transformer", "Pooling", "Normalize"}}
		}
	}
	return nil
}

func (c *checkpoint) readPooling(d dir, folder string) error {
	if !fs.ValidPath(folder) {
		return &ModelError{File: d.show("modules.json"), Field: "path", Reason: fmt.Sprintf("%q is no folder of the model", folder)}
	}
	file := path.Join(folder, "config.json")
	var p struct {
		Mode    string `json:"pooling_mode"`
		Mean    bool   `json:"pooling_mode_mean_tokens"`
		CLS     bool   `json:"pooling_mode_cls_token"`
		Last    bool   `json:"pooling_mode_lasttoken"`
		Max     bool   `json:"pooling_mode_max_tokens"`
		Sqrt    bool   `json:"pooling_mode_mean_sqrt_len_tokens"`
		Weighed bool   `json:"pooling_mode_weightedmean_tokens"`
	}
	if _, err := d.json(file, &p); err != nil {
		return err
	}
	var modes []string
	for _, m := range []struct {
		name string
		on   bool
	}{{"mean", p.Mean}, {"cls", p.CLS}, {"last", p.Last}, {"max", p.Max}, {"mean_sqrt_len", p.Sqrt}, {"weightedmean", p.Weighed}} {
		if m.on {
			modes = append(modes, m.name)
		}
	}
	if len(modes) == 0 && p.Mode != "" {
		modes = []string{strings.TrimSuffix(p.Mode, "token")}
	}
	if len(modes) != 1 || !slices.Contains(poolings, modes[0]) {
		return &UnsupportedError{What: fmt.Sprintf("the pooling %q", modes), Model: d.show(file), Have: poolings}
	}
	c.vectors.pooling = modes[0]
	return nil
}

// modelError is an error of the packages that read checkpoints, as this
// package's.
func modelError(name string, err error) error {
	var w *weights.Error
	var cfg *model.ConfigError
	var un *model.UnsupportedError
	switch {
	case errors.As(err, &w):
		return &ModelError{File: w.File, Tensor: w.Tensor, Field: w.Field, Reason: w.Reason, Err: err}
	case errors.As(err, &cfg):
		return &ModelError{File: cfg.File, Field: cfg.Field, Reason: cfg.Reason, Err: err}
	case errors.As(err, &un):
		return &UnsupportedError{What: un.What, Model: un.File, Have: un.Have}
	}
	return &ModelError{File: name, Reason: strings.TrimPrefix(err.Error(), "cpu: "), Err: err}
}
