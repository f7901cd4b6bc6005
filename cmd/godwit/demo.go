package main

// demo: a walk through the three shapes of Transformer, with the models that are
// part of the command.

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/godwit-ml/godwit"
	"github.com/godwit-ml/godwit/demo"
)

type demoCmd struct {
	Sentence []string `arg:"" optional:"" help:"A sentence about something one can learn, words joined by spaces; unset: I love NLP."`
	deviceFlag
	jsonFlag
	quietFlag
}

// defaultSentence is what the demo is about unless somebody says otherwise.
const defaultSentence = "I love NLP."

// Help is what demo --help says besides its flags.
func (c *demoCmd) Help() string {
	return "A sentence becomes a vector; an encoder-decoder rewrites it and shows which words it looked at; a language model goes on from its first two words; a masked model fills in a word that was changed."
}

// walk is what the demo shows, and its JSON.
type walk struct {
	Sentence     string         `json:"sentence"`
	Vector       []float32      `json:"vector"` // mean of the encoder's hidden states
	Norm         float64        `json:"norm"`
	Rewritten    string         `json:"rewritten"`
	Words        []writtenWord  `json:"words"`
	Prompt       string         `json:"prompt"` // of the language model
	Continuation []writtenToken `json:"continuation"`
	Masked       string         `json:"masked"`
	Fills        []godwit.Label `json:"fills"`

	config godwit.Config
}

// writtenWord is a word of the rewritten sentence, and where the decoder looked.
type writtenWord struct {
	Word      string     `json:"word"`
	Prob      float64    `json:"prob"` // product over its tokens
	Attention []lookedAt `json:"attention"`
}

type lookedAt struct {
	Word   string  `json:"word"`
	Weight float64 `json:"weight"`
}

// writtenToken is one step of the language model.
type writtenToken struct {
	Text string  `json:"text"`
	Prob float64 `json:"prob"`
}

// Run walks step by step and prints each as it is known; JSON is one object.
func (c *demoCmd) Run(ctx context.Context, s *streams) error {
	w := &walk{Sentence: strings.Join(c.Sentence, " "), config: godwit.Config{Device: c.Device}}
	if strings.TrimSpace(w.Sentence) == "" {
		w.Sentence = defaultSentence
	}
	st := s.out.style()
	for _, step := range []struct {
		compute func(context.Context, *walk) error
		print   func(*results, *walk, style)
	}{
		{rewriteStep, printRewrite},
		{continueStep, printContinuation},
		{fillStep, printFills},
	} {
		if err := step.compute(ctx, w); err != nil {
			return err
		}
		if !c.JSON {
			step.print(s.out, w, st)
			if err := s.out.flush(); err != nil {
				return err
			}
		}
	}
	if c.JSON {
		return s.out.object(w)
	}
	if !c.Quiet {
		printNext(s.out, st)
	}
	return nil
}

// with opens a model of the demo for the length of use.
func (w *walk) with(ctx context.Context, name string, use func(*godwit.Model) error) error {
	m, err := godwit.OpenFS(ctx, demo.FS, name, w.config)
	if err != nil {
		return err
	}
	return errors.Join(use(m), m.Close())
}

// rewriteStep makes the vector and the rewritten sentence.
func rewriteStep(ctx context.Context, w *walk) error {
	return w.with(ctx, "rewrite", func(m *godwit.Model) error {
		one := &godwit.Capture{Layers: []int{-1}, Prompt: true, Hidden: true}
		var tokens []godwit.Token
		for t, err := range m.Generate(ctx, godwit.Request{Prompt: w.Sentence, Logprobs: 1, Capture: one}) {
			if err != nil {
				return err
			}
			tokens = append(tokens, t)
		}
		result := tokens[len(tokens)-1].Result
		hidden := result.Attention.EncoderHidden
		w.Vector = meanOf(hidden[len(hidden)-1])
		for _, x := range w.Vector {
			w.Norm += float64(x) * float64(x)
		}
		w.Norm = math.Sqrt(w.Norm)
		w.Rewritten = result.Text
		w.Words = writtenWords(tokens)
		return nil
	})
}

