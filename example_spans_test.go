package godwit_test

import (
	"context"
	"fmt"
	"log"

	"github.com/godwit-ml/godwit"
)

// The checkpoint of this example was never trained: its entities are not sensible.
func ExampleModel_Entities() {
	ctx := context.Background()
	m, err := godwit.Open(ctx, "testdata/pipelines/entities", godwit.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close() //nolint:errcheck // an example
	text := "Lions hunt at dusk."
	r, err := m.Entities(ctx, godwit.EntitiesRequest{Texts: []string{text}, Group: "max"})
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range r.Spans[0] {
		fmt.Printf("%s: %q, bytes %d to %d\n", s.Label, text[s.Start:s.End], s.Start, s.End)
	}
	// Output:
	// PER: "hunt", bytes 6 to 10
	// X-Y: "at dusk", bytes 11 to 18
}

// The checkpoint of this example was never trained: its answer is not sensible.
func ExampleModel_Answer() {
	ctx := context.Background()
	m, err := godwit.Open(ctx, "testdata/pipelines/questions", godwit.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close() //nolint:errcheck // an example
	r, err := m.Answer(ctx, godwit.AnswerRequest{Question: "When?", Context: "Lions hunt at dusk."})
	if err != nil {
		log.Fatal(err)
	}
	if len(r.Spans) == 0 {
		fmt.Println("the text does not say")
	}
	for _, s := range r.Spans {
		fmt.Printf("%q, bytes %d to %d\n", s.Text, s.Start, s.End)
	}
	// Output: "Lions hunt at dusk.", bytes 0 to 19
}
