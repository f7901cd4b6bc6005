package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-ml/godwit"
)

// endToEnd is what PyTorch makes of the texts of a checkpoint.
type endToEnd struct {
	Rows []struct {
		Text     string  `json:"text"`
		InputIDs []int32 `json:"input_ids"`
		Most     int     `json:"max_new_tokens"`
		IDs      []int32 `json:"output_ids"`
		Output   string  `json:"output_text"`
		Fill     struct {
			IDs    []int32   `json:"top5_ids"`
			Probs  []float64 `json:"top5_probs"`
			Tokens []string  `json:"top5_tokens"`
		} `json:"fill_mask"`
	} `json:"rows"`
}

func goldens(t testing.TB, name string) endToEnd {
	t.Helper()
	var e endToEnd
	readJSON(t, checkpoints+name+"/e2e.json", &e)
	if len(e.Rows) == 0 {
		t.Fatal("no rows")
	}
	return e
}

func TestGenerate(t *testing.T) {
	for _, name := range []string{"gpt2", "llama"} {
		for _, row := range goldens(t, name).Rows {
			most := strconv.Itoa(row.Most)
			got := jsonLines[godwit.Result](t, must(t, "", "generate", "-m", checkpoints+name, "--temp", "0", "-n", most, "--json", "-p", row.Text))
			if len(got) != 1 || len(got[0].Choices) != 1 {
				t.Fatalf("got %+v", got)
			}
			c, u := got[0].Choices[0], got[0].Usage
			if !slices.Equal(c.IDs, row.IDs) || c.Text != row.Output {
				t.Errorf("%s %q:\ngot  %v %q\nwant %v %q", name, row.Text, c.IDs, c.Text, row.IDs, row.Output)
			}
			if u.PromptTokens != len(row.InputIDs) || u.OutputTokens != len(row.IDs) || u.Total <= 0 || c.Finish == "" {
				t.Errorf("%s %q: usage %+v, finish %q", name, row.Text, u, c.Finish)
			}
			// The same as text, from all the places a prompt comes from.
			file := filepath.Join(t.TempDir(), "prompt.txt")
			if err := os.WriteFile(file, []byte(row.Text+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			args := []string{"generate", "-m", checkpoints + name, "-n", most}
			want := row.Output + "\n"
			for _, from := range []struct {
				stdin string
				args  []string
			}{{"", []string{"-p", row.Text}}, {"", []string{row.Text}}, {row.Text + "\n", nil}, {row.Text + "\r\n", []string{"-f", "-"}}, {"", []string{"-f", file}}} {
				if out := must(t, from.stdin, append(slices.Clone(args), from.args...)...); out != want {
					t.Errorf("%q, %+v: got %q, want %q", args, from, out, want)
				}
			}
		}
	}
	a, b := must(t, "", "generate", "-m", checkpoints+"gpt2", "-n", "4", "The", "transformer"), must(t, "", "generate", "-m", checkpoints+"gpt2", "-n", "4", "The transformer")
	if a != b {
		t.Errorf("words: %q, one argument: %q", a, b)
	}
}

func TestGenerateSpeed(t *testing.T) {
	args := []string{"generate", "-m", checkpoints + "gpt2", "-n", "5", "x y"}
	got := command(t, "", args...)
	if !regexp.MustCompile(`^prompt: 2 tokens in [0-9.]+ s, [0-9.]+ tok/s; answer: 5 tokens in [0-9.]+ s, [0-9.]+ tok/s\n$`).MatchString(got.stderr) {
		t.Errorf("greedy: %q", got.stderr)
	}
	if got := command(t, "", append(args, "--temp", "1", "-s", "42")...); !strings.HasSuffix(got.stderr, "; seed 42\n") {
		t.Errorf("sampled: %q", got.stderr)
	}
	if got := command(t, "", append(args, "--beams", "3")...); !regexp.MustCompile(`^prompt: 2 tokens; 3 answers: 15 tokens in `).MatchString(got.stderr) {
		t.Errorf("beams: %q", got.stderr)
	}
	for _, flag := range []string{"-q", "--json", "--tokens"} {
		if got := command(t, "", append(slices.Clone(args), flag)...); got.stderr != "" {
			t.Errorf("%s: %q on standard error", flag, got.stderr)
		}
	}
	got = command(t, "", append(slices.Clone(args), "-v")...)
	if want := regexp.MustCompile(`^gpt2: GPT2LMHeadModel, [0-9]+ parameters, f32 on cpu:[a-z0-9]+, context 128\nopened in [0-9.]+ s: .* weights, .* KV, .* scratch, .* files\nprompt: `); !want.MatchString(got.stderr) {
		t.Errorf("-v: %q", got.stderr)
	}
}

func TestGenerateTokens(t *testing.T) {
	row := goldens(t, "gpt2").Rows[0]
	args := []string{"generate", "-m", checkpoints + "gpt2", "-n", "6", "-p", row.Text}
	tokens := jsonLines[godwit.Token](t, must(t, "", append(args, "--tokens", "--logprobs", "2")...))
	var ids []int32
	var text strings.Builder
	for i, tok := range tokens {
		ids = append(ids, tok.ID)
		text.WriteString(tok.Text)
		if len(tok.Top) != 2 || tok.Top[0].ID != tok.ID || tok.Logprob >= 0 {
			t.Errorf("token %d: %+v", i, tok)
		}
		if last := i == len(tokens)-1; last != (tok.Result != nil) || last != (tok.Finish == godwit.FinishLength) {
			t.Errorf("token %d: finish %q, result %v", i, tok.Finish, tok.Result)
		}
	}
	if !slices.Equal(ids, row.IDs[:6]) || text.String() != must(t, "", append(args, "--json")...)[len(`{"choices":[{"text":"`):][:text.Len()] {
		t.Errorf("ids %v, text %q", ids, text.String())
	}
	// For people: a line a token, in 80 columns.
	out := must(t, "", append(args, "--logprobs", "9")...)
	if lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n"); len(lines) != 6 || slices.ContainsFunc(lines, func(l string) bool { return len([]rune(l)) > 80 }) {
		t.Errorf("got\n%s", out)
	}
	if want := fmt.Sprintf("%-20q %9.4f   %q %.4f", tokens[0].Piece, tokens[0].Logprob, tokens[0].Piece, tokens[0].Logprob); !strings.HasPrefix(out, want) {
		t.Errorf("got %q, want it to begin with %q", out, want)
	}
}

func TestGenerateSampling(t *testing.T) {
	sample := func(seed string, flags ...string) []int32 {
		args := append([]string{"generate", "-m", checkpoints + "llama", "-n", "16", "--temp", "1.5", "-s", seed, "--json", "-p", "The"}, flags...)
		r := jsonLines[godwit.Result](t, must(t, "", args...))[0]
		if strconv.FormatUint(r.Seed, 10) != seed {
			t.Errorf("seed %s came back as %d", seed, r.Seed)
		}
		return r.Choices[0].IDs
	}
	if a, b := sample("7"), sample("7"); !slices.Equal(a, b) {
		t.Errorf("the same seed gave %v and %v", a, b)
	}
	if a, b := sample("7"), sample("8"); slices.Equal(a, b) {
		t.Errorf("two seeds gave %v", a)
	}
	greedy := jsonLines[godwit.Result](t, must(t, "", "generate", "-m", checkpoints+"llama", "-n", "16", "--json", "-p", "The"))[0].Choices[0].IDs
	if top := sample("7", "--top-k", "1"); !slices.Equal(top, greedy) {
		t.Errorf("--top-k 1 gave %v, greedy %v", top, greedy)
	}
	beams := jsonLines[godwit.Result](t, must(t, "", "generate", "-m", checkpoints+"llama", "-n", "8", "--json", "--beams", "3", "-p", "The"))[0]
	if len(beams.Choices) != 3 || beams.Choices[0].Score < beams.Choices[1].Score {
		t.Errorf("beams: %+v", beams.Choices)
	}
	if out := must(t, "", "generate", "-m", checkpoints+"llama", "-n", "8", "--beams", "3", "-p", "The"); out != strings.TrimSuffix(beams.Choices[0].Text, "\n")+"\n" {
		t.Errorf("beams as text: got %q, want %q", out, beams.Choices[0].Text)
	}
	// A stop text: the answer ends before it.
	row := goldens(t, "gpt2").Rows[3]
	stop := row.Output[strings.Index(row.Output, "copame"):][:6]
	out := must(t, "", "generate", "-m", checkpoints+"gpt2", "-n", "24", "--stop", "never there", "--stop", stop, "-p", row.Text)
	if want := row.Output[:strings.Index(row.Output, stop)] + "\n"; out != want {
		t.Errorf("--stop %q: got %q, want %q", stop, out, want)
	}
}

func TestChat(t *testing.T) {
	dir := copyOf(t, checkpoints+"gpt2")
	config := filepath.Join(dir, "tokenizer_config.json")
	var fields map[string]any
	readJSON(t, config, &fields)
	fields["chat_template"] = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
	writeJSON(t, config, fields)
	plain := func(prompt string) string {
		return jsonLines[godwit.Result](t, must(t, "", "generate", "-m", dir, "-n", "6", "--json", "-p", prompt))[0].Choices[0].Text
	}
	for _, row := range []struct {
		args   []string
		prompt string
	}{
		{[]string{"--chat", "-p", "hello"}, "user: hello\n"},
		{[]string{"--system", "Be terse.", "hello"}, "system: Be terse.\nuser: hello\n"},
	} {
		r := jsonLines[godwit.Result](t, must(t, "", append([]string{"generate", "-m", dir, "-n", "6", "--json"}, row.args...)...))[0]
		want := plain(row.prompt)
		if c := r.Choices[0]; c.Text != want || c.Message.Role != "assistant" || c.Message.Content != want {
			t.Errorf("%q: got %+v, want the answer to %q, %q", row.args, c, row.prompt, want)
		}
		if out := must(t, "", append([]string{"generate", "-m", dir, "-n", "6"}, row.args...)...); out != strings.TrimSuffix(want, "\n")+"\n" {
			t.Errorf("%q: got %q, want %q", row.args, out, want)
		}
	}
}

func TestEmbed(t *testing.T) {
	bert := checkpoints + "bert-mlm"
	texts := []string{"the transformer", "", "attends to every token", "naïve café"}
	for len(texts) < 2*batchInputs+3 { // several batches
		texts = append(texts, fmt.Sprintf("text number %d", len(texts)))
	}
	model, err := godwit.Open(t.Context(), bert, godwit.Config{Pooling: "cls"})
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	want, err := model.Embed(t.Context(), godwit.EmbedRequest{Texts: texts, Normalize: true, PerToken: true})
	if err != nil {
		t.Fatal(err)
	}
	type line struct {
		Index     int         `json:"index"`
		Vector    []float32   `json:"vector"`
		PerToken  [][]float32 `json:"per_token"`
		Truncated bool        `json:"truncated"`
	}
	flags := []string{"embed", "-m", bert, "--pooling", "cls", "--normalize", "--per-token", "--json"}
	for _, from := range []struct {
		stdin string
		args  []string
	}{
		{strings.Join(texts, "\n") + "\n", nil}, {strings.Join(texts, "\r\n"), nil}, {strings.Join(texts, "\x00"), []string{"-0"}}, {"unread", append([]string{"--"}, texts...)},
	} {
		got := jsonLines[line](t, must(t, from.stdin, append(slices.Clone(flags), from.args...)...))
		if len(got) != len(texts) {
			t.Fatalf("%.60q %q: %d lines for %d texts", from.stdin, from.args, len(got), len(texts))
		}
		for i, l := range got {
			if l.Index != i || !close32(l.Vector, want.Vectors[i]) || len(l.PerToken) != len(want.PerToken[i]) || !close32(l.PerToken[0], want.PerToken[i][0]) || l.Truncated {
				t.Fatalf("%.60q %q: line %d is %+v, want %v", from.stdin, from.args, i, l, want.Vectors[i])
			}
		}
	}
	// As text: numbers that read back, a line a vector.
	out := must(t, "one\ntwo\n", "embed", "-m", bert)
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	raw, err := model.Embed(t.Context(), godwit.EmbedRequest{Texts: []string{"one", "two"}})
	if err != nil || len(lines) != 2 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	for i, fields := range [][]string{strings.Fields(lines[0]), strings.Fields(lines[1])} {
		if len(fields) != len(raw.Vectors[i]) {
			t.Errorf("line %d has %d numbers", i, len(fields))
		}
	}
	// With tokens, an empty line ends an input.
	if out := must(t, "one\ntwo\n", "embed", "-m", bert, "--per-token"); strings.Count(out, "\n\n") != 2 || strings.Count(out, "\n") != 4+len(mustTokens(t, bert, "one"))+len(mustTokens(t, bert, "two")) {
		t.Errorf("--per-token: %d lines", strings.Count(out, "\n"))
	}
	if got := command(t, "a b\nc\n", "embed", "-m", bert); !regexp.MustCompile(`^2 inputs, [0-9]+ tokens in [0-9.]+ s, [0-9.]+ tok/s\n$`).MatchString(got.stderr) {
		t.Errorf("standard error: %q", got.stderr)
	}
}

func mustTokens(t testing.TB, model, text string) []godwit.Piece {
	return jsonLines[struct {
		Index  int            `json:"index"`
		Tokens []godwit.Piece `json:"tokens"`
	}](t, must(t, "", "tokenize", "-m", model, "--special", "--json", text))[0].Tokens
}

// close32 compares vectors that may come from batches of another shape.
func close32(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Abs(float64(x-y)) <= 1e-5 })
}

