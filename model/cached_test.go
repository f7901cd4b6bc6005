package model_test

// Decoding with a cache gives what computing everything again gives.

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/godwit-ml/godwit/ci/golden"
	"github.com/godwit-ml/godwit/model"
)

// TestCachedDecoding writes a text greedily, computing everything again for every
// token, and then reads it in chunks of several sizes through the cache: the same
// tokens are likeliest, and every logit is the same within tol_strict. It does so
// for every decoder of testdata.
func TestCachedDecoding(t *testing.T) {
	for _, name := range checkpoints {
		whole := load(t, folder(name), golden.Options{BlockSize: 64})
		in := whole.Model.Info()
		if in.Kind == model.Encode {
			continue
		}
		g := read(t, folder(name))
		tol := strictTolerance(t, g)
		r := rand.New(rand.NewPCG(uint64(len(name)), uint64(name[0])))
		c, kind := randomCase(in, r)
		c.IDs, c.Mask, c.Types, c.Outputs = c.IDs[:1], c.Mask[:1], nil, nil
		c.Decoder = [][]int32{{in.Start}}
		text := &c.IDs
		if in.Kind == model.Seq2Seq {
			text = &c.Decoder
		}
		var want []float32
		for range 12 {
			out, err := whole.Case(kind, c)
			if err != nil {
				t.Fatal(err)
			}
			want = out["logits"]
			(*text)[0] = append((*text)[0], argmax(want[len(want)-in.Vocab:]))
			if text == &c.IDs {
				c.Mask[0] = append(c.Mask[0], 1)
			}
		}
		(*text)[0] = (*text)[0][:len((*text)[0])-1] // what follows it nobody computed
		c.Mask[0] = c.Mask[0][:len(c.IDs[0])]
		for _, chunk := range []int{1, 2, 5, 7} {
			t.Run(fmt.Sprintf("%s/%d", name, chunk), func(t *testing.T) {
				out, err := load(t, folder(name), golden.Options{Chunk: chunk, BlockSize: 3, Hostile: true}).Case(kind, c)
				if err != nil {
					t.Fatal(err)
				}
				got := out["logits"]
				close32(t, "logits", got, want, tol)
				for i := 0; i+in.Vocab <= min(len(got), len(want)); i += in.Vocab {
					if a, b := argmax(got[i:i+in.Vocab]), argmax(want[i:i+in.Vocab]); a != b {
						t.Errorf("token %d: %d is likeliest, want %d", i/in.Vocab, a, b)
					}
				}
			})
		}
	}
}

// strictTolerance is tol_strict of the logits of a golden's case of 17 tokens.
func strictTolerance(t *testing.T, g *golden.Golden) float64 {
	t.Helper()
	p17, err := g.Case("p17")
	if err != nil {
		t.Fatal(err)
	}
	if p17.Outputs["logits"].TolStrict == 0 {
		t.Fatal("the golden has no logits of p17")
	}
	return p17.Outputs["logits"].TolStrict
}

func argmax(logits []float32) int32 {
	return int32(slices.Index(logits, slices.Max(logits)))
}
