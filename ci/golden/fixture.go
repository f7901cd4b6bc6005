// Package golden runs checkpoints that come with PyTorch's outputs and compares:
// what ci/conform does with all fixtures, and tests of models with a few.
package golden

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// Golden is golden.json, the expected outputs of a checkpoint, and the tensors
// of golden.safetensors beside it.
type Golden struct {
	Name     string       `json:"name"`
	Kind     string       `json:"kind"` // "causal", "masked", "encoder", "pretrain", "seqcls", "tokcls", "qa", "seq2seq"
	Pad      *int32       `json:"pad_token_id"`
	Cases    []Case       `json:"cases"`
	Generate []Generation `json:"generate"`
	FillMask *FillMask    `json:"fill_mask"`

	tensors *weights.Checkpoint
}

// Case is one batch of B rows of T tokens.
type Case struct {
	Name    string            `json:"name"`
	IDs     [][]int32         `json:"input_ids"`         // [B][T]
	Mask    [][]int32         `json:"attention_mask"`    // [B][T]; 0: left out
	Types   [][]int32         `json:"token_type_ids"`    // [B][T], or absent
	Decoder [][]int32         `json:"decoder_input_ids"` // [B][Tdec], encoder-decoders
	Outputs map[string]Output `json:"outputs"`
}

// Output is one expected tensor and how close it has to be.
type Output struct {
	Tensor    string  `json:"tensor"`
	Shape     []int   `json:"shape"`
	Tol       float64 `json:"tol"`
	TolStrict float64 `json:"tol_strict"`
}

// Generation is one expected answer, or one for each row of a batch.
type Generation struct {
	Name          string    `json:"name"`
	Mode          string    `json:"mode"` // "greedy", "beam"
	IDs           [][]int32 `json:"input_ids"`
	Mask          [][]int32 `json:"attention_mask"`
	MaxNewTokens  int       `json:"max_new_tokens"`
	EOS           *int32    `json:"eos_token_id"`
	Repetition    float64   `json:"repetition_penalty"` // 0: none
	Beams         int       `json:"num_beams"`
	LengthPenalty float64   `json:"length_penalty"`
	EarlyStopping bool      `json:"early_stopping"`
	Return        int       `json:"num_return_sequences"`
	OutputIDs     [][]int32 `json:"output_ids"`
	Unbatched     [][]int32 `json:"unbatched_output_ids"`
	Scores        []float64 `json:"sequences_scores"`
}

// FillMask is the expected words at the masks of a batch.
type FillMask struct {
	MaskID  int32        `json:"mask_token_id"`
	IDs     [][]int32    `json:"input_ids"`
	Mask    [][]int32    `json:"attention_mask"`
	Types   [][]int32    `json:"token_type_ids"`
	Results []MaskResult `json:"results"`
}

// MaskResult is the five most likely tokens at one mask, best first.
type MaskResult struct {
	Row      int       `json:"row"`
	Position int       `json:"position"`
	IDs      []int32   `json:"top5_ids"`
	Probs    []float64 `json:"top5_probs"`
}

// E2E is e2e.json: texts, their ids, and what the model makes of them.
type E2E struct {
	Rows []E2ERow `json:"rows"`
}

// E2ERow is one text.
type E2ERow struct {
	Text         string      `json:"text"`
	IDs          []int32     `json:"input_ids"`
	MaxNewTokens int         `json:"max_new_tokens"`
	OutputIDs    []int32     `json:"output_ids"`
	OutputText   *string     `json:"output_text"`
	FillMask     *MaskResult `json:"fill_mask"`
}

// Read reads golden.json and opens golden.safetensors of a folder.
func Read(dir string) (*Golden, error) {
	g := &Golden{}
	if err := ReadJSON(filepath.Join(dir, "golden.json"), g); err != nil {
		return nil, err
	}
	var err error
	g.tensors, err = weights.Open(filepath.Join(dir, "golden.safetensors"))
	return g, err
}

// ReadE2E reads e2e.json of a folder; nil if there is none.
func ReadE2E(dir string) (*E2E, error) {
	e := &E2E{}
	err := ReadJSON(filepath.Join(dir, "e2e.json"), e)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return e, err
}

// ReadJSON reads a JSON file into a value.
func ReadJSON(file string, into any) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// Close unmaps the tensors.
func (g *Golden) Close() error { return g.tensors.Close() }

// Case is the case of a name.
func (g *Golden) Case(name string) (*Case, error) {
	for i := range g.Cases {
		if g.Cases[i].Name == name {
			return &g.Cases[i], nil
		}
	}
	return nil, fmt.Errorf("golden of %s: no case %q", g.Name, name)
}

// values are the elements of a golden tensor.
func (g *Golden) values(name string) ([]float32, error) {
	t, err := g.tensors.Tensor(name)
	if err != nil {
		return nil, err
	}
	if t.DType != runtime.F32 {
		return nil, fmt.Errorf("golden of %s: %s is %v, want F32", g.Name, name, t)
	}
	return t.F32s(), nil
}

// ReadGGUF reads the golden of a GGUF file, in two files beside it, as one with a
// single case of the prompt's logits.
func ReadGGUF(file string) (*Golden, error) {
	var j struct {
		File     string       `json:"file"`
		IDs      [][]int32    `json:"input_ids"`
		Logits   Output       `json:"logits"`
		Generate []Generation `json:"generate"`
	}
	if err := ReadJSON(file+".golden.json", &j); err != nil {
		return nil, err
	}
	j.Logits.Tensor = "logits"
	g := &Golden{Name: j.File, Kind: "causal", Generate: j.Generate}
	g.Cases = []Case{{Name: "prompt", IDs: j.IDs, Outputs: map[string]Output{"logits": j.Logits}}}
	var err error
	g.tensors, err = weights.Open(file + ".golden.safetensors")
	return g, err
}