func TestTruncate(t *testing.T) {
	long := strings.Repeat("the ", 300)
	lines := strings.Repeat("short\n", batchInputs+3) + long + "\n"
	last := batchInputs + 3
	for _, c := range []struct{ name, model string }{{"embed", checkpoints + "bert-mlm"}, {"classify", classifier(t)}} {
		got := command(t, lines, c.name, "-m", c.model, "--json")
		if got.status != statusFailed || !strings.Contains(got.stderr, fmt.Sprintf("input %d has", last)) {
			t.Errorf("%s: status %d, %q does not name input %d", c.name, got.status, got.stderr, last)
		}
		if n := strings.Count(got.out, "\n"); n != batchInputs {
			t.Errorf("%s: %d results before the error, want those of the first batch", c.name, n)
		}
		got = command(t, lines, c.name, "-m", c.model, "--json", "--truncate")
		if got.status != 0 || got.stderr != fmt.Sprintf("godwit: input %d was cut\n", last) {
			t.Errorf("%s --truncate: status %d, %q", c.name, got.status, got.stderr)
		}
		all := strings.Split(strings.TrimSuffix(got.out, "\n"), "\n")
		for i, l := range all {
			if strings.HasSuffix(l, `"truncated":true}`) != (i == last) {
				t.Errorf("%s: line %d ends %q", c.name, i, l[max(0, len(l)-20):])
			}
		}
		if len(all) != last+1 {
			t.Errorf("%s: %d lines", c.name, len(all))
		}
	}
}

