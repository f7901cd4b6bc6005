package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/godwit-ml/godwit"
)

var update = flag.Bool("update", false, "write the golden files anew")

const checkpoints = "../../model/testdata/checkpoints/"

// TestMain is the command itself where a test starts this program as one.
func TestMain(m *testing.M) {
	if wait := os.Getenv("GODWIT_TEST_COMMAND"); wait != "" {
		if d, err := time.ParseDuration(wait); err == nil {
			grace = d
		}
		main()
	}
	for _, name := range []string{"GODWIT_DEVICE", "COLUMNS"} {
		if err := os.Unsetenv(name); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// outcome is what one run of the command gave.
type outcome struct {
	status      int
	out, stderr string
}

func command(t testing.TB, stdin string, args ...string) outcome {
	t.Helper()
	var out, stderr bytes.Buffer
	status := run(t.Context(), args, strings.NewReader(stdin), &out, &stderr)
	return outcome{status, out.String(), stderr.String()}
}

// must is a run that has to succeed; it gives standard output.
func must(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	got := command(t, stdin, args...)
	if got.status != 0 {
		t.Fatalf("godwit %q: status %d, %s", args, got.status, got.stderr)
	}
	return got.out
}

// jsonLines parses a line of --json each.
func jsonLines[T any](t testing.TB, text string) []T {
	t.Helper()
	var all []T
	for line := range strings.Lines(text) {
		var v T
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, v)
	}
	return all
}

func readJSON(t testing.TB, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// TestHelp holds the help of every command against testdata/help.txt, and to 80 columns.
func TestHelp(t *testing.T) {
	var all strings.Builder
	all.WriteString(must(t, "", "--help"))
	for _, name := range names(t) {
		fmt.Fprintf(&all, "\n----------------------------------------\n\n%s", must(t, "", name, "--help"))
		if a, b := must(t, "", "help", name), must(t, "", name, "--help"); a != b {
			t.Errorf("help %s says\n%s\n%s --help says\n%s", name, a, name, b)
		}
	}
	for line := range strings.Lines(all.String()) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	golden := filepath.Join("testdata", "help.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(all.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), all.String()); diff != "" {
		t.Errorf("the help has changed; if it should, run go test ./cmd/godwit -update\n%s", diff)
	}
}

// grammar is the parser's model, for tests that go over all commands and flags.
func grammar(t testing.TB) (*commands, *kong.Kong) {
	t.Helper()
	var c commands
	parser, err := kong.New(&c, kong.ExplicitGroups(flagGroups), kong.WithHyphenPrefixedParameters(true), kong.Exit(func(int) {}), kong.Writers(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	return &c, parser
}

func names(t testing.TB) []string {
	_, parser := grammar(t)
	var all []string
	for _, n := range parser.Model.Children {
		all = append(all, n.Name)
	}
	return all
}

func TestFlagsOfErrors(t *testing.T) {
	_, parser := grammar(t)
	flags := map[string]bool{}
	for _, n := range parser.Model.Children {
		for _, f := range n.Flags {
			flags["--"+f.Name] = true
		}
	}
	for field, name := range flagOf {
		if !flags[name] {
			t.Errorf("%s is said to be %s, which is no flag", field, name)
		}
	}
}

func TestUnknownCommands(t *testing.T) {
	known := names(t)
	for word, answer := range answers {
		if slices.Contains(known, word) {
			t.Errorf("%s is a command, and has an answer for those that are not", word)
		}
		for _, m := range regexp.MustCompile(`godwit ([a-z-]+)`).FindAllStringSubmatch(answer, -1) {
			if !slices.Contains(known, m[1]) && m[1] != "does" {
				t.Errorf("the answer to %s names %s, which is no command", word, m[1])
			}
		}
		got := command(t, "", word, "-m", "x")
		if got.status != statusUsage || got.out != "" || !strings.Contains(got.stderr, answer) {
			t.Errorf("%s: %+v", word, got)
		}
	}
	for _, row := range []struct{ word, want string }{
		{"run", "godwit chat"}, {"show", "godwit inspect"}, {"complete", "godwit generate"}, {"pull", "hf download"}, {"ls", "godwit models"},
		{"frobnicate", "generate, chat, score, embed, fill-mask, classify, entities, answer, attend, tokenize, inspect, models, devices, bench, quality, ptx, version"}, {"", "is no command"},
	} {
		if got := command(t, "", row.word); got.status != statusUsage || !strings.Contains(got.stderr, row.want) {
			t.Errorf("%q: %+v does not say %q", row.word, got, row.want)
		}
	}
	if got := command(t, ""); got.status != statusUsage || !strings.Contains(got.stderr, "godwit --help") {
		t.Errorf("no command: %+v", got)
	}
}

func TestExitStatus(t *testing.T) {
	t.Setenv("HF_HUB_CACHE", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	gpt2, bert, seqcls := checkpoints+"gpt2", checkpoints+"bert-mlm", classifier(t)
	broken := t.TempDir()
	for name, text := range map[string]string{"config.json": `{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]`, "model.safetensors": "x"} {
		if err := os.WriteFile(filepath.Join(broken, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("the ", 400)
	rows := []struct {
		args   []string
		status int
		kind   string // with --json
		field  string
		says   string
	}{
		{[]string{"generate", "-m", gpt2, "-n", "2", "x"}, 0, "", "", ""},
		{[]string{"generate", "--no-such-flag"}, 2, "UsageError", "", "unknown flag --no-such-flag"},
		{[]string{"generate", "-n", "many", "x"}, 2, "UsageError", "", "--max-tokens"},
		{[]string{"classify", "x"}, 2, "UsageError", "", "as in: godwit classify -m"},
		{[]string{"inspect"}, 2, "UsageError", "", "as in: godwit inspect -m"},
		{[]string{"generate", "-m", gpt2, "-p", "a", "b"}, 2, "UsageError", "", "not several"},
		{[]string{"generate", "-m", gpt2, "-p", "a", "-f", "b"}, 2, "UsageError", "", "not several"},
		{[]string{"embed", "-m", bert, "-f", "x", "text"}, 2, "UsageError", "", "not both"},
		{[]string{"generate", "-m", gpt2, "-q", "-v", "x"}, 2, "UsageError", "", "--verbose"},
		{[]string{"version", "-m", gpt2}, 2, "UsageError", "", "unknown flag -m"},
		{[]string{"generate", "-m", gpt2, "--memory", "lots", "x"}, 2, "UsageError", "", "4GiB"},
		{[]string{"generate", "-m", gpt2, "-p", ""}, 2, "ParamError", "Prompt", "empty"},
		{[]string{"generate", "-m", gpt2, "--temp", "1", "--top-p", "2", "x"}, 2, "ParamError", "Sampling.TopP", "--top-p 2"},
		{[]string{"generate", "-m", gpt2, "--temp", "-1", "x"}, 2, "ParamError", "Sampling.Temperature", "--temp -1"},
		{[]string{"generate", "-m", gpt2, "-n", "-5", "x"}, 2, "ParamError", "MaxTokens", "--max-tokens -5"},
		{[]string{"generate", "-m", gpt2, "--beams", "-1", "x"}, 2, "ParamError", "Beam.Width", "--beams -1"},
		{[]string{"generate", "-m", gpt2, "--device", "toaster", "x"}, 2, "ParamError", "Config.Device", "--device toaster"},
		{[]string{"generate", "-m", gpt2, "--device", "cpu:mmx", "x"}, 2, "ParamError", "Config.Device", "cpu:portable"},
		{[]string{"generate", "-m", gpt2, "--dtype", "f33", "x"}, 2, "ParamError", "Config.DType", "--dtype f33"},
		{[]string{"generate", "-m", gpt2, "--quantize", "q5_0", "x"}, 2, "ParamError", "Config.Quantize", "--quantize q5_0"},
		{[]string{"bench", "-m", gpt2, "--pp", "many"}, 2, "UsageError", "", "--pp"},
		{[]string{"bench", "-m", gpt2, "--pp", "200"}, 2, "ParamError", "Prompts", "--pp 200"},
		{[]string{"bench", "-m", bert, "--tg", "4"}, 2, "ParamError", "Generate", "--tg 4"},
		{[]string{"bench", "-m", gpt2, "--depth=-1"}, 2, "ParamError", "Depths", "--depth -1"},
		{[]string{"bench", "-m", gpt2, "--batch", "0"}, 2, "ParamError", "Batches", "--batch 0"},
		{[]string{"bench", "-m", gpt2, "--repeats", "-2"}, 2, "ParamError", "Repeats", "--repeats -2"},
		{[]string{"quality", "-m", gpt2, "--window", "1"}, 2, "ParamError", "Window", "--window 1"},
		{[]string{"quality", "-m", gpt2, "--kv-dtype", "f33"}, 2, "ParamError", "Config.KVDType", "--kv-dtype f33"},
		{[]string{"bench", "-m", gpt2, "--kv-dtype", "f33"}, 2, "ParamError", "Config.KVDType", "--kv-dtype f33"},
		{[]string{"generate", "-m", gpt2, "--kv-dtype", "f33", "x"}, 2, "ParamError", "Config.KVDType", "--kv-dtype f33"},
		{[]string{"generate", "-m", gpt2, "-t", "-1", "x"}, 2, "ParamError", "Config.Threads", "--threads -1"},
		{[]string{"generate", "-m", gpt2, "-t", "100000", "x"}, 2, "ParamError", "Config.Threads", "at most 1024"},
		{[]string{"generate", "-m", gpt2, "-c", "4096", "x"}, 2, "ParamError", "Config.Context", "--ctx-size 4096"},
		{[]string{"embed", "-m", bert, "--pooling", "max", "x"}, 2, "ParamError", "Config.Pooling", "--pooling max"},
		{[]string{"fill-mask", "-m", bert, "no mask"}, 2, "ParamError", "Text", "[MASK]"},
		{[]string{"classify", "-m", seqcls, "--top", "9", "w9"}, 2, "ParamError", "Top", "--top 9"},
		{[]string{"classify", "-m", seqcls, "--pairs", "w9"}, 2, "UsageError", "", "no tab"},
		{[]string{"entities", "-m", pipelines + "entities", "--group", "last", "x"}, 2, "ParamError", "Group", "--group"},
		{[]string{"answer", "-m", pipelines + "questions", "x"}, 2, "UsageError", "", "--question"},
		{[]string{"answer", "-m", pipelines + "questions", "--question", "", "x"}, 2, "ParamError", "Question", "--question"},
		{[]string{"answer", "-m", pipelines + "questions", "--question", "Who?"}, 2, "ParamError", "Context", "empty"},
		{[]string{"answer", "-m", pipelines + "questions", "--question", "Who?", "-f", "x", "y"}, 2, "UsageError", "", "not both"},
		{[]string{"answer", "-m", pipelines + "questions", "--question", "Who?", "--top", "-1", "y"}, 2, "ParamError", "Top", "--top -1"},
		{[]string{"answer", "--question", "Who?", "y"}, 2, "UsageError", "", "as in: godwit answer -m"},
		{[]string{"generate", "-m", "nobody/nothing", "x"}, 3, "ModelError", "", "hf download nobody/nothing"},
		{[]string{"tokenize", "-m", "nobody/nothing", "x"}, 3, "ModelError", "", "hf download nobody/nothing"},
		{[]string{"inspect", "-m", broken}, 3, "ModelError", "header", "model.safetensors"},
		{[]string{"tokenize", "-m", checkpoints + "bert-base", "x"}, 3, "ModelError", "", "no tokenizer.json"},
		{[]string{"embed", "-m", gpt2, "x"}, 4, "UnsupportedError", "", `task "embed"`},
		{[]string{"fill-mask", "-m", gpt2, "[MASK]"}, 4, "UnsupportedError", "", `task "fill-mask"`},
		{[]string{"classify", "-m", bert, "x"}, 4, "UnsupportedError", "", `task "classify"`},
		{[]string{"entities", "-m", bert, "x"}, 4, "UnsupportedError", "", `task "entities"`},
		{[]string{"answer", "-m", bert, "--question", "Who?", "x"}, 4, "UnsupportedError", "", `task "answer"`},
		{[]string{"generate", "-m", bert, "x"}, 4, "UnsupportedError", "", `task "generate"`},
		{[]string{"generate", "-m", gpt2, "--chat", "x"}, 4, "UnsupportedError", "", `task "chat"`},
		{[]string{"generate", "-m", gpt2, "--device", "cuda", "x"}, 4, "UnsupportedError", "", "no CUDA driver"},
		{[]string{"generate", "-m", gpt2, "--device", "reference", "--dtype", "bf16", "x"}, 4, "UnsupportedError", "", "f32"},
		{[]string{"quality", "-m", gpt2, "--device", "reference", "--quantize", "q4_0"}, 4, "UnsupportedError", "", "q4_0"},
		{[]string{"quality", "-m", gpt2, filepath.Join(broken, "absent")}, 1, "Error", "", "absent"},
		{[]string{"embed", "-m", bert, "short", long}, 1, "TooLongError", "", "input 1 has"},
		{[]string{"generate", "-m", gpt2, "--memory", "1KiB", "x"}, 1, "MemoryError", "", "MiB"},
		{[]string{"generate", "-m", gpt2, "--device", "cpu:portable", "--memory", "1KiB", "x"}, 1, "MemoryError", "", "MiB"},
		{[]string{"generate", "-m", gpt2, "--device", "cpu:portable", "--quantize", "q4_0", "x"}, 3, "ModelError", "", "whole blocks of 32"},
		{[]string{"generate", "-m", gpt2, "-f", filepath.Join(broken, "absent")}, 1, "Error", "", "absent"},
	}
	here := godwit.Devices()[0].Detail
	_, here, _ = strings.Cut(here, "paths: ")
	for _, path := range []string{"avx2", "avx512", "vnni", "amx"} {
		row := rows[0]
		row.args = []string{"generate", "-m", gpt2, "--device", "cpu:" + path, "-n", "2", "x"}
		if !slices.Contains(strings.Split(here, ", "), path) { // it exists, but not in this build or on this processor
			row.status, row.kind, row.says = 4, "UnsupportedError", "the paths of this processor in this build are "+here
		}
		rows = append(rows, row)
	}
	for _, row := range rows {
		t.Run(strings.Join(row.args, " "), func(t *testing.T) {
			got := command(t, "", row.args...)
			if got.status != row.status {
				t.Fatalf("status %d, want %d: %s", got.status, row.status, got.stderr)
			}
			if row.status == 0 {
				return
			}
			if got.out != "" {
				t.Errorf("an error, and on standard output %q", got.out)
			}
			if !strings.HasPrefix(got.stderr, "godwit") || strings.Contains(got.stderr, "godwit: godwit:") || !strings.Contains(got.stderr, row.says) {
				t.Errorf("%q does not say %q", got.stderr, row.says)
			}
			got = command(t, "", slices.Insert(slices.Clone(row.args), 1, "--json")...)
			var line struct {
				Error struct{ Type, Field, Message string }
			}
			if strings.Count(got.stderr, "\n") != 1 || json.Unmarshal([]byte(got.stderr), &line) != nil {
				t.Fatalf("--json: not one line of JSON: %q", got.stderr)
			}
			if got.status != row.status || line.Error.Type != row.kind || line.Error.Field != row.field || line.Error.Message == "" {
				t.Errorf("--json: status %d, %+v; want %d, %s, %s", got.status, line.Error, row.status, row.kind, row.field)
			}
		})
	}
}

// TestEveryFlag holds what each flag of generate becomes in a request: none is lost.
func TestEveryFlag(t *testing.T) {
	for _, row := range []struct {
		args    []string
		request godwit.Request
		config  godwit.Config
	}{
		{args: nil},
		{args: []string{"-n", "3"}, request: godwit.Request{MaxTokens: 3}},
		{args: []string{"--max-tokens", "3"}, request: godwit.Request{MaxTokens: 3}},
		{args: []string{"--predict", "3"}, request: godwit.Request{MaxTokens: 3}},
		{args: []string{"--n-predict=3"}, request: godwit.Request{MaxTokens: 3}},
		{args: []string{"--stop", ",", "--stop", "a,b"}, request: godwit.Request{Stop: []string{",", "a,b"}}},
		{args: []string{"--beams", "4"}, request: godwit.Request{Beam: godwit.Beam{Width: 4}}},
		{args: []string{"--logprobs", "2"}, request: godwit.Request{Logprobs: 2}},
		{args: []string{"--temp", "0"}, request: godwit.Request{Sampling: godwit.Sampling{Temperature: new(0.0)}}},
		{args: []string{"--temperature", "0.5"}, request: godwit.Request{Sampling: godwit.Sampling{Temperature: new(0.5)}}},
		{args: []string{"--top-k", "0"}, request: godwit.Request{Sampling: godwit.Sampling{TopK: new(0)}}},
		{args: []string{"--top-p", "0.9"}, request: godwit.Request{Sampling: godwit.Sampling{TopP: new(0.9)}}},
		{args: []string{"--min-p", "0.1"}, request: godwit.Request{Sampling: godwit.Sampling{MinP: new(0.1)}}},
		{args: []string{"--typical", "0.2"}, request: godwit.Request{Sampling: godwit.Sampling{TypicalP: new(0.2)}}},
		{args: []string{"--typical-p", "0.2"}, request: godwit.Request{Sampling: godwit.Sampling{TypicalP: new(0.2)}}},
		{args: []string{"--repeat-penalty", "1.1"}, request: godwit.Request{Sampling: godwit.Sampling{RepetitionPenalty: new(1.1)}}},
		{args: []string{"--repetition-penalty", "1.1"}, request: godwit.Request{Sampling: godwit.Sampling{RepetitionPenalty: new(1.1)}}},
		{args: []string{"--presence-penalty", "-1"}, request: godwit.Request{Sampling: godwit.Sampling{PresencePenalty: new(-1.0)}}},
		{args: []string{"--frequency-penalty", "0.3"}, request: godwit.Request{Sampling: godwit.Sampling{FrequencyPenalty: new(0.3)}}},
		{args: []string{"-s", "18446744073709551615"}, request: godwit.Request{Sampling: godwit.Sampling{Seed: 1<<64 - 1}}},
		{args: []string{"--device", "cpu"}, config: godwit.Config{Device: "cpu"}},
		{args: []string{"--dtype", "f32"}, config: godwit.Config{DType: "f32"}},
		{args: []string{"--quantize", "q8_0"}, config: godwit.Config{Quantize: "q8_0"}},
		{args: []string{"--kv-dtype", "f16"}, config: godwit.Config{KVDType: "f16"}},
		{args: []string{"-t", "2"}, config: godwit.Config{Threads: 2}},
		{args: []string{"-c", "64"}, config: godwit.Config{Context: 64}},
		{args: []string{"--memory", "2GiB"}, config: godwit.Config{MemoryLimit: 2 << 30}},
	} {
		c, parser := grammar(t)
		if _, err := parser.Parse(append([]string{"generate", "the", "prompt"}, row.args...)); err != nil {
			t.Errorf("%q: %v", row.args, err)
			continue
		}
		got, err := c.Generate.request(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		row.request.Prompt = "the prompt"
		if diff := cmp.Diff(row.request, got); diff != "" {
			t.Errorf("%q:\n%s", row.args, diff)
		}
		if diff := cmp.Diff(row.config, c.Generate.openConfig()); diff != "" {
			t.Errorf("%q:\n%s", row.args, diff)
		}
	}
	chat := func(messages ...godwit.Message) godwit.Request { return godwit.Request{Messages: messages} }
	for _, row := range []struct {
		args []string
		want godwit.Request
	}{
		{[]string{"-p", "- x"}, godwit.Request{Prompt: "- x"}},
		{[]string{"--", "--chat", "-x"}, godwit.Request{Prompt: "--chat -x"}},
		{[]string{"--chat", "hello"}, chat(godwit.Message{Role: "user", Content: "hello"})},
		{[]string{"--system", "Be terse.", "hello"}, chat(godwit.Message{Role: "system", Content: "Be terse."}, godwit.Message{Role: "user", Content: "hello"})},
		{[]string{"--system-prompt", "", "--chat", "-p", "hello"}, chat(godwit.Message{Role: "system"}, godwit.Message{Role: "user", Content: "hello"})},
	} {
		c, parser := grammar(t)
		if _, err := parser.Parse(append([]string{"generate"}, row.args...)); err != nil {
			t.Errorf("%q: %v", row.args, err)
			continue
		}
		got, err := c.Generate.request(t.Context(), nil)
		if diff := cmp.Diff(row.want, got); diff != "" || err != nil {
			t.Errorf("%q: %v\n%s", row.args, err, diff)
		}
	}
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "1048576": 1 << 20, "4GiB": 4 << 30, "4gib": 4 << 30, "4G": 4 << 30, "4 GiB": 4 << 30, " 4k ": 4 << 10, "500MB": 500e6, "1.5MiB": 3 << 19,
		"0.5K": 512, "2T": 2 << 40, "1tb": 1e12, "10b": 10, "9223372036854775807": 1<<63 - 1,
		"": -1, "0": -1, "x": -1, "-1": -1, "4x": -1, "GiB": -1, "1e3": -1, "1/3": -1, "0x10": -1, "4.GiB.": -1, "..": -1, "1.5": 1, "0.1": -1, "inf": -1, "NaN": -1,
		"9223372036854775808": -1, "99999999999T": -1, strings.Repeat("9", 1000): -1, "4GiBiB": -1, "4_0": -1,
	} {
		var got byteSize
		if err := got.UnmarshalText([]byte(text)); (err != nil) != (want < 0) || err == nil && int64(got) != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
}

// failing is a writer that breaks after some bytes.
type failing struct {
	left int
	err  error
}

func (w *failing) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, w.err
	}
	return len(p), nil
}

func TestOutputFails(t *testing.T) {
	lines := strings.Repeat("the transformer attends\n", 2000)
	for _, row := range []struct {
		err    error
		status int
		says   string
	}{
		{&fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}, 0, ""},
		{io.ErrClosedPipe, 0, ""},
		{&fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}, 1, "cannot write the results"},
		{errors.New("odd"), 1, "cannot write the results: odd"},
	} {
		file := filepath.Join(t.TempDir(), "text.txt")
		if err := os.WriteFile(file, []byte("The ferry leaves at ten past seven."), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"--help"}, {"version"}, {"version", "--json"}, {"devices"}, {"inspect", "-m", checkpoints + "gpt2"},
			{"generate", "-m", checkpoints + "gpt2", "-q", "-n", "20", "x"}, {"generate", "-m", checkpoints + "gpt2", "-q", "-n", "20", "--json", "x"},
			{"embed", "-q", "-m", checkpoints + "bert-mlm"}, {"tokenize", "-q", "-m", checkpoints + "bert-mlm"},
			{"bench", "--pp", "2", "--tg", "2", "--repeats", "1"}, {"bench", "--pp", "2", "--tg", "2", "--repeats", "1", "--json"}, {"quality", "--json", file},
		} {
			for _, left := range []int{0, 10} {
				var stderr bytes.Buffer
				in := &counting{r: strings.NewReader(lines)}
				status := run(t.Context(), args, in, &failing{left, row.err}, &stderr)
				if status != row.status || !strings.Contains(stderr.String(), row.says) || row.says == "" && stderr.Len() > 0 {
					t.Errorf("%q, %v after %d bytes: status %d, %q", args, row.err, left, status, stderr.String())
				}
				if args[0] == "embed" && in.n.Load() == int64(len(lines)) && left == 0 {
					t.Errorf("%q: all input was read although nobody reads the output", args)
				}
			}
		}
	}
}

// counting counts what was read.
type counting struct {
	r io.Reader
	n atomic.Int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p[:min(len(p), 512)])
	c.n.Add(int64(n))
	return n, err
}

// TestInterrupted cancels as main does on Ctrl-C.
func TestInterrupted(t *testing.T) {
	for _, args := range [][]string{
		{"generate", "-m", checkpoints + "gpt2"}, // waits for a prompt
		{"embed", "-m", checkpoints + "bert-mlm"},
		{"tokenize", "-m", checkpoints + "bert-mlm", "--json"},
	} {
		ctx, cancel := context.WithCancelCause(context.Background())
		stdin, feed := io.Pipe()
		var out, stderr bytes.Buffer
		done := make(chan int)
		go func() { done <- run(ctx, args, stdin, &out, &stderr) }()
		if _, err := io.WriteString(feed, "the first line\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * batchWait)
		cancel(errInterrupted)
		select {
		case status := <-done:
			if status != statusInterrupted || stderr.Len() > 0 {
				t.Errorf("%q: status %d, %q", args, status, stderr.String())
			}
			if first := args[0] == "generate" || strings.Count(out.String(), "\n") > 0; !first {
				t.Errorf("%q: the first line's result is not there", args)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%q: still running", args)
		}
		feed.Close()
	}
}

func TestVersion(t *testing.T) {
	lines := jsonLines[build](t, must(t, "", "version", "--json"))
	if len(lines) != 1 || lines[0].Version == "" || !strings.HasPrefix(lines[0].Go, "go1.") || !strings.HasPrefix(lines[0].Device, "cpu:") {
		t.Errorf("got %+v", lines)
	}
	out := must(t, "", "--version")
	if !strings.HasPrefix(out, "godwit ") || !strings.Contains(out, lines[0].Go) || strings.Count(out, "\n") != 1 {
		t.Errorf("got %q", out)
	}
}

func TestDevices(t *testing.T) {
	type device struct {
		Name, Detail, Reason string
		Auto                 *bool
		Free, Total          *int64
	}
	lines := jsonLines[device](t, must(t, "", "devices", "--json"))
	want := godwit.Devices()
	if len(lines) != len(want) {
		t.Fatalf("%d lines for %d devices", len(lines), len(want))
	}
	text := must(t, "", "devices")
	for i, d := range want {
		if l := lines[i]; l.Name != d.Name || l.Reason != d.Reason || l.Auto == nil || *l.Auto != d.Auto || l.Free == nil {
			t.Errorf("got %+v, want %+v", l, d)
		}
		if !strings.Contains(text, d.Name) || !strings.Contains(text, d.Reason) || !strings.Contains(text, d.Detail) {
			t.Errorf("%s does not say all of %+v", text, d)
		}
	}
	if strings.Count(text, "(auto)") != 1 {
		t.Errorf("%s: one device is what auto takes", text)
	}
}
