package main

// Curves: what is drawn besides the rows, and operations beside what the machine
// can do.

import (
	"context"
	"fmt"
	"time"

	"github.com/godwit-ml/godwit"
)

// curve is tokens a second against something.
type curve struct {
	Name   string  `json:"name"` // "context" or "batch"
	Who    string  `json:"who"`
	Points []point `json:"points"`
}

// point is a median.
type point struct {
	X      float64 `json:"x"`
	Value  float64 `json:"value"`
	Spread float64 `json:"spread"`
}

const (
	curvesName = "curves" // as -rows matches them
	opsName    = "ops"
)

var (
	curveDepths  = []int{0, 64, 256, 512, 1024, 2048, 4096}
	curveBatches = []int{1, 2, 4, 8, 16}
)

// curves measures decoding against the context, beside llama.cpp at its best setting,
// and against the number of sequences.
func (l *lab) curves(ctx context.Context) error {
	path, err := l.prepared(ctx, "q4_0")
	if err != nil {
		return err
	}
	p, err := l.peer(ctx, "llama.cpp")
	if err != nil {
		return err
	}
	depths, batches := curveDepths, curveBatches
	if !l.patient {
		depths, batches = depths[:2], batches[:2]
	}
	ours, theirs, all := curve{Name: "context", Who: us}, curve{Name: "context", Who: "llama.cpp"}, curve{Name: "batch", Who: us}
	best := l.bestSetting("q4_0 decode 512", p.ready.Settings[0])
	for _, depth := range depths {
		fmt.Fprintf(l.notes, "    64 tokens after %d\n", depth)
		mine, err := l.bench(ctx, path, "", godwit.BenchRequest{Prompts: []int{0}, Generate: []int{decoded}, Depths: []int{depth}})
		if err != nil {
			return err
		}
		peer := contender{Who: "llama.cpp", Setting: best, pid: p.cmd.Process.Pid, measure: func(ctx context.Context) (sample, error) {
			a, err := p.ask(ctx, request{Work: "decode", Model: path, Tokens: decoded, Depth: &depth, Setting: best})
			return sample{Value: a.TokensS}, err
		}}
		points, err := l.inTurns(ctx, float64(depth), mine, peer)
		if err != nil {
			return err
		}
		ours.Points, theirs.Points = append(ours.Points, points[0]), append(theirs.Points, points[1])
	}
	for _, n := range batches {
		fmt.Fprintf(l.notes, "    64 tokens after 64, %d sequences\n", n)
		mine, err := l.bench(ctx, path, "", godwit.BenchRequest{Prompts: []int{0}, Generate: []int{decoded}, Depths: []int{64}, Batches: []int{n}})
		if err != nil {
			return err
		}
		points, err := l.inTurns(ctx, float64(n), mine)
		if err != nil {
			return err
		}
		all.Points = append(all.Points, points[0])
	}
	l.report.Curves = []curve{ours, theirs, all}
	return nil
}

// inTurns measures contenders in turns, fewer than those of a row.
func (l *lab) inTurns(ctx context.Context, x float64, all ...contender) ([]point, error) {
	values := make([][]float64, len(all))
	for range max(1, l.repeats/2) {
		for i, c := range all {
			s, _, err := l.sample(ctx, c, &trialResult{})
			if err != nil {
				return nil, err
			}
			values[i] = append(values[i], s.Value)
		}
	}
	points := make([]point, len(all))
	for i, v := range values {
		points[i] = point{x, median(v), spread(v)}
	}
	return points, nil
}

// bestSetting is a peer's in a row of this run, or another.
func (l *lab) bestSetting(row, otherwise string) string {
	for _, r := range l.report.Rows {
		if r.Name == row && len(r.Cases) > 0 && r.Cases[0].Peer.Setting != "" {
			return r.Cases[0].Peer.Setting
		}
	}
	return otherwise
}

// ops times operations at the sizes of the models.
func (l *lab) ops() error {
	o := opsFlags{device: l.device, threads: l.threads, repeats: 5, least: 20 * time.Millisecond}
	if !l.patient {
		o.repeats, o.least = 1, 0
	}
	return timeOnCPU(o, cpuShapes(), l.ceilings, func(r result) error {
		fmt.Fprintf(l.notes, "    %s %s: %s µs, %.0f %% of %s\n", r.Op, r.Shape, number(r.NS/1e3), 100*r.Share, r.Bound)
		l.report.Ops = append(l.report.Ops, r)
		return nil
	})
}
