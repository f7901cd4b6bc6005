package engine

// What is reserved for a run: enough, and no more than is said here.

import (
	"errors"
	"testing"
)

// TestReservation runs requests on a cache that has just the blocks they may need,
// and refuses them on one that has a block less.
func TestReservation(t *testing.T) {
	for _, row := range []struct {
		prompts []int // tokens
		most    int
		width   int // beams; 0: none
		size    int // of a block
		need    int
	}{
		{[]int{3}, 1, 0, 4, 1},
		{[]int{3}, 2, 0, 4, 2},
		{[]int{4}, 4, 0, 4, 2},
		{[]int{1}, 12, 0, 4, 4},
		{[]int{1}, 12, 0, 16, 1},
		{[]int{5, 8, 2}, 7, 0, 4, 3 + 4 + 3},
		{[]int{9}, 0, 0, 4, 3},
		{[]int{5}, 6, 3, 4, 2 + 3*(2+1)},
		{[]int{8}, 8, 2, 4, 2 + 2*(2+1)},
		{[]int{1}, 3, 4, 1, 1 + 4*(3+1)},
	} {
		r := greedy(row.most)
		for i, n := range row.prompts {
			p := make([]int32, n)
			for k := range p {
				p[k] = int32(7 + 31*k%101 + i)
			}
			r.Prompts = append(r.Prompts, p)
		}
		if row.width > 0 {
			r.Beams = &BeamConfig{Width: row.width, Return: 1, MaxTokens: row.most, LengthPenalty: 1, RepetitionPenalty: 1}
		}
		e, _ := newEngine(t, "llama", Config{BlockSize: row.size, Blocks: row.need})
		if got := e.need(&r); got != row.need {
			t.Errorf("%+v: %d blocks", row, got)
			continue
		}
		if _, err := submit(t, e, r).Wait(t.Context()); err != nil {
			t.Errorf("%+v: %v", row, err)
		}
		// The same once more: what was reserved came back. Beside itself it has to wait.
		a, b := submit(t, e, r), submit(t, e, r)
		for _, run := range []*Run{a, b} {
			if _, err := run.Wait(t.Context()); err != nil {
				t.Errorf("%+v, twice: %v", row, err)
			}
		}
		small, _ := newEngine(t, "llama", Config{BlockSize: row.size, Blocks: max(row.need-1, 1)})
		var p *ParamError
		if _, err := small.Submit(t.Context(), r); row.need > 1 && !errors.As(err, &p) {
			t.Errorf("%+v, with a block less: %v", row, err)
		}
	}
}
