package main

// models: SmolLM2 and MiniLM from end to end through the public API, with the
// meanings of godwit bench.

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-ml/godwit"
	"github.com/godwit-ml/godwit/cpu/simd"
)

// modelResult is a test of a model.
type modelResult struct {
	Model   string  `json:"model"` // "smollm2 q4_0", "minilm"
	DType   string  `json:"dtype"` // the arithmetic
	Device  string  `json:"device"`
	Threads int     `json:"threads"`
	Test    string  `json:"test"` // as godwit bench names it; "texts" and "texts sorted" are 256 sentences from text
	TokS    float64 `json:"tok_s,omitempty"`
	SeqS    float64 `json:"seq_s,omitempty"`
	Spread  float64 `json:"spread"`
	// NS is what each repeat took.
	NS []int64 `json:"ns"`
}

// modelsRun is what -json writes.
type modelsRun struct {
	Time     time.Time     `json:"time"`
	Command  string        `json:"command"`
	Machine  machine       `json:"machine"`
	Ceilings ceilings      `json:"ceilings"`
	Files    []modelFile   `json:"files"`
	Results  []modelResult `json:"results"`
}

// modelsFlags are the command line of models.
type modelsFlags struct {
	device, dtype, quantize, only string
	threads, repeats              int
	json, benchfmt                bool
	req                           godwit.BenchRequest
}

func timeModels(args []string, out, notes io.Writer) error {
	o := modelsFlags{}
	f := flag.NewFlagSet("bench models", flag.ContinueOnError)
	f.SetOutput(notes)
	folder := f.String("models", "", "folder with "+smolFile+" and minilm; unset: $GODWIT_MODELS. Other types are those that compare has made")
	f.StringVar(&o.device, "device", bestDevice(), "any device of godwit")
	f.StringVar(&o.dtype, "dtype", "", "arithmetic, as godwit's --dtype")
	f.StringVar(&o.quantize, "quantize", "", "as godwit's --quantize")
	f.StringVar(&o.only, "model", "", "only models whose name contains this, as q4_0 or minilm")
	f.IntVar(&o.threads, "threads", 2, "threads")
	f.IntVar(&o.repeats, "repeats", 5, "repeats of a test, after one to warm up")
	f.BoolVar(&o.json, "json", false, "one JSON object of the whole run")
	f.BoolVar(&o.benchfmt, "benchfmt", false, "a line a repeat, for benchstat")
	for _, list := range []struct {
		to    *[]int
		name  string
		value []int
		help  string
	}{
		{&o.req.Prompts, "pp", []int{32, 512}, "tokens that are read in one go, with commas between"},
		{&o.req.Generate, "tg", []int{64}, "tokens that are written one by one"},
		{&o.req.Depths, "depth", []int{0, 512}, "tokens in the context before"},
		{&o.req.Batches, "batch", []int{1}, "sequences at once"},
	} {
		*list.to = list.value
		f.Func(list.name, fmt.Sprintf("%s (default %s)", list.help, commas(list.value)), func(s string) (err error) {
			*list.to, err = numbers(s)
			return err
		})
	}
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.repeats < 1 || o.threads < 1 || f.NArg() > 0 {
		return errors.New("want no arguments, and -repeats and -threads of at least 1")
	}
	o.req.Repeats = o.repeats
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r := modelsRun{Time: time.Now().UTC().Truncate(time.Second), Command: "bench models " + quoted(withoutFolders(args))}
	if o.json {
		r.Machine = thisMachine()
		r.Ceilings = *measureCeilings(simd.Best(), o.threads)
	}
	if err := r.run(ctx, newFiles(*folder), o, out, notes); err != nil {
		return err
	}
	if len(r.Results) == 0 {
		return fmt.Errorf("no model is %q", o.only)
	}
	if o.json {
		return json.NewEncoder(out).Encode(r)
	}
	return nil
}

func commas(values []int) string {
	var s []string
	for _, v := range values {
		s = append(s, strconv.Itoa(v))
	}
	return strings.Join(s, ",")
}

