package godwit_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit"
)

// asking is a copy of a checkpoint with these fields in generation_config.json
// or, if legacy is set, in a config.json without one beside it.
func asking(t *testing.T, name, fields string, legacy bool) string {
	t.Helper()
	file, files := "generation_config.json", map[string]string{}
	if legacy {
		files[file] = ""
		file = "config.json"
	}
	merged := map[string]json.RawMessage{}
	for _, text := range []string{readCheckpoint(t, name, file), fields} {
		if err := json.Unmarshal([]byte(text), &merged); err != nil {
			t.Fatal(err)
		}
	}
	data, err := json.Marshal(merged)
	if err != nil {
		t.Fatal(err)
	}
	files[file] = string(data)
	return copied(t, name, files)
}

func readCheckpoint(t *testing.T, name, file string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("model", "testdata", "checkpoints", name, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestWishesNoted: what the files ask of answers is said, wherever they ask, and
// what changes nothing is not.
func TestWishesNoted(t *testing.T) {
	const quiet = `{"forced_bos_token_id": null, "forced_eos_token_id": null, "min_length": 0, "bad_words_ids": [], "suppress_tokens": null,
		"no_repeat_ngram_size": 0, "encoder_repetition_penalty": 1.0, "num_beams": 1, "length_penalty": 1.0, "early_stopping": false, "min_new_tokens": null,
		"remove_invalid_values": false, "renormalize_logits": false, "guidance_scale": 1, "top_h": null, "epsilon_cutoff": 0.0, "eta_cutoff": 0, "num_beam_groups": 1,
		"num_return_sequences": 1, "penalty_alpha": 0, "token_healing": false, "is_assistant": false, "watermarking_config": null, "cache_implementation": "static",
		"diversity_penalty": 0.0, "exponential_decay_length_penalty": null, "stop_strings": null, "max_time": null, "dola_layers": null, "use_cache": true, "task_specific_params": {}}`
	const asks = `{"forced_bos_token_id": 0, "no_repeat_ngram_size": 3, "suppress_tokens": [4, 5], "top_h": 0.5, "max_length": 90}`
	want := []string{"answers follow the checkpoint's forced_bos_token_id 0, max_length 90, no_repeat_ngram_size 3, suppress_tokens [4,5]", "top_h 0.5 of the checkpoint: sampled answers are refused"}
	for _, legacy := range []bool{false, true} {
		for _, row := range []struct {
			fields string
			want   []string
		}{{quiet, nil}, {asks, want}} {
			info, err := godwit.Inspect(context.Background(), asking(t, "bart", row.fields, legacy), godwit.Config{})
			if err != nil {
				t.Fatal(err)
			}
			got := slices.DeleteFunc(info.Unusual, func(s string) bool { return !strings.Contains(s, "checkpoint") })
			if !slices.Equal(got, row.want) {
				t.Errorf("legacy %v: %q, want %q", legacy, got, row.want)
			}
		}
	}
}

// TestWishesOfConfig: a config.json counts where there is no other file, and only
// for what it says: transformers takes no default of BART's for an answer.
func TestWishesOfConfig(t *testing.T) {
	prompt := godwit.Request{Tokens: []int32{0, 5, 9, 30, 2}, MaxTokens: 6}
	silent := complete(t, openDir(t, copied(t, "bart", map[string]string{"generation_config.json": "",
		"config.json": strings.Replace(readCheckpoint(t, "bart", "config.json"), `"forced_eos_token_id": null,`, "", 1)}), godwit.Config{}), prompt).IDs
	if want := []int32{226, 226, 226, 226, 226, 226}; !slices.Equal(silent, want) { // transformers 5.23
		t.Errorf("silent: %v, want %v", silent, want)
	}
	old := complete(t, openDir(t, asking(t, "bart", `{"force_bos_token_to_be_generated": true, "no_repeat_ngram_size": 2}`, true), godwit.Config{}), prompt).IDs
	if want := []int32{0, 226, 226, 3, 226, 230}; !slices.Equal(old, want) { // transformers 5.23
		t.Errorf("the first token as old configurations ask for it: %v, want %v", old, want)
	}
	dir := asking(t, "bart", `{"forced_eos_token_id": 2}`, true)
	if got := complete(t, openDir(t, dir, godwit.Config{}), prompt).IDs; got[5] != 2 {
		t.Errorf("forced by config.json: %v", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte(`{"eos_token_id": 2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := complete(t, openDir(t, dir, godwit.Config{}), prompt).IDs; !slices.Equal(got, silent) {
		t.Errorf("config.json beside another file: %v, want %v", got, silent)
	}
}

// TestWishesRefused: a field that would change the answer and is not supported is
// refused by name, in the manner that it counts in and no other.
func TestWishesRefused(t *testing.T) {
	greedy, sampled, beams := godwit.Request{}, godwit.Request{Sampling: godwit.Sampling{Temperature: new(1.0), Seed: 1}}, godwit.Request{Beam: godwit.Beam{Width: 2}}
	requests := map[string]godwit.Request{"greedy": greedy, "sampled": sampled, "beams": beams}
	for field, row := range map[string]struct{ value, in string }{
		"cache_implementation":             {`"quantized"`, "greedy sampled beams"},
		"constraints":                      {`[{}]`, "greedy sampled beams"},
		"dola_layers":                      {`"high"`, "greedy sampled"},
		"epsilon_cutoff":                   {`0.01`, "sampled"},
		"eta_cutoff":                       {`0.01`, "sampled"},
		"force_words_ids":                  {`[[5]]`, "greedy sampled beams"},
		"guidance_scale":                   {`1.5`, "greedy sampled beams"},
		"is_assistant":                     {`true`, "greedy sampled beams"},
		"max_time":                         {`3`, "greedy sampled beams"},
		"num_beam_groups":                  {`2`, "beams"},
		"num_return_sequences":             {`2`, "greedy sampled"},
		"penalty_alpha":                    {`0.6`, "greedy"},
		"token_healing":                    {`true`, "greedy sampled beams"},
		"top_h":                            {`1.0`, "sampled"},
		"watermarking_config":              {`{"bias": 2}`, "greedy sampled beams"},
		"forced_bos_token_id":              {`512`, "greedy sampled beams"},
		"forced_eos_token_id":              {`-1`, "greedy sampled beams"},
		"bad_words_ids":                    {`[[1], []]`, "greedy sampled beams"},
		"suppress_tokens":                  {`"all"`, "greedy sampled beams"},
		"begin_suppress_tokens":            {`4`, "greedy sampled beams"},
		"no_repeat_ngram_size":             {`2.5`, "greedy sampled beams"},
		"encoder_no_repeat_ngram_size":     {`[]`, "greedy sampled beams"},
		"min_length":                       {`"long"`, "greedy sampled beams"},
		"min_new_tokens":                   {`true`, "greedy sampled beams"},
		"encoder_repetition_penalty":       {`0`, "greedy sampled beams"},
		"sequence_bias":                    {`[[[1], "x"]]`, "greedy sampled beams"},
		"exponential_decay_length_penalty": {`[2]`, "greedy sampled beams"},
		"early_stopping":                   {`"soon"`, "greedy sampled beams"},
		"length_penalty":                   {`"x"`, "greedy sampled beams"},
		"num_beams":                        {`"x"`, "greedy sampled beams"},
		"stop_strings":                     {`["a"]`, "beams"},
	} {
		m := openDir(t, asking(t, "gpt2", `{"`+field+`": `+row.value+`}`, false), godwit.Config{})
		for name, r := range requests {
			r.Tokens, r.MaxTokens = []int32{5, 6, 7}, 2
			_, err := m.Complete(t.Context(), r)
			var e *godwit.ModelError
			switch refused := slices.Contains(strings.Fields(row.in), name); {
			case !refused && err != nil:
				t.Errorf("%s %s, %s: %v", field, row.value, name, err)
			case refused && (!errors.As(err, &e) || e.Field != field || filepath.Base(e.File) != "generation_config.json" || e.Reason == ""):
				t.Errorf("%s %s, %s: %v", field, row.value, name, err)
			}
		}
	}
	m := openDir(t, asking(t, "bart", `{"decoder_start_token_id": 5}`, false), godwit.Config{})
	var e *godwit.ModelError
	if _, err := m.Complete(t.Context(), godwit.Request{Tokens: []int32{5, 2}, MaxTokens: 2}); !errors.As(err, &e) || e.Field != "decoder_start_token_id" {
		t.Errorf("two first tokens: %v", err)
	}
	_, err := openDir(t, asking(t, "gpt2", `{"top_h": 0.4, "do_sample": true}`, false), godwit.Config{}).Complete(t.Context(), godwit.Request{Tokens: []int32{5}, MaxTokens: 2})
	if !errors.Is(err, godwit.ErrUnsupported) {
		t.Errorf("sampling by the file: %v", err)
	}
	// An encoder writes nothing, and so has nothing to refuse.
	m = openDir(t, asking(t, "bert-mlm", `{"watermarking_config": {}, "min_length": "x"}`, true), godwit.Config{})
	if _, err := m.FillMask(t.Context(), godwit.FillMaskRequest{Text: "a [MASK]"}); err != nil {
		t.Errorf("an encoder: %v", err)
	}
}

// TestWishesOverridden: a request's own fields count over the files'.
func TestWishesOverridden(t *testing.T) {
	r := godwit.Request{Tokens: []int32{40, 41, 42, 43}, MaxTokens: 10, IgnoreEOS: true}
	m := open(t, "gpt2", godwit.Config{})
	plain := complete(t, m, r).IDs
	for slices.Contains(plain[:2], plain[2]) { // a prompt whose third token is new
		r.Tokens[0]++
		plain = complete(t, m, r).IDs
	}
	m = openDir(t, asking(t, "gpt2", `{"min_new_tokens": 6, "max_length": 9, "eos_token_id": `+idText(plain[2])+`}`, false), godwit.Config{})
	w := r
	w.IgnoreEOS, w.MaxTokens = false, 0
	if got := complete(t, m, w).IDs; len(got) != 5 || slices.Contains(got, plain[2]) {
		t.Errorf("min_new_tokens beyond max_length: %v", got)
	}
	w.MinTokens, w.MaxTokens = 1, 10
	if got := complete(t, m, w).IDs; !slices.Equal(got, plain[:3]) {
		t.Errorf("MinTokens over min_new_tokens: %v, want %v", got, plain[:3])
	}
	var p *godwit.ParamError
	w.Tokens, w.MaxTokens, w.MinTokens = slices.Repeat(r.Tokens, 3), 0, 0
	if _, err := m.Complete(t.Context(), w); !errors.As(err, &p) || p.Field != "MaxTokens" || !strings.Contains(p.Reason, "max_length 9") {
		t.Errorf("a prompt beyond max_length: %v", err)
	}

	// Beams by the file, unless the request does without or cannot have them.
	m = openDir(t, asking(t, "gpt2", `{"num_beams": 3, "early_stopping": true, "length_penalty": 0.5}`, false), godwit.Config{})
	want := r
	want.Beam = godwit.Beam{Width: 3, Early: "true", LengthPenalty: new(0.5)}
	got := complete(t, m, r)
	if b := complete(t, open(t, "gpt2", godwit.Config{}), want); len(got.Choices) != 3 || !slices.Equal(got.IDs, b.IDs) || got.Score != b.Score {
		t.Errorf("beams by the file: %v, %v; by request: %v, %v", got.IDs, got.Score, b.IDs, b.Score)
	}
	one := r
	one.Beam.Width, one.Logprobs = 1, 1
	if got := complete(t, m, one); !slices.Equal(got.IDs, plain) || len(got.Choices) != 1 {
		t.Errorf("Beam.Width 1: %v, want %v", got.IDs, plain)
	}
	for name, w := range map[string]godwit.Request{"log-probabilities": {Logprobs: 1}, "sampling": {Sampling: godwit.Sampling{Temperature: new(0.5)}}, "stop texts": {Stop: []string{"a"}}} {
		w.Tokens, w.MaxTokens = r.Tokens, 4
		if _, err := m.Complete(t.Context(), w); !errors.As(err, &p) || p.Field != "Beam.Width" || !strings.Contains(p.Reason, "num_beams 3") {
			t.Errorf("%s with the file's beams: %v", name, err)
		}
	}
	both := asking(t, "gpt2", `{"num_beams": 3, "do_sample": true}`, false)
	m = openDir(t, both, godwit.Config{})
	var e *godwit.ModelError
	if _, err := m.Complete(t.Context(), r); !errors.As(err, &e) || e.Field != "num_beams" {
		t.Errorf("beams that sample: %v", err)
	}
	w = r
	w.Sampling.Temperature = new(0.0)
	if got := complete(t, m, w); len(got.Choices) != 3 {
		t.Errorf("beams by the file, greedy by request: %d answers", len(got.Choices))
	}

	// Stop texts.
	free := complete(t, open(t, "gpt2", godwit.Config{}), r).Text
	stop := string([]rune(free)[2:4])
	text, err := json.Marshal(stop)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{string(text), "[" + string(text) + "]"} {
		m = openDir(t, asking(t, "gpt2", `{"stop_strings": `+value+`}`, false), godwit.Config{})
		if got := complete(t, m, r); got.Stop != stop || got.Text != free[:strings.Index(free, stop)] {
			t.Errorf("stop_strings %s: %q of %q", value, got.Text, free)
		}
		w = r
		w.Stop = []string{"never to be seen"}
		if got := complete(t, m, w); got.Text != free {
			t.Errorf("Stop over stop_strings: %q, want %q", got.Text, free)
		}
	}
}

func idText(id int32) string {
	data, _ := json.Marshal(id) // a number
	return string(data)
}

// TestWishesSampled: forced and banned tokens hold for answers that are drawn, at
// any temperature and in spite of a bias.
func TestWishesSampled(t *testing.T) {
	m := openDir(t, asking(t, "gpt2", `{"forced_eos_token_id": 0, "forced_bos_token_id": 9, "suppress_tokens": [3, 4], "bad_words_ids": [[5]], "no_repeat_ngram_size": 1}`, false), godwit.Config{})
	seen := map[int32]bool{}
	for seed := range uint64(20) {
		r := godwit.Request{Tokens: []int32{40}, MaxTokens: 16, IgnoreEOS: true}
		r.Sampling = godwit.Sampling{Temperature: new(5.0), Seed: seed + 1, RepetitionPenalty: new(1.2), LogitBias: map[int32]float64{9: -1e6, 0: -1e6, 3: 1e6, 4: 1e6, 5: 1e6}}
		got := complete(t, m, r).IDs
		if got[0] != 9 || got[15] != 0 || slices.Contains(got[1:15], 3) || slices.Contains(got, 4) || slices.Contains(got, 5) || slices.Contains(got, 40) {
			t.Errorf("seed %d: %v", seed, got)
		}
		if sorted := slices.Sorted(slices.Values(got)); len(slices.Compact(sorted)) != 16 {
			t.Errorf("seed %d: one comes twice: %v", seed, got)
		}
		seen[got[1]] = true
	}
	if len(seen) < 10 {
		t.Errorf("hardly drawn: %v", seen)
	}
}