func meanOf(rows [][]float32) []float32 {
	mean := make([]float32, len(rows[0]))
	for _, row := range rows {
		for i, x := range row {
			mean[i] += x / float32(len(rows))
		}
	}
	return mean
}

// writtenWords joins the steps of an answer to words: the cross-attention of the
// mean head, pieces summed to words, and the product of probabilities.
func writtenWords(tokens []godwit.Token) []writtenWord {
	all := &godwit.AttentionMap{Layers: []int{0}, Heads: []int{0}}
	var probs []float64
	at := 0
	for _, t := range tokens {
		if t.Text == "" {
			continue // the end
		}
		cross := t.Attention.Cross.Mean()
		all.Keys = cross.Keys
		all.Queries = append(all.Queries, godwit.Piece{ID: t.ID, Text: t.Text, Start: at, End: at + len(t.Text)})
		all.Weights = append(all.Weights, cross.Weights...)
		probs = append(probs, math.Exp(t.Logprob))
		at += len(t.Text)
	}
	if len(all.Queries) == 0 {
		return nil
	}
	joined := all.Words()
	words := make([]writtenWord, len(joined.Queries))
	piece := 0
	for i, q := range joined.Queries {
		words[i] = writtenWord{Word: q.Text, Prob: 1}
		for piece < len(probs) && all.Queries[piece].End <= q.End {
			words[i].Prob *= probs[piece]
			piece++
		}
		for k, weight := range joined.Row(0, 0, i) {
			words[i].Attention = append(words[i].Attention, lookedAt{joined.Keys[k].Text, float64(weight)})
		}
	}
	return words
}

// continueStep lets the language model go on from the first two words.
func continueStep(ctx context.Context, w *walk) error {
	words := strings.Fields(w.Sentence)
	w.Prompt = strings.Join(words[:min(2, len(words))], " ")
	return w.with(ctx, "lm", func(m *godwit.Model) error {
		for t, err := range m.Generate(ctx, godwit.Request{Prompt: w.Prompt, Logprobs: 1, MaxTokens: 24}) {
			if err != nil {
				return err
			}
			if t.Finish != godwit.FinishStop || t.Text != "" {
				w.Continuation = append(w.Continuation, writtenToken{t.Text, math.Exp(t.Logprob)})
			}
		}
		return nil
	})
}

// fillStep masks the first changed word of the rewritten sentence, or its last.
func fillStep(ctx context.Context, w *walk) error {
	w.Masked = maskChanged(w.Sentence, w.Rewritten)
	return w.with(ctx, "masked", func(m *godwit.Model) error {
		r, err := m.FillMask(ctx, godwit.FillMaskRequest{Text: w.Masked, Top: 5})
		if err != nil {
			return err
		}
		w.Fills = r.Masks[0]
		return nil
	})
}

// maskChanged writes [MASK] for the first word of after that before has not in
// its place; punctuation at its end stays.
func maskChanged(before, after string) string {
	old, words := strings.Fields(before), strings.Fields(after)
	if len(words) == 0 {
		return "[MASK]"
	}
	at := len(words) - 1
	for i, word := range words {
		if i >= len(old) || bare(old[i]) != bare(word) {
			at = i
			break
		}
	}
	words[at] = "[MASK]" + words[at][len(strings.TrimRight(words[at], punctuation)):]
	return strings.Join(words, " ")
}

const punctuation = ".,;:!?"

func bare(word string) string { return strings.TrimRight(word, punctuation) }

func heading(out *results, st style, n int, text string) {
	line := fmt.Sprintf("%d  %s", n, text)
	for i, part := range wrap(line, st.columns) {
		if i > 0 {
			part = "   " + part
		}
		fmt.Fprintln(out, part)
	}
}

