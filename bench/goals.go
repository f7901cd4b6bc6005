package main

// The goals: every row of the comparison, with the peers' figures that were known
// before it, from which a row learns that its peer did not run as it can.

import (
	"context"
	"fmt"

	"github.com/godwit-ml/godwit"
)

// goal is a row.
type goal struct {
	name, work, unit string
	lower            bool    // less is better
	alone            bool    // the figure itself is judged, not its ratio to a peer's
	atLeast, aim     float64 // of the ratio, or of the figure; 0: it is only told
	cases            []trial // the ratio is the median of theirs
}

// trial is what is measured in turns: one case of a row.
type trial struct {
	name string
	// open gives the two sides, and what is to be closed after them.
	open func(ctx context.Context, l *lab) (sides, error)
}

// sides are the ways to do a case's work, of which each side's best counts.
type sides struct {
	ours, peers           []contender
	ourCosine, peerCosine float64 // least that lets a way count; 0: any
	// scale is how much faster this machine is than the one of the known figures, by
	// the ceiling that matters here.
	scale float64
	close func() error
}

// What the machine of the known figures could do, on two threads: 2 cores of Zen 4,
// November 2026.
const (
	knownFMA = 2 * 118.0 // GFLOP/s
	// Read bandwidth, GB/s, the lower end of what several runs gave.
	knownRead98, knownRead143, knownRead269 = 26.0, 27.0, 28.0
)

// smolRow is SmolLM2 in a type against llama.cpp's in a type.
type smolRow struct {
	ours, theirs        string
	prefill, decode     [2]float64 // at least, aim
	prompt, at64, at512 float64    // known figures' lower ends
	knownRead           float64
}

var smolRows = []smolRow{
	{"q4_0", "q4_0", [2]float64{2.5, 3.5}, [2]float64{1.7, 2.2}, 672, 113, 90, knownRead98},
	{"q4_1", "q4_1", [2]float64{5, 7}, [2]float64{2.2, 3}, 280, 101, 87, knownRead98},
	{"q8_0", "q8_0", [2]float64{2, 3}, [2]float64{1.3, 1.6}, 521, 132, 105, knownRead143},
	{"bf16", "f16", [2]float64{1.5, 2.2}, [2]float64{0.95, 1.05}, 467, 107, 80, knownRead269},
}

// goals are all rows, in the order they are measured and printed in.
func goals() []goal {
	var all []goal
	for _, r := range smolRows {
		against := "llama.cpp"
		if r.ours != r.theirs {
			against += " " + r.theirs
		}
		all = append(all,
			goal{name: r.ours + " prefill", work: fmt.Sprintf("SmolLM2-135M %s, prompt of 512 tokens, against %s", r.ours, against), unit: "tok/s",
				atLeast: r.prefill[0], aim: r.prefill[1], cases: []trial{smolTrial(r, 512, 0, r.prompt)}},
			goal{name: r.ours + " decode 64", work: fmt.Sprintf("SmolLM2-135M %s, 64 tokens after 64, against %s", r.ours, against), unit: "tok/s",
				atLeast: r.decode[0], aim: r.decode[1], cases: []trial{smolTrial(r, 0, 64, r.at64)}},
			goal{name: r.ours + " decode 512", work: fmt.Sprintf("SmolLM2-135M %s, 64 tokens after 512, against %s", r.ours, against), unit: "tok/s",
				atLeast: r.decode[0], aim: r.decode[1], cases: []trial{smolTrial(r, 0, 512, r.at512)}})
	}
	all = append(all, goal{name: "decode bandwidth", work: "SmolLM2-135M q4_0, 64 tokens after 64: weight bytes a token × tok/s, against reading a buffer of that size", unit: "GB/s",
		atLeast: 0.7, aim: 0.9, cases: []trial{{open: openBandwidth}}})
	all = append(all, encoderGoals()...)
	all = append(all, sgemmGoals()...)
	return append(all,
		goal{name: "attention 4096", work: "attention of a prompt of 4,096 tokens, useful FLOPs over its own time, against the f32 FMA ceiling", unit: "GFLOP/s",
			atLeast: 0.7, aim: 0.85, cases: []trial{{open: openAttention}}},
		goal{name: "first token", work: "a fresh process opens SmolLM2-135M Q4_1 and gives the first token after 16", unit: "s", lower: true, alone: true,
			atLeast: 0.5, aim: 0.3, cases: []trial{{open: openFirstToken}}},
		goal{name: "hugot", work: "MiniLM from text, 32 sentences, sorted, f32, against hugot's Go backend", unit: "seq/s", atLeast: 40,
			cases: []trial{embedTrial(embedding{types: []string{"f32"}, peers: []wanted{{"hugot", "f32", 0}}, sorted: true, texts: 32, batch: 8})}},
	)
}

