package godwit_test

// Examples of measuring: how fast, and how near to the exact arithmetic.

import (
	"context"
	"fmt"
	"log"

	"github.com/godwit-ml/godwit"
)

func ExampleModel_Bench() {
	ctx := context.Background()
	m, err := godwit.Open(ctx, "model/testdata/checkpoints/gpt2", godwit.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close() //nolint:errcheck // an example
	for r, err := range m.Bench(ctx, godwit.BenchRequest{Prompts: []int{32}, Generate: []int{16}, Depths: []int{0, 64}}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(r.Test, len(r.Times), r.TokensPerSecond > 0)
	}
	// Output:
	// pp32 5 true
	// tg16 5 true
	// pp32@d64 5 true
	// tg16@d64 5 true
}

func ExampleModel_Quality() {
	ctx := context.Background()
	const dir = "model/testdata/checkpoints/gpt2"
	exact, err := godwit.Open(ctx, dir, godwit.Config{DType: "f32"})
	if err != nil {
		log.Fatal(err)
	}
	defer exact.Close()                                            //nolint:errcheck // an example
	m, err := godwit.Open(ctx, dir, godwit.Config{KVDType: "f32"}) // or another arithmetic, whose cost is asked
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close() //nolint:errcheck // an example
	var q godwit.Quality
	for so, err := range m.Quality(ctx, exact, godwit.QualityRequest{Text: "The transformer attends to every token of its text.", Window: 16}) {
		if err != nil {
			log.Fatal(err)
		}
		q = so // of all windows so far
	}
	fmt.Printf("%d windows: KL %.4f nats, agreement %.0f %%\n", q.Total, q.KLMean, 100*q.Agreement)
	// Output: 2 windows: KL 0.0000 nats, agreement 100 %
}
