package tokenizer

import (
	"fmt"
	"slices"
	"testing"
)

// TestUnigramUnknownScore: an unknown character scores 10 below the lowest token.
// x has no token by itself, so that "axyz" is a, xy, z or a, unknown, yz.
func TestUnigramUnknownScore(t *testing.T) {
	for _, row := range []struct {
		xy, z float64
		want  []int32
	}{
		{-10.9, -11.1, []int32{1, 2, 3}},  // -1 - 10.9 - 11.1 = -23 is above -1 - 21.1 - 1 = -23.1
		{-11.05, -11.1, []int32{1, 0, 4}}, // and -23.15 below
	} {
		source := fmt.Sprintf(`{"model": {"type": "Unigram", "unk_id": 0, "vocab": [["?", 0], ["a", -1], ["xy", %v], ["z", %v], ["yz", -1]]}}`, row.xy, row.z)
		tok, err := FromJSON([]byte(source), nil)
		if err != nil {
			t.Fatal(err)
		}
		ids, err := tok.AppendIDs(nil, "axyz", Options{})
		if err != nil || !slices.Equal(ids, row.want) {
			t.Errorf("xy %v, z %v: %v (%v), want %v", row.xy, row.z, ids, err, row.want)
		}
	}
}