// TestPlaced holds that an error names the input among all, also where the
// library saw it alone.
func TestPlaced(t *testing.T) {
	for text, says := range map[string]string{strings.Repeat("the ", 300) + "[MASK]": "input 34 has", "no mask": `"no mask"`} {
		got := command(t, strings.Repeat("a [MASK]\n", batchInputs+2)+text+"\n", "fill-mask", "-m", checkpoints+"bert-mlm", "--json")
		if got.status == 0 || !strings.Contains(strings.ReplaceAll(got.stderr, `\"`, `"`), says) || strings.Count(got.out, "\n") != batchInputs {
			t.Errorf("status %d, %d results, %q does not say %q", got.status, strings.Count(got.out, "\n"), got.stderr, says)
		}
	}
	err := placed(&godwit.ParamError{Field: "Texts[2]", Reason: "has no tokens"}, 32)
	if want := (&godwit.ParamError{Field: "Texts[34]", Reason: "has no tokens"}); !cmp.Equal(err, error(want)) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestFillMask(t *testing.T) {
	bert := checkpoints + "bert-mlm"
	e := goldens(t, "bert-mlm")
	var stdin []string
	for _, row := range e.Rows {
		stdin = append(stdin, row.Text)
	}
	type line struct {
		Index int              `json:"index"`
		Masks [][]godwit.Label `json:"masks"`
	}
	got := jsonLines[line](t, must(t, strings.Join(stdin, "\x00"), "fill-mask", "-m", bert, "--json", "-0"))
	if len(got) != len(e.Rows) {
		t.Fatalf("%d lines for %d texts", len(got), len(e.Rows))
	}
	for i, row := range e.Rows {
		if got[i].Index != i || len(got[i].Masks) != 1 {
			t.Fatalf("line %d: %+v", i, got[i])
		}
		for k, l := range got[i].Masks[0] {
			if l.ID != row.Fill.IDs[k] || math.Abs(l.Score-row.Fill.Probs[k]) > 1e-5 {
				t.Errorf("%q: %d. is %+v, want %d %v", row.Text, k, l, row.Fill.IDs[k], row.Fill.Probs[k])
			}
		}
	}
	row := e.Rows[0]
	want := row.Text + "\n"
	for k := range 2 {
		want += fmt.Sprintf("  %8.4f  %s\n", row.Fill.Probs[k], row.Fill.Tokens[k])
	}
	if out := must(t, "", "fill-mask", "-m", bert, "--top", "2", row.Text); out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	out := must(t, "", "fill-mask", "-m", bert, "--top", "1", "[MASK] and [MASK]")
	if !regexp.MustCompile(`^\[MASK\] and \[MASK\]\n  mask 1\n +0\.[0-9]{4}  \S+\n  mask 2\n +0\.[0-9]{4}  \S+\n$`).MatchString(out) {
		t.Errorf("two masks:\n%s", out)
	}
	only := jsonLines[line](t, must(t, "", "fill-mask", "-m", bert, "--json", "--targets", "the,a", "the [MASK]"))[0].Masks[0]
	if len(only) != 2 || only[0].Score < only[1].Score || only[0].Name+only[1].Name != "thea" && only[0].Name+only[1].Name != "athe" {
		t.Errorf("--targets: %+v", only)
	}
}

// classifier is a directory of the sequence classifier with a vocabulary of 256
// words, as it has none: w5 is token 5, and so on.
func classifier(t testing.TB) string {
	t.Helper()
	dir := copyOf(t, checkpoints+"bert-seqcls")
	special := []string{"[PAD]", "[UNK]", "[CLS]", "[MASK]", "[SEP]"}
	vocab := map[string]int{}
	var added []map[string]any
	for i, w := range special {
		vocab[w] = i
		added = append(added, map[string]any{"id": i, "content": w, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
	}
	for i := len(special); i < 256; i++ {
		vocab[fmt.Sprintf("w%d", i)] = i
	}
	writeJSON(t, filepath.Join(dir, "tokenizer.json"), map[string]any{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added,
		"normalizer":    map[string]any{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": nil, "lowercase": true},
		"pre_tokenizer": map[string]any{"type": "BertPreTokenizer"}, "post_processor": nil,
		"decoder": map[string]any{"type": "WordPiece", "prefix": "##", "cleanup": true},
		"model":   map[string]any{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab},
	})
	return dir
}

func TestClassify(t *testing.T) {
	dir := classifier(t)
	logits, ids := goldenLogits(t)
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = fmt.Sprintf("w%d", id)
	}
	text := strings.Join(words, " ")
	type line struct {
		Index  int            `json:"index"`
		Labels []godwit.Label `json:"labels"`
	}
	raw := jsonLines[line](t, must(t, text+"\nw9 w10\n", "classify", "-m", dir, "--json", "--raw"))
	soft := jsonLines[line](t, must(t, text+"\n", "classify", "-m", dir, "--json"))
	if len(raw) != 2 || raw[1].Index != 1 || len(raw[0].Labels) != len(logits) || len(soft) != 1 {
		t.Fatalf("got %+v, %+v", raw, soft)
	}
	var sum float64
	for _, x := range logits {
		sum += math.Exp(x)
	}
	for k := range logits {
		r, s := raw[0].Labels[k], soft[0].Labels[k]
		if r.ID != s.ID || r.Name != fmt.Sprintf("LABEL_%d", r.ID) || math.Abs(r.Score-logits[r.ID]) > 1e-5 || math.Abs(s.Score-math.Exp(logits[r.ID])/sum) > 1e-5 {
			t.Errorf("%d. is %+v, %+v; want the logits %v", k, r, s, logits)
		}
	}
	best := soft[0].Labels[0]
	if out, want := must(t, "", "classify", "-m", dir, "--top", "1", text), fmt.Sprintf("%s\n  %8.4f  %s\n", shorten(text, 79), best.Score, best.Name); out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	// Pairs: the second segment is not the first one's end.
	pair := must(t, "w7 w8\tw9\n", "classify", "-m", dir, "--pairs", "--json")
	if one := must(t, "w7 w8 w9\n", "classify", "-m", dir, "--json"); one == pair {
		t.Errorf("--pairs changes nothing: %s", pair)
	}
}

// goldenLogits takes PyTorch's logits of a case that is one text without special tokens.
func goldenLogits(t testing.TB) (logits []float64, ids []int32) {
	t.Helper()
	var golden struct {
		Cases []struct {
			IDs     [][]int32 `json:"input_ids"`
			Types   [][]int32 `json:"token_type_ids"`
			Outputs map[string]struct {
				Tensor string `json:"tensor"`
			} `json:"outputs"`
		} `json:"cases"`
	}
	readJSON(t, checkpoints+"bert-seqcls/golden.json", &golden)
	for _, c := range golden.Cases {
		if len(c.IDs) != 1 || slices.Min(c.IDs[0]) <= 4 || slices.Max(c.Types[0]) > 0 {
			continue
		}
		file, err := os.ReadFile(checkpoints + "bert-seqcls/golden.safetensors")
		if err != nil {
			t.Fatal(err)
		}
		n := binary.LittleEndian.Uint64(file)
		var header map[string]json.RawMessage
		if err := json.Unmarshal(file[8:8+n], &header); err != nil {
			t.Fatal(err)
		}
		var tensor struct {
			Offsets [2]int `json:"data_offsets"`
		}
		if err := json.Unmarshal(header[c.Outputs["logits"].Tensor], &tensor); err != nil {
			t.Fatal(err)
		}
		for data := file[8+n:][tensor.Offsets[0]:tensor.Offsets[1]]; len(data) > 0; data = data[4:] {
			logits = append(logits, float64(math.Float32frombits(binary.LittleEndian.Uint32(data))))
		}
		return logits, c.IDs[0]
	}
	t.Fatal("no such case")
	return nil, nil
}

func TestTokenize(t *testing.T) {
	for _, name := range []string{"gpt2", "llama"} {
		for _, row := range goldens(t, name).Rows {
			var ids []int32
			for _, p := range mustTokens(t, checkpoints+name, row.Text) {
				ids = append(ids, p.ID)
			}
			if !slices.Equal(ids, row.InputIDs) {
				t.Errorf("%s %q: got %v, want %v", name, row.Text, ids, row.InputIDs)
			}
		}
	}
	bert := checkpoints + "bert-mlm"
	got := must(t, "The [MASK] café\n\nx\n", "tokenize", "-m", bert, "--special", "--parse")
	want := `       2  [CLS]
     112  the                      0:3 "The"
       3  [MASK]                   4:10 "[MASK]"
`
	if !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s\nwant it to begin with\n%s", got, want)
	}
	if n := strings.Count(got, "\n\n"); n != 2 {
		t.Errorf("%d empty lines between three inputs:\n%s", n, got)
	}
	if plain := must(t, "", "tokenize", "-m", bert, "[MASK]"); strings.Contains(plain, "[MASK] ") {
		t.Errorf("without --parse the text is plain:\n%s", plain)
	}
	if got := command(t, "a\nb\n", "tokenize", "-m", bert); got.stderr != "2 inputs, 2 tokens\n" {
		t.Errorf("standard error: %q", got.stderr)
	}
	// No weights are needed.
	dir := copyOf(t, bert)
	for _, f := range []string{"model.safetensors", "config.json"} {
		if err := os.Remove(filepath.Join(dir, f)); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := must(t, "some text", "tokenize", "-m", dir), must(t, "some text", "tokenize", "-m", bert); a != b {
		t.Errorf("without weights: %q, with them: %q", a, b)
	}
}

// TestTokenizeFormats holds that a model's other files give what tokenizer.json does.
func TestTokenizeFormats(t *testing.T) {
	dir := copyOf(t, checkpoints+"llama")
	if err := os.Remove(filepath.Join(dir, "tokenizer.json")); err != nil {
		t.Fatal(err)
	}
	const text = "The transformer attends to every token."
	want := mustTokens(t, checkpoints+"llama", text)
	if diff := cmp.Diff(want, mustTokens(t, dir, text)); diff != "" {
		t.Errorf("tokenizer.model and tokenizer.json differ:\n%s", diff)
	}
	if got := mustTokens(t, "../../model/testdata/gguf/llama-Q4_0.gguf", text); len(got) == 0 || got[0].ID != 1 {
		t.Errorf("GGUF: got %+v, want BOS first", got)
	}
}

func TestInspect(t *testing.T) {
	for _, path := range []string{checkpoints + "llama", checkpoints + "bert-mlm", "../../model/testdata/gguf/llama-Q4_0.gguf"} {
		var want any
		info, err := godwit.Inspect(t.Context(), path, godwit.Config{Context: 64, KVDType: "f16", MemoryLimit: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(info)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		flags := []string{"inspect", "-m", path, "-c", "64", "--kv-dtype", "f16", "--memory", "1GiB"}
		if diff := cmp.Diff([]any{want}, jsonLines[any](t, must(t, "", append(flags, "--json")...))); diff != "" {
			t.Errorf("%s: --json is not Info:\n%s", path, diff)
		}
		text := must(t, "", append(flags, "--tensors", "--metadata")...)
		for _, part := range []string{info.Name, info.Architecture, info.Family, info.Kind, string(info.Tasks[0]), strconv.Itoa(info.Vocab), info.Tensors[0].Name, "context        64 tokens", "of 1.0 GiB"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s: nothing says %q:\n%s", path, part, text)
			}
		}
		for key := range info.Metadata {
			if !strings.Contains(text, key+" = ") {
				t.Errorf("%s: no %s", path, key)
			}
		}
		brief := must(t, "", flags...)
		if strings.Contains(brief, info.Tensors[0].Name) || !strings.HasPrefix(text, brief) {
			t.Errorf("%s: without flags\n%s", path, brief)
		}
		for line := range strings.Lines(brief) {
			if len([]rune(line)) > 81 && !strings.Contains(line, "unusual") {
				t.Errorf("%s: over 80 columns: %s", path, line)
			}
		}
	}
}

// copyOf copies a checkpoint, to be changed.
func copyOf(t testing.TB, from string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeJSON(t testing.TB, file string, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
