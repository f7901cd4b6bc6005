package godwit

import "testing"

// TestAnswers: there is no answer if even the window that finds it least likely
// finds it likelier than any part of the context.
func TestAnswers(t *testing.T) {
	const first, text = 1, "one two three"
	none := func(x float32) []float32 { return []float32{x, x} }
	window := func(ids ...int32) window {
		return window{input: input{ids: ids}, from: 2, offsets: [][2]int{{0, 3}, {4, 7}, {8, 13}}, words: []int32{0, 1, 2}}
	}
	certain := [][]float32{none(20), nil, {0, 0}, {0, 0}, {0, 0}}
	unsure := [][]float32{none(-20), nil, {0, 0}, {3, 2}, {0, 1}}
	for _, row := range []struct {
		windows [][][]float32
		id      int32 // the first token
		force   bool
		want    string
	}{
		{[][][]float32{certain}, first, false, ""},
		{[][][]float32{certain}, first, true, "one"}, // all parts are equally likely: the first
		{[][][]float32{unsure}, first, false, "two"},
		{[][][]float32{certain, unsure}, first, false, "two"},
		{[][][]float32{unsure, certain}, first, false, "two"},
		{[][][]float32{certain}, 7, false, "one"}, // another token stands for nothing
	} {
		a := &answers{context: text, first: first, none: 1}
		for _, rows := range row.windows {
			a.read(window(row.id, 5), rows, 12, 15)
		}
		got := ""
		if spans := a.best(1, row.force); len(spans) > 0 {
			got = spans[0].Text
		}
		if got != row.want {
			t.Errorf("%v: %q, want %q (none %v, %v)", row.windows, got, row.want, a.none, a.spans)
		}
	}
}