// wrap breaks a text at spaces to lines of at most n columns.
func wrap(text string, n int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case width(line)+1+width(word) > n-3:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// bar is a weight as a bar of at most n columns, in eighths.
func bar(x float64, n int) string {
	eighths := int(math.Round(min(max(x, 0), 1) * float64(n) * 8))
	full := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		full += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return full
}

func printRewrite(out *results, w *walk, st style) {
	heading(out, st, 1, fmt.Sprintf("An encoder reads %q and makes a vector of %d numbers: the mean of what it thinks at each token.", w.Sentence, len(w.Vector)))
	line := "  "
	for _, x := range w.Vector {
		next := fmt.Sprintf(" %+.3f", x)
		if width(line+next)+2 > st.columns {
			break
		}
		line += next
	}
	fmt.Fprintf(out, "%s …\n   its length is %.3f\n\n", line, w.Norm)
	heading(out, st, 2, "A decoder writes the sentence anew about the broader field. At every word it asks the encoder where to look:")
	label := 0
	for _, word := range w.Words {
		for _, k := range word.Attention {
			label = max(label, width(printable(k.Word)))
		}
	}
	label = min(label, st.columns/3)
	room := max(st.columns-label-16, 4)
	for _, word := range w.Words {
		fmt.Fprintf(out, "   %s  probability %.3f\n", cut(printable(word.Word), st.columns-24), word.Prob)
		for _, k := range word.Attention {
			line := fmt.Sprintf("      %s %.3f %s", pad(printable(k.Word), label), k.Weight, bar(k.Weight, min(room, 40)))
			fmt.Fprintln(out, strings.TrimRight(line, " "))
		}
	}
	fmt.Fprintln(out)
	for _, line := range wrap(fmt.Sprintf("%q has become %q", w.Sentence, w.Rewritten), st.columns) {
		fmt.Fprintln(out, "  ", line)
	}
	fmt.Fprintln(out)
}

func printContinuation(out *results, w *walk, st style) {
	heading(out, st, 3, fmt.Sprintf("A language model goes on from %q. Each token is fed back to choose the next:", w.Prompt))
	text := w.Prompt
	for _, t := range w.Continuation {
		text += t.Text
		shown := text
		if over := width(shown) - (st.columns - 12); over > 0 {
			r := []rune(shown)
			shown = "…" + string(r[min(over+1, len(r)):])
		}
		fmt.Fprintf(out, "   %.3f  %s\n", t.Prob, printable(shown))
	}
	fmt.Fprintln(out)
}

func printFills(out *results, w *walk, st style) {
	heading(out, st, 4, fmt.Sprintf("A masked model fills in a word of it: %q", w.Masked))
	label := 0
	for _, f := range w.Fills {
		label = max(label, width(printable(f.Name)))
	}
	label = min(label, st.columns/2)
	for _, f := range w.Fills {
		line := fmt.Sprintf("   %s %.3f %s", pad(printable(f.Name), label), f.Score, bar(f.Score, min(max(st.columns-label-12, 4), 40)))
		fmt.Fprintln(out, strings.TrimRight(line, " "))
	}
	fmt.Fprintln(out)
}

func printNext(out *results, st style) {
	for _, line := range wrap("These three are tiny and know a small world. Real ones are used the same way:", st.columns) {
		fmt.Fprintln(out, line)
	}
	const repo = "bartowski/SmolLM2-135M-Instruct-GGUF"
	for _, line := range []string{
		`godwit attend "I love NLP." --html look.html`,
		"hf download " + repo,
		"godwit chat -m " + repo + ":Q4_K_M",
	} {
		fmt.Fprintln(out, "  ", line)
	}
}

// demoModels are the models of commands that got no -m.
var demoModels = map[string]string{
	"generate": "lm", "chat": "lm", "tokenize": "lm", "score": "lm", "bench": "lm", "quality": "lm",
	"fill-mask": "masked", "embed": "masked", "attend": "rewrite",
}