func numbers(text string) ([]int, error) {
	list := []int{}
	for s := range strings.SplitSeq(text, ",") {
		v, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// run measures each model whose file is there.
func (r *modelsRun) run(ctx context.Context, fs files, o modelsFlags, out, notes io.Writer) error {
	if err := fs.check(); err != nil {
		return err
	}
	paths := map[string]string{"minilm": fs.minilm()}
	names := []string{"minilm"}
	for _, kind := range smolTypes {
		path, err := fs.smol(kind)
		if err != nil {
			return err
		}
		names = append(names, "smollm2 "+kind)
		paths["smollm2 "+kind] = path
	}
	for _, name := range names {
		if !strings.Contains(name, o.only) {
			continue
		}
		if _, err := os.Stat(paths[name]); err != nil {
			fmt.Fprintf(notes, "%s is left out: %v; bench compare makes it\n", name, err)
			continue
		}
		if err := r.model(ctx, name, paths[name], o, out, notes); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// model measures one and prints its tests as they end.
func (r *modelsRun) model(ctx context.Context, name, path string, o modelsFlags, out, notes io.Writer) (err error) {
	if o.json {
		file, err := describe(name, path)
		if err != nil {
			return err
		}
		r.Files = append(r.Files, file)
	}
	m, err := godwit.Open(ctx, path, godwit.Config{Device: o.device, DType: o.dtype, Quantize: o.quantize, Threads: o.threads})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	info := m.Info()
	add := func(t modelResult) {
		t.Model, t.DType, t.Device, t.Threads = name, info.DType, info.Device, o.threads
		if o.quantize != "" {
			t.DType += ", weights " + o.quantize
		}
		r.Results = append(r.Results, t)
		t.print(out, notes, o)
	}
	req := o.req
	if info.Kind == "encoder" {
		req.Prompts = slices.DeleteFunc(slices.Clone(req.Prompts), func(n int) bool { return n > info.Context })
		req.Generate, req.Depths = []int{0}, []int{0}
	}
	for t, err := range m.Bench(ctx, req) {
		if err != nil {
			return err
		}
		one := modelResult{Test: t.Test, TokS: t.TokensPerSecond, SeqS: t.SequencesPerSecond, Spread: t.Spread}
		for _, d := range t.Times {
			one.NS = append(one.NS, d.Nanoseconds())
		}
		add(one)
	}
	if info.Kind != "encoder" {
		return nil
	}
	texts := makeTexts(textCount)
	for _, test := range []string{"texts", "texts sorted"} {
		if test == "texts sorted" {
			texts = longestFirst(texts)
		}
		one := modelResult{Test: test}
		var rates []float64
		for i := range o.repeats + 1 {
			start := time.Now()
			if _, err := m.Embed(ctx, godwit.EmbedRequest{Texts: texts, Normalize: true}); err != nil {
				return err
			}
			if took := time.Since(start); i > 0 {
				one.NS = append(one.NS, took.Nanoseconds())
				rates = append(rates, float64(len(texts))/took.Seconds())
			}
		}
		one.SeqS, one.Spread = median(rates), spread(rates)
		add(one)
	}
	return nil
}

func (t modelResult) print(out, notes io.Writer, o modelsFlags) {
	rate, unit := t.TokS, "tok/s"
	if t.SeqS > 0 {
		rate, unit = t.SeqS, "seq/s"
	}
	switch {
	case o.benchfmt:
		name := strings.NewReplacer(" ", "_", ",", "").Replace(strings.Join([]string{"BenchmarkModel", t.Model, t.DType, t.Test, t.Device}, "/"))
		typical := median(floats(t.NS))
		for _, ns := range t.NS {
			fmt.Fprintf(out, "%s 1 %d ns/op %.2f %s\n", name, ns, rate*typical/float64(ns), unit)
		}
	case o.json:
		fmt.Fprintf(notes, "%s %s: %s %s\n", t.Model, t.Test, number(rate), unit)
	default:
		fmt.Fprintf(out, "%-14s %-22s %-16s %10s %s ±%.1f %%\n", t.Model, t.DType, t.Test, number(rate), unit, 100*t.Spread)
	}
}

func floats(v []int64) []float64 {
	f := make([]float64, len(v))
	for i, x := range v {
		f[i] = float64(x)
	}
	return f
}
