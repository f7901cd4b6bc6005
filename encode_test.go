package godwit_test

// Vectors, classes and words against PyTorch's: pooling, pairs, several texts in a
// call, and what the files around a checkpoint change.

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit"
	"github.com/godwit-ml/godwit/weights"
)

// goldenCase is a case of golden.json with some of its outputs.
type goldenCase struct {
	Name    string    `json:"name"`
	IDs     [][]int32 `json:"input_ids"`
	Mask    [][]int32 `json:"attention_mask"`
	Types   [][]int32 `json:"token_type_ids"`
	Outputs map[string]struct {
		Tensor string `json:"tensor"`
	} `json:"outputs"`
}

// goldens are the cases of a checkpoint, and an output of one as floats.
func goldens(t *testing.T, name string) (cases []goldenCase, output func(c goldenCase, name string) []float32) {
	t.Helper()
	data, err := os.ReadFile(checkpoints + name + "/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Cases []goldenCase `json:"cases"`
	}
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	ck, err := weights.Open(checkpoints + name + "/golden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ck.Close(); err != nil {
			t.Error(err)
		}
	})
	return g.Cases, func(c goldenCase, name string) []float32 {
		x, err := ck.Tensor(c.Outputs[name].Tensor)
		if err != nil {
			t.Fatal(err)
		}
		return x.F32s()
	}
}

