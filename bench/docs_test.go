package main

// The page: what is slower stands first, the same runs give the same bytes, and
// what a run lacks is left out.

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// madeUp is a run with a row of every verdict.
func madeUp(day int) *report {
	cosine := 0.99876
	side := func(who, setting string, v float64) figure {
		return figure{Who: who, Setting: setting, First: v, Values: []float64{v, v}, Median: v, Spread: 0.03}
	}
	one := func(ours, peer float64) []trialResult {
		a, b := side(us, "int8 (cpu:amx)", ours), side("llama.cpp", "fa", peer)
		slow := figure{Who: "llama.cpp", Setting: "repack", Refused: "its type | has no layout"}
		a.Cosine = &cosine
		return []trialResult{{Ours: a, Peer: b, Ratio: ours / peer, Low: ours / peer * 0.9, High: ours / peer * 1.1, Attempts: 1, Tried: []*figure{&a, &b, &slow}}}
	}
	r := &report{Schema: reportSchema, Time: time.Date(2026, 11, day, 12, 0, 0, 0, time.UTC), Seconds: 600, Command: `bench compare -json x.json`, Device: "cpu:amx", Threads: 2, Repeats: 7,
		Machine:  machine{Processor: "A processor", Model: "X-6-143", Sets: []string{"avx2"}, Cores: 2, Caches: []string{"L1 48K"}, Memory: 25e9, System: "linux/amd64", Go: "go1.26", Commit: "abc"},
		Ceilings: ceilings{Compute: map[string]map[int]rate{"f32": {1: {240, 250}, 2: {480, 500}}, "exp": {1: {5, 6}, 2: {10, 12}}}, Read: []readCeiling{{98e6, 1, rate{30, 30}}, {98e6, 2, rate{50, 55}}}},
		Files:    []modelFile{{"smollm2 q4_0", "x.gguf", 100, strings.Repeat("ab", 32)}},
		Peers:    []peerInfo{{"llama.cpp", "1", 2, "AVX2"}},
		Rows: []row{
			{Name: "q4_0 prefill", Work: "SmolLM2 q4_0, prompt", Unit: "tok/s", AtLeast: 2.5, Aim: 3.5, Cases: one(400, 100)},
			{Name: "q4_0 decode 64", Work: "SmolLM2 q4_0, decode", Unit: "tok/s", AtLeast: 1.7, Aim: 2.2, Cases: one(90, 100)},
			{Name: "q4_1 decode 64", Work: "SmolLM2 q4_1, decode", Unit: "tok/s", AtLeast: 1.7, Aim: 2.2, Cases: one(180, 100)},
			{Name: "minilm", Work: "MiniLM, sorted", Unit: "seq/s", AtLeast: 1, Cases: one(180, 100)},
			{Name: "first token", Work: "first token", Unit: "s", Lower: true, Alone: true, AtLeast: 0.5, Aim: 0.3, Cases: []trialResult{{Ours: side(us, "x", 0.4), Ratio: 0.4}}},
			{Name: "broken", Work: "broken", Unit: "s", AtLeast: 1, Error: "peer torch: no such file"},
		},
		Curves: []curve{{"context", us, []point{{0, 200, 0}, {512, 150, 0.1}}}, {"context", "llama.cpp", []point{{0, 100, 0}, {512, 90, 0.1}}}},
		Ops:    []result{{Op: "MatMul", Shape: "1×2×3 F32", NS: 1000, Bytes: 4000, FLOPs: 20000, GBs: 4, GFLOPs: 20, Share: 0.5, Bound: "f32"}, {Op: "Norm", Shape: "1", NS: 1000, Bytes: 4000, FLOPs: 2000, GBs: 4, GFLOPs: 2, Share: 0.5, Bound: "read 1 MB"}},
	}
	r.Rows[3].Cases[0].Void = "llama.cpp reached 100 seq/s, and was to reach 200"
	for i := range r.Rows {
		r.Rows[i].judge()
	}
	return r
}