func smolTrial(r smolRow, prompt, depth int, known float64) trial {
	return trial{open: func(ctx context.Context, l *lab) (sides, error) {
		path, err := l.prepared(ctx, r.ours)
		if err != nil {
			return sides{}, err
		}
		theirs, err := l.prepared(ctx, r.theirs)
		if err != nil {
			return sides{}, err
		}
		s := sides{}
		req := godwit.BenchRequest{Prompts: []int{prompt}, Generate: []int{0}}
		q := request{Work: "prefill", Model: theirs, Tokens: prompt}
		if prompt > 0 {
			s.scale = l.ceilings.of("f32") / knownFMA
		} else {
			req = godwit.BenchRequest{Prompts: []int{0}, Generate: []int{decoded}, Depths: []int{depth}}
			q = request{Work: "decode", Model: theirs, Tokens: decoded, Depth: &depth}
		}
		c, err := l.bench(ctx, path, "", req)
		if err != nil {
			return s, err
		}
		if prompt == 0 {
			m, err := l.model(ctx, path, "", "")
			if err != nil {
				return s, err
			}
			s.scale = l.ceilings.readAgain(m.Info().Memory.Weights, l.threads).Best / r.knownRead
		}
		s.ours = []contender{c}
		s.peers, err = l.ask(ctx, "llama.cpp", "any", known, q, func(a answer) float64 { return a.TokensS })
		return s, err
	}}
}

// decoded is how many tokens a decode writes.
const decoded = 64

func openBandwidth(ctx context.Context, l *lab) (sides, error) {
	path, err := l.prepared(ctx, "q4_0")
	if err != nil {
		return sides{}, err
	}
	tokens, err := l.bench(ctx, path, "", godwit.BenchRequest{Prompts: []int{0}, Generate: []int{decoded}, Depths: []int{64}})
	if err != nil {
		return sides{}, err
	}
	m, err := l.model(ctx, path, "", "")
	if err != nil {
		return sides{}, err
	}
	weights := m.Info().Memory.Weights
	gbs := contender{Who: us, Setting: fmt.Sprintf("%s, %.1f MB a token", tokens.Setting, float64(weights)/1e6), measure: func(ctx context.Context) (sample, error) {
		s, err := tokens.measure(ctx)
		return sample{Value: s.Value * float64(weights) / 1e9}, err
	}}
	r := newReader(l.ceilings.path, weights, l.threads)
	var read []contender
	for way, name := range []string{"from end to end", "at four places"} {
		if way < len(r.ways) {
			read = append(read, contender{Who: "reading", Setting: name, measure: func(context.Context) (sample, error) {
				return sample{Value: r.once(way, 9).Median}, nil
			}})
		}
	}
	return sides{ours: []contender{gbs}, peers: read}, nil
}

func openAttention(_ context.Context, l *lab) (sides, error) {
	c, end, err := l.prefillAttention(4096)
	if err != nil {
		return sides{}, err
	}
	s := sides{ours: []contender{c}, close: end}
	for _, loop := range l.ceilings.path.Compute {
		// The products of attention are in float32 on every path.
		if loop.Name == "f32" {
			s.peers = append(s.peers, contender{Who: "ceiling", Setting: "f32 FMA", measure: func(context.Context) (sample, error) {
				return sample{Value: measureCompute(loop, l.threads).Median}, nil
			}})
		}
	}
	return s, nil
}

const promptTokens = 16

func openFirstToken(ctx context.Context, l *lab) (sides, error) {
	path, err := l.files.smol("q4_1")
	if err != nil {
		return sides{}, err
	}
	m, err := l.model(ctx, path, "", "")
	if err != nil {
		return sides{}, err
	}
	prompt, err := promptOf(m, promptTokens)
	if err != nil {
		return sides{}, err
	}
	if err := l.dropAll(); err != nil { // the other process has the machine for itself
		return sides{}, err
	}
	return sides{ours: []contender{l.firstToken(path, prompt, promptTokens)}}, nil
}

// wanted is a peer's arithmetic that takes part in a row.
type wanted struct {
	peer, kind string
	known      float64
}

// embedding is a row of MiniLM over texts.
type embedding struct {
	types  []string // of ours: "f32", "bf16", "int8"
	peers  []wanted
	sorted bool
	texts  int
	batch  int     // of the peers
	cosine float64 // least of a peer's
}

// leastCosine is what ours keeps with every text.
const leastCosine = 0.999

