package main

// bench: lines and their names, the head of the table, and what each flag asks for.

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-ml/godwit"
)

func TestBench(t *testing.T) {
	for _, row := range []struct {
		args []string
		want []string
		seqs bool
	}{
		{[]string{"--pp", "4,8", "--tg", "3", "--depth", "0,5", "--batch", "1,2"},
			[]string{"pp4", "pp8", "tg3", "pp4@d5", "pp8@d5", "tg3@d5", "pp4 b2", "pp8 b2", "tg3 b2", "pp4@d5 b2", "pp8@d5 b2", "tg3@d5 b2"}, false},
		{[]string{"-m", checkpoints + "gpt2", "--n-prompt", "0", "--n-gen", "2", "--n-depth", "3", "--repetitions", "1"}, []string{"tg2@d3"}, false},
		{[]string{"-m", checkpoints + "llama", "--pp", "0", "--tg", "2", "--depth", "100", "-c", "102", "--kv-dtype", "f16", "-t", "1"}, []string{"tg2@d100"}, false},
		{[]string{"-m", checkpoints + "bert-mlm", "--pp", "16"}, []string{"pp16"}, true},
		{[]string{"-m", checkpoints + "t5", "--pp", "6", "--tg", "2"}, []string{"pp6", "tg2"}, false},
	} {
		args := append([]string{"bench", "--repeats", "2"}, row.args...)
		var names []string
		for _, line := range jsonLines[map[string]any](t, must(t, "", append(args, "--json")...)) {
			keys := []string{"spread", "test", "tok_s"}
			if row.seqs {
				keys = []string{"seq_s", "spread", "test", "tok_s"}
			}
			var got []string
			for k, v := range line {
				got = append(got, k)
				if n, ok := v.(float64); ok && (n < 0 || n == 0 && k != "spread") {
					t.Errorf("%q: %v", row.args, line)
				}
			}
			if slices.Sort(got); !slices.Equal(got, keys) {
				t.Errorf("%q: a line of %q, want %q", row.args, got, keys)
			}
			names = append(names, line["test"].(string))
		}
		if !slices.Equal(names, row.want) {
			t.Errorf("%q: tests %q, want %q", row.args, names, row.want)
		}
		text := must(t, "", args...)
		for _, name := range row.want {
			pattern := `(?m)^` + regexp.QuoteMeta(name) + ` +[0-9]+\.[0-9]{2} +[0-9]+\.[0-9] %$`
			if row.seqs {
				pattern = strings.Replace(pattern, " +[", ` +[0-9]+\.[0-9]{2} +[`, 1)
			}
			if len(regexp.MustCompile(pattern).FindAllString(text, -1)) != 1 {
				t.Errorf("%q: no line of %s in\n%s", row.args, name, text)
			}
		}
	}
}

func TestBenchHead(t *testing.T) {
	text := must(t, "", "bench", "-m", checkpoints+"gpt2", "--pp", "2", "--tg", "0", "-t", "3", "--dtype", "f32", "--device", "reference")
	head := regexp.MustCompile(`^model   gpt2: gpt2, [0-9]+ KiB, 115632 parameters
device  reference, f32, 3 threads

test +tok/s +spread
pp2 `)
	if !head.MatchString(text) {
		t.Errorf("the table begins\n%s", text)
	}
	if text := must(t, "", "bench", "-m", checkpoints+"bert-mlm", "--pp", "2"); !regexp.MustCompile(`(?m)^test +tok/s +seq/s +spread$`).MatchString(text) {
		t.Errorf("an encoder's table is\n%s", text)
	}
	for line := range strings.Lines(text) {
		if len(line) > 81 {
			t.Errorf("over 80 columns: %s", line)
		}
	}
}

// TestBenchFlags holds what each flag becomes in a request: none is lost.
func TestBenchFlags(t *testing.T) {
	for _, row := range []struct {
		args    []string
		request godwit.BenchRequest
	}{
		{nil, godwit.BenchRequest{}},
		{[]string{"--pp", "32,512"}, godwit.BenchRequest{Prompts: []int{32, 512}}},
		{[]string{"--pp", "32", "--pp", "512"}, godwit.BenchRequest{Prompts: []int{32, 512}}},
		{[]string{"--tg", "64"}, godwit.BenchRequest{Generate: []int{64}}},
		{[]string{"--depth", "0,64,512"}, godwit.BenchRequest{Depths: []int{0, 64, 512}}},
		{[]string{"--batch", "1,16"}, godwit.BenchRequest{Batches: []int{1, 16}}},
		{[]string{"--repeats", "9"}, godwit.BenchRequest{Repeats: 9}},
	} {
		c, parser := grammar(t)
		if _, err := parser.Parse(append([]string{"bench"}, row.args...)); err != nil {
			t.Errorf("%q: %v", row.args, err)
			continue
		}
		if diff := cmp.Diff(row.request, c.Bench.request()); diff != "" {
			t.Errorf("%q:\n%s", row.args, diff)
		}
	}
}

// TestBenchProgress: somebody who waits sees which test runs, and nobody else does.
func TestBenchProgress(t *testing.T) {
	var sc, out screen
	s := newStreams(strings.NewReader(""), &out, &sc)
	s.watched, s.patience = true, 0
	c := &benchCmd{PP: []int{0}, TG: []int{60}, Repeats: 20}
	if err := c.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	sc.waits(t, "tg60, runs")
	if got := sc.shown(); strings.Contains(got, "tok/s") || !strings.HasSuffix(got, "\r") {
		t.Errorf("on the terminal, at the end: %q", got)
	}
	if got := command(t, "", "bench", "--pp", "2", "--tg", "0"); got.stderr != "" {
		t.Errorf("no terminal, and %q", got.stderr)
	}
	sc = screen{}
	s.patience, c.Quiet = time.Duration(0), true
	if err := c.Run(t.Context(), s); err != nil || sc.shown() != "" {
		t.Errorf("quiet: %v, %q", err, sc.shown())
	}
}
