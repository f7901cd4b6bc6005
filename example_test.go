package godwit_test

// Runnable documentation. The checkpoints are tiny and their weights random, so
// the answers are nonsense, but always the same.

import (
	"context"
	"fmt"
	"log"

	"github.com/godwit-ml/godwit"
)

func ExampleOpen() {
	m, err := godwit.Open(context.Background(), "model/testdata/checkpoints/llama", godwit.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close() //nolint:errcheck // an example
	info := m.Info()
	fmt.Println(info.Family, info.Kind, info.Layers, "layers,", info.Tasks)
	// Output: llama decoder 3 layers, [generate attend]
}

func ExampleModel_Generate() {
	ctx := context.Background()
	m, err := godwit.Open(ctx, "model/testdata/checkpoints/gpt2", godwit.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close() //nolint:errcheck // an example
	for tok, err := range m.Generate(ctx, godwit.Request{Prompt: "def f(x):", MaxTokens: 4}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d %q\n", tok.ID, tok.Text)
		if r := tok.Result; r != nil { // rides on the last token
			fmt.Println(r.Finish, r.Usage.PromptTokens, "+", r.Usage.OutputTokens)
		}
	}
	// Output:
	// 62 "^"
	// 98 "�"
	// 119 "�"
	// 62 "^"
	// length 6 + 4
}

func ExampleModel_Complete() {
	ctx := context.Background()
	m, err := godwit.Open(ctx, "model/testdata/checkpoints/gpt2", godwit.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close() //nolint:errcheck // an example
	r, err := m.Complete(ctx, godwit.Request{
		Prompt: "def f(x):", MaxTokens: 6,
		Sampling: godwit.Sampling{Temperature: new(0.8), TopK: new(40), Seed: 1}, // the same seed, the same tokens
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(r.IDs), r.Finish, r.Seed)
	// Output: 6 length 1
}

func ExampleModel_Embed() {
	ctx := context.Background()
	m, err := godwit.Open(ctx, "model/testdata/checkpoints/bert-mlm", godwit.Config{Pooling: "mean"})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close() //nolint:errcheck // an example
	r, err := m.Embed(ctx, godwit.EmbedRequest{Texts: []string{"a cat", "a dog"}, Normalize: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(r.Vectors), "vectors of", len(r.Vectors[0]))
	// Output: 2 vectors of 48
}

func ExampleModel_FillMask() {
	ctx := context.Background()
	m, err := godwit.Open(ctx, "model/testdata/checkpoints/bert-mlm", godwit.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close() //nolint:errcheck // an example
	r, err := m.FillMask(ctx, godwit.FillMaskRequest{Text: "The transformer [MASK] to every token.", Top: 2})
	if err != nil {
		log.Fatal(err)
	}
	for _, w := range r.Masks[0] {
		fmt.Printf("%s %.4f\n", w.Name, w.Score)
	}
	// Output:
	// sy 0.0824
	// ##ser 0.0548
}

func ExampleModel_Attend() {
	ctx := context.Background()
	m, err := godwit.Open(ctx, "model/testdata/checkpoints/gpt2", godwit.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close() //nolint:errcheck // an example
	a, err := m.Attend(ctx, godwit.AttendRequest{Text: "to be", Capture: godwit.Capture{Layers: []int{-1}, Heads: []int{0}}})
	if err != nil {
		log.Fatal(err)
	}
	for q, piece := range a.Decoder.Queries {
		fmt.Printf("%-5q looks at %.2f\n", piece.Text, a.Decoder.Row(0, 0, q))
	}
	// Output:
	// "t"   looks at [1.00 0.00 0.00]
	// "o"   looks at [0.04 0.96 0.00]
	// " be" looks at [0.00 1.00 0.00]
}

func ExampleInspect() {
	info, err := godwit.Inspect(context.Background(), "model/testdata/checkpoints/gpt2", godwit.Config{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Architecture, info.Parameters, info.Tensors[0].Name, info.Tensors[0].Shape)
	// Output: GPT2LMHeadModel 115632 transformer.h.0.attn.c_attn.bias [144]
}