// kept are the ids of row i that are not masked.
func (c *goldenCase) kept(i int) []int32 {
	var ids []int32
	for j, id := range c.IDs[i] {
		if c.Mask[i][j] != 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// texts are row i as one text of words, or two where its token types say so.
func (c *goldenCase) texts(i int) (text, pair string) {
	var words [2][]string
	for j, id := range c.kept(i) {
		words[c.Types[i][j]] = append(words[c.Types[i][j]], fmt.Sprintf("w%d", id))
	}
	return strings.Join(words[0], " "), strings.Join(words[1], " ")
}

// withWords is a copy of a checkpoint whose tokenizer knows w0, w1 … as tokens 0, 1
// …, and adds nothing. More files may come beside; change edits config.json.
func withWords(t *testing.T, name string, change func(config map[string]any), files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	data, err := os.ReadFile(checkpoints + name + "/config.json")
	if err != nil {
		t.Fatal(err)
	}
	config := map[string]any{}
	if err := json.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(config)
	}
	vocab := map[string]int{}
	for i := range int(config["vocab_size"].(float64)) {
		vocab[fmt.Sprintf("w%d", i)] = i
	}
	sequence := func(id string, n int) any { return map[string]any{"Sequence": map[string]any{"id": id, "type_id": n}} }
	tokenizer := map[string]any{
		"pre_tokenizer": map[string]any{"type": "WhitespaceSplit"},
		"post_processor": map[string]any{"type": "TemplateProcessing", "special_tokens": map[string]any{},
			"single": []any{sequence("A", 0)}, "pair": []any{sequence("A", 0), sequence("B", 1)}},
		"model": map[string]any{"type": "WordLevel", "unk_token": "w1", "vocab": vocab},
	}
	all := maps.Clone(files)
	if all == nil {
		all = map[string]string{}
	}
	for file, value := range map[string]any{"config.json": config, "tokenizer.json": tokenizer} {
		b, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		all[file] = string(b)
	}
	tensors, err := os.ReadFile(checkpoints + name + "/model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	all["model.safetensors"] = string(tensors)
	for file, text := range all {
		file = filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func openDir(t *testing.T, dir string, cfg godwit.Config) *godwit.Model {
	t.Helper()
	m, err := godwit.Open(t.Context(), dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func near(got, want []float32, tol float64) bool {
	return slices.EqualFunc(got, want, func(a, b float32) bool { return math.Abs(float64(a)-float64(b)) <= tol })
}

func TestClassifyGolden(t *testing.T) {
	cases, output := goldens(t, "bert-seqcls")
	names := map[string]any{"0": "no", "1": "perhaps", "2": "yes"}
	single := openDir(t, withWords(t, "bert-seqcls", func(c map[string]any) { c["id2label"] = names }, nil), godwit.Config{})
	multi := openDir(t, withWords(t, "bert-seqcls", func(c map[string]any) { c["id2label"] = names; c["problem_type"] = "multi_label_classification" }, nil), godwit.Config{})
	for _, c := range cases {
		var texts, pairs []string
		for i := range c.IDs {
			text, pair := c.texts(i)
			texts, pairs = append(texts, text), append(pairs, pair)
		}
		logits := output(c, "logits")
		if pairs[0] == "" {
			pairs = nil
		}
		sum := func(row []float32) (s float64) {
			for _, x := range row {
				s += math.Exp(float64(x))
			}
			return s
		}
		for _, kind := range []struct {
			name  string
			m     *godwit.Model
			raw   bool
			score func(x float64, row []float32) float64
		}{
			{"softmax", single, false, func(x float64, row []float32) float64 { return math.Exp(x) / sum(row) }},
			{"sigmoid", multi, false, func(x float64, _ []float32) float64 { return 1 / (1 + math.Exp(-x)) }},
			{"raw", multi, true, func(x float64, _ []float32) float64 { return x }},
		} {
			r, err := kind.m.Classify(t.Context(), godwit.ClassifyRequest{Texts: texts, Pairs: pairs, Raw: kind.raw})
			if err != nil || len(r.Labels) != len(texts) {
				t.Fatalf("%s %s: %d results: %v", c.Name, kind.name, len(r.Labels), err)
			}
			tokens := 0
			for i, labels := range r.Labels {
				tokens += len(c.kept(i))
				row := logits[3*i : 3*i+3]
				if len(labels) != 3 {
					t.Fatalf("%s: labels %v", c.Name, labels)
				}
				for k, l := range labels {
					if want := kind.score(float64(row[l.ID]), row); math.Abs(l.Score-want) > 2e-5 {
						t.Errorf("%s %s, text %d, label %d: %v, want %v", c.Name, kind.name, i, l.ID, l.Score, want)
					}
					if l.Name != names[fmt.Sprint(l.ID)] {
						t.Errorf("label %d is called %q", l.ID, l.Name)
					}
					if k > 0 && l.Score > labels[k-1].Score {
						t.Errorf("%s %s: %v is not best first", c.Name, kind.name, labels)
					}
				}
			}
			if r.Usage.PromptTokens != tokens {
				t.Errorf("%s: %d tokens, want %d", c.Name, r.Usage.PromptTokens, tokens)
			}
			best, err := kind.m.Classify(t.Context(), godwit.ClassifyRequest{Texts: texts, Pairs: pairs, Raw: kind.raw, Top: 1})
			if err != nil || len(best.Labels[0]) != 1 || best.Labels[0][0] != r.Labels[0][0] {
				t.Errorf("%s: the best one is %v, want %v (%v)", c.Name, best.Labels, r.Labels, err)
			}
		}
	}
}

// pool is one vector of the rows of a sequence, in float64.
func pool(hidden []float32, width int, how string, normalize bool) []float32 {
	rows := len(hidden) / width
	v := make([]float64, width)
	for i, x := range hidden {
		r := i / width
		switch {
		case how == "mean":
			v[i%width] += float64(x) / float64(rows)
		case how == "cls" && r == 0, how == "last" && r == rows-1:
			v[i%width] = float64(x)
		}
	}
	length := 1.0
	if normalize {
		length = 0
		for _, x := range v {
			length += x * x
		}
		length = math.Sqrt(length)
	}
	out := make([]float32, width)
	for i, x := range v {
		out[i] = float32(x / length)
	}
	return out
}

// modules are the files of sentence-transformers.
func modules(pooling string, normalize bool) map[string]string {
	list := `{"path": "", "type": "sentence_transformers.models.Transformer"}, {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}`
	if normalize {
		list += `, {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}`
	}
	return map[string]string{"modules.json": "[" + list + "]", "1_Pooling/config.json": pooling, "sentence_bert_config.json": `{"max_seq_length": 90}`}
}

func TestEmbedGolden(t *testing.T) {
	cases, output := goldens(t, "bert-base")
	const width, tol = 32, 2e-5
	for _, row := range []struct {
		name      string
		files     map[string]string
		cfg       godwit.Config
		how       string
		normalize bool
	}{
		{"no modules", nil, godwit.Config{}, "mean", false},
		{"mean", modules(`{"pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}`, true), godwit.Config{}, "mean", true},
		{"cls", modules(`{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}`, false), godwit.Config{}, "cls", false},
		{"last", modules(`{"pooling_mode_lasttoken": true}`, true), godwit.Config{}, "last", true},
		{"mode", modules(`{"pooling_mode": "cls"}`, true), godwit.Config{}, "cls", true},
		{"Config", modules(`{"pooling_mode_cls_token": true}`, false), godwit.Config{Pooling: "last"}, "last", false},
	} {
		m := openDir(t, withWords(t, "bert-base", nil, row.files), row.cfg)
		if m.Info().Pooling != row.how {
			t.Errorf("%s: pooling %q", row.name, m.Info().Pooling)
		}
		for _, c := range cases {
			hidden := output(c, "last_hidden")
			var texts []string
			var ids [][]int32
			var want [][]float32
			var golden [][]float32
			whole := true // no second text: Embed has none
			for i := range c.IDs {
				text, pair := c.texts(i)
				whole = whole && pair == ""
				texts, ids = append(texts, text), append(ids, c.kept(i))
				n, at := len(ids[i]), i*len(c.IDs[0])
				want = append(want, pool(hidden[at*width:(at+n)*width], width, row.how, row.normalize))
				golden = append(golden, output(c, "mean_pooled_normalized")[i*width:(i+1)*width])
			}
			if !whole { // the hidden states are those of pairs: compare with what the model says of its own
				r, err := m.Embed(t.Context(), godwit.EmbedRequest{Tokens: ids, PerToken: true})
				if err != nil {
					t.Fatal(err)
				}
				for i := range ids {
					if len(r.PerToken[i]) != len(ids[i]) {
						t.Fatalf("%s %s: %d rows for %d tokens", row.name, c.Name, len(r.PerToken[i]), len(ids[i]))
					}
					want[i] = pool(slices.Concat(r.PerToken[i]...), width, row.how, row.normalize)
					if !near(r.Vectors[i], want[i], tol) {
						t.Errorf("%s %s: vector %d of ids is not the %s of its rows", row.name, c.Name, i, row.how)
					}
				}
				continue
			}
			r, err := m.Embed(t.Context(), godwit.EmbedRequest{Texts: texts})
			if err != nil {
				t.Fatal(err)
			}
			forced, err := m.Embed(t.Context(), godwit.EmbedRequest{Texts: texts, Normalize: true})
			if err != nil {
				t.Fatal(err)
			}
			for i := range texts {
				if !near(r.Vectors[i], want[i], tol) {
					t.Errorf("%s %s: vector %d\n%v, want\n%v", row.name, c.Name, i, r.Vectors[i], want[i])
				}
				if row.how == "mean" && !near(forced.Vectors[i], golden[i], tol) {
					t.Errorf("%s %s: vector %d of length 1\n%v, want\n%v", row.name, c.Name, i, forced.Vectors[i], golden[i])
				}
			}
		}
	}
	// 90 tokens are what the files allow, though the model has 128 positions.
	m := openDir(t, withWords(t, "bert-base", nil, modules(`{"pooling_mode_mean_tokens": true}`, true)), godwit.Config{})
	long := strings.Repeat("w7 w80 ", 46)
	var tooLong *godwit.TooLongError
	if _, err := m.Embed(t.Context(), godwit.EmbedRequest{Texts: []string{"w5", long}}); !errors.As(err, &tooLong) || *tooLong != (godwit.TooLongError{Index: 1, Tokens: 92, Limit: 90}) {
		t.Errorf("92 tokens: %v", err)
	}
	r, err := m.Embed(t.Context(), godwit.EmbedRequest{Texts: []string{"w5", long, strings.Repeat("w7 w80 ", 45)}, Truncate: true})
	if err != nil || !slices.Equal(r.Truncated, []int{1}) || !near(r.Vectors[1], r.Vectors[2], 1e-6) || near(r.Vectors[0], r.Vectors[1], 1e-2) {
		t.Errorf("cut to 90: %v %v", r, err)
	}
}

// TestEmbedPasses embeds more tokens than a pass takes: every text gets what it
// gets alone.
func TestEmbedPasses(t *testing.T) {
	m := openDir(t, withWords(t, "bert-base", nil, nil), godwit.Config{})
	var texts []string
	for i := range 60 {
		texts = append(texts, strings.TrimSpace(strings.Repeat(fmt.Sprintf("w%d w%d ", 5+i, 7+3*i), 1+i*13%64)))
	}
	all, err := m.Embed(t.Context(), godwit.EmbedRequest{Texts: texts})
	if err != nil || len(all.Vectors) != len(texts) || all.Usage.PromptTokens < 3000 {
		t.Fatalf("%d vectors of %d tokens: %v", len(all.Vectors), all.Usage.PromptTokens, err)
	}
	for _, i := range []int{0, 1, 29, 30, 31, 32, 33, 34, 35, 36, 58, 59} {
		alone, err := m.Embed(t.Context(), godwit.EmbedRequest{Texts: texts[i : i+1]})
		if err != nil || !near(alone.Vectors[0], all.Vectors[i], 2e-5) {
			t.Errorf("text %d: alone it has another vector (%v)", i, err)
		}
	}
}

// endToEnd is e2e.json of a checkpoint.
type endToEnd struct {
	Rows []struct {
		Text         string  `json:"text"`
		IDs          []int32 `json:"input_ids"`
		MaxNewTokens int     `json:"max_new_tokens"`
		OutputIDs    []int32 `json:"output_ids"`
		OutputText   string  `json:"output_text"`
		FillMask     struct {
			IDs    []int32   `json:"top5_ids"`
			Probs  []float64 `json:"top5_probs"`
			Tokens []string  `json:"top5_tokens"`
		} `json:"fill_mask"`
	} `json:"rows"`
}

func readEndToEnd(t *testing.T, name string) (e endToEnd) {
	t.Helper()
	data, err := os.ReadFile(checkpoints + name + "/e2e.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestFillMaskGolden(t *testing.T) {
	m := open(t, "bert-mlm", godwit.Config{})
	for _, row := range readEndToEnd(t, "bert-mlm").Rows {
		r, err := m.FillMask(t.Context(), godwit.FillMaskRequest{Text: row.Text})
		if err != nil || len(r.Masks) != 1 || len(r.Masks[0]) != 5 || r.Usage.PromptTokens != len(row.IDs) {
			t.Fatalf("%q: %v %v", row.Text, r, err)
		}
		want := row.FillMask
		for n, l := range r.Masks[0] {
			if l.ID != want.IDs[n] || math.Abs(l.Score-want.Probs[n]) > 1e-5 {
				t.Errorf("%q, answer %d: %v, want %q, %d with %v", row.Text, n, l, want.Tokens[n], want.IDs[n], want.Probs[n])
			}
		}
		// Targets compete in the same distribution, and the name of a token finds it.
		best := r.Masks[0]
		r, err = m.FillMask(t.Context(), godwit.FillMaskRequest{Text: row.Text, Targets: []string{want.Tokens[3], want.Tokens[1]}})
		if err != nil || len(r.Masks[0]) != 2 || r.Masks[0][0] != best[1] || r.Masks[0][1] != best[3] {
			t.Errorf("%q, targets: %v, want two of %v (%v)", row.Text, r, best, err)
		}
	}
	// Two masks: each has the words that it has where the other one is what it was.
	r, err := m.FillMask(t.Context(), godwit.FillMaskRequest{Text: "The [MASK] attends to every [MASK].", Top: 3})
	if err != nil || len(r.Masks) != 2 || len(r.Masks[1]) != 3 || slices.Equal(r.Masks[0], r.Masks[1]) {
		t.Errorf("two masks: %v (%v)", r, err)
	}
}

// TestGenerateGolden goes from text to text.
func TestGenerateGolden(t *testing.T) {
	for _, name := range []string{"gpt2", "llama"} {
		m := open(t, name, godwit.Config{})
		for _, row := range readEndToEnd(t, name).Rows {
			res := complete(t, m, godwit.Request{Prompt: row.Text, MaxTokens: row.MaxNewTokens})
			if !slices.Equal(res.IDs, row.OutputIDs) || res.Text != row.OutputText || res.Usage.PromptTokens != len(row.IDs) {
				t.Errorf("%s, %q:\n%v %q, want\n%v %q", name, row.Text, res.IDs, res.Text, row.OutputIDs, row.OutputText)
			}
		}
	}
}

// copied is a copy of a checkpoint with other files beside; "" removes one.
func copied(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(checkpoints+name)); err != nil {
		t.Fatal(err)
	}
	for file, text := range files {
		file = filepath.Join(dir, file)
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if text == "" {
			continue
		}
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestGenerationConfig: where end tokens and sampling come from, and who wins.
func TestGenerationConfig(t *testing.T) {
	r := request(24)
	free := complete(t, open(t, "gpt2", godwit.Config{}), r).IDs
	r.IgnoreEOS = false
	// Two tokens that come for the first time at some distance: either may end the answer.
	first := func(id int32) int { return slices.Index(free, id) }
	var distinct []int32
	for _, id := range free {
		if !slices.Contains(distinct, id) {
			distinct = append(distinct, id)
		}
	}
	a, b := distinct[2], distinct[4]
	config := func(eos string) string {
		data, err := os.ReadFile(checkpoints + "gpt2/config.json")
		if err != nil {
			t.Fatal(err)
		}
		c := map[string]any{}
		if err := json.Unmarshal(data, &c); err != nil {
			t.Fatal(err)
		}
		c["eos_token_id"] = json.RawMessage(eos)
		data, err = json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for _, row := range []struct {
		name  string
		files map[string]string
		stop  []int32
		want  int // tokens
	}{
		{"one", map[string]string{"generation_config.json": fmt.Sprintf(`{"eos_token_id": %d}`, b)}, nil, first(b) + 1},
		{"a list", map[string]string{"generation_config.json": fmt.Sprintf(`{"eos_token_id": [%d, %d]}`, b, a)}, nil, first(a) + 1},
		{"the list beats config.json", map[string]string{"config.json": config(fmt.Sprint(a)), "generation_config.json": fmt.Sprintf(`{"eos_token_id": [511, %d]}`, b)}, nil, first(b) + 1},
		{"null is silent", map[string]string{"config.json": config(fmt.Sprint(b)), "generation_config.json": `{"eos_token_id": null}`}, nil, first(b) + 1},
		{"config.json alone", map[string]string{"config.json": config(fmt.Sprint(a)), "generation_config.json": ""}, nil, first(a) + 1},
		{"stop tokens come beside", map[string]string{"generation_config.json": fmt.Sprintf(`{"eos_token_id": %d}`, a)}, []int32{b}, first(a) + 1},
		{"stop tokens, the other way round", map[string]string{"generation_config.json": fmt.Sprintf(`{"eos_token_id": %d}`, b)}, []int32{a}, first(a) + 1},
		{"the usual length", map[string]string{"generation_config.json": `{"max_new_tokens": 7, "eos_token_id": null}`, "config.json": config("null")}, nil, 7},
	} {
		m := openDir(t, copied(t, "gpt2", row.files), godwit.Config{})
		r := r
		r.StopTokens = row.stop
		if row.name == "the usual length" {
			r.MaxTokens, r.IgnoreEOS = 0, true
		}
		if got := complete(t, m, r).IDs; !slices.Equal(got, free[:row.want]) {
			t.Errorf("%s: %v, want the first %d of %v", row.name, got, row.want, free)
		}
	}

	// Sampling: the file's, unless Config or the request says something else.
	sample := map[string]string{"generation_config.json": `{"do_sample": true, "temperature": 0.7, "top_p": 0.9, "top_k": 3, "repetition_penalty": 1.3}`}
	plain := map[string]string{"generation_config.json": `{"do_sample": true}`}
	off := map[string]string{"generation_config.json": `{"do_sample": false, "temperature": 0.7, "top_k": 3}`}
	for _, row := range []struct {
		name  string
		files map[string]string
		cfg   godwit.Sampling
		wish  godwit.Sampling
		same  godwit.Sampling // what the checkpoint without a file has to be asked for the same answer
	}{
		{"of the file", sample, godwit.Sampling{}, godwit.Sampling{}, godwit.Sampling{Temperature: new(0.7), TopP: new(0.9), TopK: new(3), RepetitionPenalty: new(1.3)}},
		{"of Config", sample, godwit.Sampling{TopK: new(40), Temperature: new(1.2)}, godwit.Sampling{}, godwit.Sampling{Temperature: new(1.2), TopP: new(0.9), TopK: new(40), RepetitionPenalty: new(1.3)}},
		{"of the request", sample, godwit.Sampling{TopK: new(40)}, godwit.Sampling{TopK: new(0), TopP: new(1.0)}, godwit.Sampling{Temperature: new(0.7), RepetitionPenalty: new(1.3)}},
		{"greedy by request", sample, godwit.Sampling{}, godwit.Sampling{Temperature: new(0.0)}, godwit.Sampling{RepetitionPenalty: new(1.3)}},
		{"Hugging Face's defaults", plain, godwit.Sampling{}, godwit.Sampling{}, godwit.Sampling{Temperature: new(1.0), TopK: new(50)}},
		{"not sampling", off, godwit.Sampling{}, godwit.Sampling{}, godwit.Sampling{}},
	} {
		bare := openDir(t, copied(t, "gpt2", map[string]string{"generation_config.json": "{}"}), godwit.Config{})
		m := openDir(t, copied(t, "gpt2", row.files), godwit.Config{Sampling: row.cfg})
		for _, seed := range []uint64{3, 8} {
			a, b := request(20), request(20)
			a.Sampling, b.Sampling = row.wish, row.same
			a.Sampling.Seed, b.Sampling.Seed = seed, seed
			got, want := complete(t, m, a), complete(t, bare, b)
			if !slices.Equal(got.IDs, want.IDs) {
				t.Errorf("%s: %v, want %v", row.name, got.IDs, want.IDs)
			}
			if sampled := row.same.Temperature != nil; sampled != (got.Seed == seed) {
				t.Errorf("%s: seed %d of %d", row.name, got.Seed, seed)
			}
		}
	}
	// A seed that was not asked for is told, and gives the same once more.
	m := openDir(t, copied(t, "gpt2", sample), godwit.Config{})
	once := complete(t, m, request(20))
	again := request(20)
	again.Sampling.Seed = once.Seed
	if got := complete(t, m, again); once.Seed == 0 || !slices.Equal(got.IDs, once.IDs) || got.Seed != once.Seed {
		t.Errorf("seed %d: %v, then %v", once.Seed, once.IDs, got.IDs)
	}
}