func encoderGoals() []goal {
	reduced := []string{"bf16", "int8"}
	const peerCosine = 0.99
	row := func(name, work string, atLeast, aim float64, e embedding) goal {
		if e.batch == 0 {
			e.batch = 32
		}
		e.texts = textCount
		return goal{name: name, work: "MiniLM from text, 256 sentences, " + work, unit: "seq/s", atLeast: atLeast, aim: aim, cases: []trial{embedTrial(e)}}
	}
	return []goal{
		row("minilm f32 sorted", "sorted, f32, against OpenVINO", 0.95, 1.2, embedding{types: []string{"f32"}, sorted: true, peers: []wanted{{"openvino", "f32", 68}}}),
		row("minilm f32 unsorted", "unsorted, f32, against OpenVINO", 1.8, 2.1, embedding{types: []string{"f32"}, peers: []wanted{{"openvino", "f32", 37}}}),
		row("minilm f32 unsorted, one by one", "unsorted, f32, against OpenVINO in batches of 1, where nothing is padded", 0, 0,
			embedding{types: []string{"f32"}, peers: []wanted{{"openvino", "f32", 0}}, batch: 1}),
		row("minilm reduced sorted", "sorted, reduced precision, against the best that keeps cosine 0.99", 1.15, 1.5,
			embedding{types: reduced, sorted: true, cosine: peerCosine, peers: []wanted{{"onnxruntime", "int8", 132}, {"openvino", "bf16", 121}, {"torch", "bf16", 101}}}),
		row("minilm reduced unsorted", "unsorted, reduced precision, against the best that keeps cosine 0.99", 2, 2.6,
			embedding{types: reduced, cosine: peerCosine, peers: []wanted{{"onnxruntime", "int8", 66}, {"openvino", "bf16", 69}, {"torch", "bf16", 0}}}),
		{name: "sentence f32", work: "MiniLM, one sentence of 16 tokens, median, f32, against onnxruntime", unit: "ms", lower: true, atLeast: 0.7, aim: 0.5,
			cases: []trial{sentenceTrial([]string{"f32"}, wanted{"onnxruntime", "f32", 3.3})}},
		{name: "sentence reduced", work: "MiniLM, one sentence of 16 tokens, median, reduced precision, against onnxruntime int8", unit: "ms", lower: true, atLeast: 0.7, aim: 0.5,
			cases: []trial{sentenceTrial(reduced, wanted{"onnxruntime", "int8", 1.4})}},
	}
}

// ourTypes are Config's DType and Quantize of an arithmetic.
func ourTypes(kind string) (dtype, quantize string) {
	if kind == "int8" {
		return "", "q8_0"
	}
	return kind, ""
}

func embedTrial(e embedding) trial {
	return trial{open: func(ctx context.Context, l *lab) (sides, error) {
		texts := makeTexts(e.texts)
		file, reference, err := l.textFiles(ctx, texts)
		if err != nil {
			return sides{}, err
		}
		ordered := texts
		if e.sorted {
			ordered = longestFirst(texts)
		}
		s := sides{ourCosine: leastCosine, peerCosine: e.cosine, scale: l.ceilings.of("f32") / knownFMA}
		for _, kind := range e.types {
			dtype, quantize := ourTypes(kind)
			c, err := l.embed(ctx, ordered, dtype, quantize)
			if err != nil {
				return s, err
			}
			s.ours = append(s.ours, c)
		}
		for _, w := range e.peers {
			q := request{Work: "embed", Model: l.files.minilm(), File: file, Sorted: e.sorted, Batch: e.batch, Reference: reference}
			cs, err := l.ask(ctx, w.peer, w.kind, w.known, q, func(a answer) float64 { return a.SeqS })
			if err != nil {
				return s, err
			}
			s.peers = append(s.peers, cs...)
		}
		return s, nil
	}}
}

func sentenceTrial(kinds []string, w wanted) trial {
	return trial{open: func(ctx context.Context, l *lab) (sides, error) {
		text := sentence(promptTokens)
		s := sides{ourCosine: leastCosine, scale: l.ceilings.of("f32") / knownFMA}
		for _, kind := range kinds {
			dtype, quantize := ourTypes(kind)
			c, err := l.sentence(ctx, text, dtype, quantize)
			if err != nil {
				return s, err
			}
			s.ours = append(s.ours, c)
		}
		var err error
		s.peers, err = l.ask(ctx, w.peer, w.kind, w.known, request{Work: "sentence", Model: l.files.minilm(), Text: text}, func(a answer) float64 { return a.P50 })
		return s, err
	}}
}

// sgemmSizes are K and N of the weights.
var sgemmSizes = [][2]int{{576, 1536}, {384, 1536}, {1536, 384}, {768, 3072}}

func sgemmGoals() []goal {
	var all []goal
	for _, r := range []struct {
		m            int
		atLeast, aim float64
		known        float64 // of 576×1536
	}{{512, 0.95, 1.1, 199}, {4096, 0.95, 1.1, 199}, {16, 1.5, 1.8, 119}, {1, 2, 3, 29}} {
		g := goal{name: fmt.Sprintf("sgemm %d", r.m), work: fmt.Sprintf("product of %d rows with a weight in cache, f32, against torch: median of four sizes", r.m), unit: "GFLOP/s", atLeast: r.atLeast, aim: r.aim}
		for i, size := range sgemmSizes {
			known := r.known
			if i > 0 {
				known = 0
			}
			g.cases = append(g.cases, sgemmTrial(r.m, size[0], size[1], known))
		}
		all = append(all, g)
	}
	return all
}

func sgemmTrial(m, k, n int, known float64) trial {
	return trial{name: fmt.Sprintf("%d×%d", k, n), open: func(ctx context.Context, l *lab) (sides, error) {
		c, end, err := l.sgemm(m, k, n)
		if err != nil {
			return sides{}, err
		}
		s := sides{ours: []contender{c}, close: end, scale: l.ceilings.of("f32") / knownFMA}
		s.peers, err = l.ask(ctx, "torch", "f32", known, request{Work: "sgemm", M: m, K: k, N: n}, func(a answer) float64 { return a.GFLOPs })
		return s, err
	}}
}