func TestDocs(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for day := range 4 {
		path := filepath.Join(dir, string(rune('a'+day))+".json")
		if err := madeUp(day + 1).save(path); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	write := func(name string) (string, map[string][]byte) {
		page := filepath.Join(dir, name, "performance.md")
		if err := docs(append([]string{"-out", page}, paths...), io.Discard, io.Discard); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		plots := map[string][]byte{}
		names, _ := filepath.Glob(filepath.Join(dir, name, "img", "performance", "*.svg"))
		for _, p := range names {
			if plots[filepath.Base(p)], err = os.ReadFile(p); err != nil {
				t.Fatal(err)
			}
		}
		return string(text), plots
	}
	text, plots := write("one")
	again, plotsAgain := write("two")
	if text != again {
		t.Error("the same runs give two pages")
	}
	for name, p := range plots {
		if !bytes.Equal(p, plotsAgain[name]) {
			t.Errorf("%s differs", name)
		}
		if !strings.Contains(text, "(img/performance/"+name+")") {
			t.Errorf("the page does not show %s", name)
		}
	}
	if len(plots) != 4 { // no batch, no sgemm
		t.Errorf("%d plots", len(plots))
	}
	headings := strings.SplitN(text, "\n## ", 3)
	if !strings.HasPrefix(headings[1], "What is slower than a peer") || !strings.Contains(headings[1], "SmolLM2 q4_0, decode**: 90.00 against 100.0 tok/s of llama.cpp fa (0.90 ×)") {
		t.Errorf("what is slower is not what is said first:\n%s", headings[1])
	}
	for _, want := range []string{
		"- q4_0 decode 64: 0.90 ×, wanted 1.7 ×.", "- minilm: void after 1 attempts", "- broken: peer torch: no such file.", "4.00 × (3.60 × to 4.40 ×) | 2.5 × / 3.5 × | aim |",
		"0.400 s | 0.5 s / 0.3 s | met |", "| q4_0 prefill | 4.00 × aim | 4.00 × aim | 4.00 × aim |", "2026-11-04 12:00 | 2026-11-03 12:00 | 2026-11-02 12:00 |",
		"its type \\| has no layout", "0.99876", "| f32, GFLOP/s | 250.0 | 500.0 |", "| reading 98.00 MB, GB/s | 30.00 | 55.00 |", "abababababababab…", "go -C bench run . compare -json x.json",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "2026-11-01") {
		t.Error("more than three runs")
	}
}

func TestDocsErrors(t *testing.T) {
	for _, args := range [][]string{nil, {"no-such.json"}, {"-out"}} {
		if err := docs(args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

// TestGuard: a regression is what lowers both ratios.
func TestGuard(t *testing.T) {
	was := guarded{10, 0.5}
	for _, row := range []struct {
		now  guarded
		want bool
	}{{guarded{10, 0.5}, false}, {guarded{6.4, 0.32}, true}, {guarded{6.4, 0.5}, false}, {guarded{10, 0.3}, false}, {guarded{6.6, 0.33}, false}, {guarded{7, 0.28}, true}, {guarded{3, 0.5}, true}} {
		if row.now.worse(was) != row.want {
			t.Errorf("%+v: %v", row.now, !row.want)
		}
	}
	var out strings.Builder
	path := "portable"
	if err := guard([]string{"-path", "sse"}, &out, io.Discard); err == nil {
		t.Error("an unknown path: no error")
	}
	p, err := guardPaths(path)
	if err != nil {
		t.Fatal(err)
	}
	op := guardOps()[7]
	got, err := guardMeasure(p[0], op)
	if err != nil || got.Reference <= 0 || got.Ceiling <= 0 {
		t.Fatalf("%s: %+v, %v", op.name, got, err)
	}
	// The same operation, ten times as fast before.
	if before := (guarded{10 * got.Reference, 10 * got.Ceiling}); !got.worse(before) {
		t.Errorf("%+v is not worse than %+v", got, before)
	}
}
