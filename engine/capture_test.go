package engine

// What is recorded of a prompt and of each token after it, against PyTorch's
// attention and hidden states.

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/godwit-ml/godwit/weights"
)

// captured is the case p17 of a checkpoint: its ids, and tensors by output.
func captured(t *testing.T, name string) (ids []int32, tensor func(output string) []float32) {
	t.Helper()
	dir := "../model/testdata/checkpoints/" + name
	data, err := os.ReadFile(dir + "/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Cases []struct {
			Name    string    `json:"name"`
			IDs     [][]int32 `json:"input_ids"`
			Outputs map[string]struct {
				Tensor string `json:"tensor"`
			} `json:"outputs"`
		} `json:"cases"`
	}
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	ck, err := weights.Open(dir + "/golden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ck.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, c := range g.Cases {
		if c.Name != "p17" {
			continue
		}
		return c.IDs[0], func(output string) []float32 {
			o, ok := c.Outputs[output]
			if !ok {
				t.Fatalf("%s has no %s", name, output)
			}
			x, err := ck.Tensor(o.Tensor)
			if err != nil {
				t.Fatal(err)
			}
			return x.F32s()
		}
	}
	t.Fatalf("%s has no case p17", name)
	return nil, nil
}

// TestCaptureGolden asks for some layers and heads, in chunks or not: the maps are
// PyTorch's, each where it belongs, and so is the row of every token that is
// chosen.
func TestCaptureGolden(t *testing.T) {
	const tol = 2e-5
	for _, name := range []string{"gpt2", "llama"} {
		ids, tensor := captured(t, name)
		n := len(ids)
		for _, budget := range []int{0, 5} {
			e, _ := newEngine(t, name, Config{TokenBudget: budget})
			heads := e.info.Heads
			want := func(layer, head, query int) []float32 {
				return tensor(fmt.Sprintf("attn.%d", layer))[(head*n+query)*n:][:query+1]
			}
			c := Capture{Layers: []int{0, 2}, Heads: []int{1, 3}, Prompt: true, Hidden: true}
			if heads != 4 || e.info.Layers != 3 {
				t.Fatalf("%s has %d layers of %d heads now", name, e.info.Layers, heads)
			}
			r := greedy(0, ids)
			r.Capture = &c
			run := submit(t, e, r)
			if _, err := run.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			for l, layer := range c.Layers {
				for h, head := range c.Heads {
					for q := range n {
						row := run.Prompt.Weights[((l*2+h)*n+q)*n:][:n]
						for k, w := range row {
							x := float32(0)
							if k <= q {
								x = want(layer, head, q)[k]
							}
							if d := math.Abs(float64(w - x)); !(d <= tol) || k > q && w != 0 {
								t.Fatalf("%s, budget %d: layer %d, head %d, query %d, key %d: %v, want %v", name, budget, layer, head, q, k, w, x)
							}
						}
					}
				}
			}
			for layer := range 4 {
				x := tensor(fmt.Sprintf("hidden.%d", layer))
				d := e.info.Hidden
				for q := range n {
					for i, v := range run.Prompt.Hidden[layer][q] {
						if y := x[q*d+i]; !(math.Abs(float64(v-y)) <= 5e-5*max(1, math.Abs(float64(y)))) {
							t.Fatalf("%s, budget %d: hidden %d of token %d, feature %d: %v, want %v", name, budget, layer, q, i, v, y)
						}
					}
				}
			}

			// Of a shorter prompt: the row of its last token chooses the next one.
			r = greedy(2, ids[:12])
			r.Capture = &Capture{Layers: []int{1}, Heads: []int{0, 2}}
			tokens, err := submit(t, e, r).Wait(t.Context())
			if err != nil || len(tokens) != 2 {
				t.Fatalf("%d tokens: %v", len(tokens), err)
			}
			for h, head := range []int{0, 2} {
				rows := tokens[0].Rows
				if rows.Queries != 1 || rows.Keys != 12 || tokens[1].Rows.Keys != 13 {
					t.Fatalf("%s: rows of %d and %d keys", name, rows.Keys, tokens[1].Rows.Keys)
				}
				for k, w := range rows.Weights[h*12:][:12] {
					if x := want(1, head, 11)[k]; !(math.Abs(float64(w-x)) <= tol) {
						t.Errorf("%s, budget %d: head %d, key %d of the first token: %v, want %v", name, budget, head, k, w, x)
					}
				}
			}
		}
	}
}

// TestPromptIsThereWithTheTokens: whoever has the last token can read what was
// recorded of the prompt, although the engine may not have ended the run yet.
func TestPromptIsThereWithTheTokens(t *testing.T) {
	e, _ := newEngine(t, "gpt2", Config{TokenBudget: 4})
	for range 20 {
		r := greedy(2, prompts[1])
		r.Capture = &Capture{Layers: []int{1}, Heads: []int{0}, Prompt: true}
		run := submit(t, e, r)
		for {
			tok, err := run.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if tok.Last {
				break
			}
		}
		if run.Prompt == nil || len(run.Prompt.Weights) != len(prompts[1])*len(prompts[1]) || run.Prompt.Weights[0] != 1 {
			t.Fatal("the prompt's rows are not there with the last token")
		}
	}
}
