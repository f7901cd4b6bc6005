package main

// generate: a prompt becomes text, as it comes or as JSON.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-ml/godwit"
)

type generateCmd struct {
	modelFlag
	Text    []string `arg:"" optional:"" help:"The prompt, words joined by spaces; else -p, -f or standard input."`
	Prompt  *string  `group:"input" short:"p" placeholder:"TEXT" help:"The prompt."`
	File    string   `group:"input" short:"f" placeholder:"FILE" help:"The prompt from a file; - is standard input. One line end at its end is left out."`
	Suffix  string   `group:"input" placeholder:"TEXT" help:"What stands after the answer: fill-in-the-middle, by models of code that know it."`
	System  *string  `group:"input" aliases:"system-prompt" placeholder:"TEXT" help:"Instructions before the prompt, which becomes a turn of a chat."`
	Chat    bool     `group:"input" help:"The prompt is a turn of a chat, put through the chat template."`
	KVDType string   `group:"model" name:"kv-dtype" placeholder:"TYPE" help:"Type of the KV cache: f32, f16, bf16 or q8_0; unset: as wide as the arithmetic."`
	computeFlags

	MaxTokens int      `group:"sampling" short:"n" aliases:"predict,n-predict" placeholder:"N" help:"Most tokens of the answer; unset: what the checkpoint says, else the rest of the context."`
	Stop      []string `group:"sampling" sep:"none" placeholder:"TEXT" help:"A text that ends the answer and is no part of it; may be repeated."`
	samplingFlags
	Beams int `group:"sampling" placeholder:"N" help:"Beam search of this width, which does not sample; 1: none; unset: what the checkpoint asks for."`

	Logprobs int  `group:"output" placeholder:"K" help:"Log-probabilities of each token and of the K best."`
	Tokens   bool `group:"output" help:"One line of JSON a token, as it comes."`
	jsonFlag
	noteFlags
}

// samplingFlags have llama.cpp's names; those of Hugging Face are aliases.
type samplingFlags struct {
	Temp             *float64 `group:"sampling" aliases:"temperature" placeholder:"X" help:"Temperature; 0 is greedy."`
	TopK             *int     `group:"sampling" placeholder:"N" help:"Only the N best tokens; 0: all."`
	TopP             *float64 `group:"sampling" placeholder:"P" help:"Only the best tokens that together have probability P."`
	MinP             *float64 `group:"sampling" placeholder:"P" help:"Only tokens with P times the best one's probability."`
	Typical          *float64 `group:"sampling" aliases:"typical-p" placeholder:"P" help:"Only the most typical tokens that together have probability P."`
	RepeatPenalty    *float64 `group:"sampling" aliases:"repetition-penalty" placeholder:"X" help:"Divides the scores of tokens that came before; 1: none."`
	PresencePenalty  *float64 `group:"sampling" placeholder:"X" help:"Taken from the scores of tokens that came before."`
	FrequencyPenalty *float64 `group:"sampling" placeholder:"X" help:"Taken from them once for each time."`
	Seed             uint64   `group:"sampling" short:"s" placeholder:"N" help:"The same seed gives the same answer; 0: a new one."`
}

func (f *samplingFlags) sampling() godwit.Sampling {
	return godwit.Sampling{
		Temperature: f.Temp, TopK: f.TopK, TopP: f.TopP, MinP: f.MinP, TypicalP: f.Typical,
		RepetitionPenalty: f.RepeatPenalty, PresencePenalty: f.PresencePenalty, FrequencyPenalty: f.FrequencyPenalty,
		Seed: f.Seed,
	}
}

// Help is what generate --help says besides its flags.
func (c *generateCmd) Help() string {
	return "Aliases: --predict and --n-predict for -n, --temperature, --typical-p, --repetition-penalty, --system-prompt. Without --chat or --system the model continues the prompt as it is."
}

// Run reads the prompt before the model, so that a mistake costs no loading.
func (c *generateCmd) Run(ctx context.Context, s *streams) (err error) {
	if err := c.given("generate"); err != nil {
		return err
	}
	request, err := c.request(ctx, s)
	if err != nil {
		return err
	}
	model, err := open(ctx, s, &c.modelFlag, &c.noteFlags, c.openConfig())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, finish(s, model, &c.noteFlags)) }()

	var result *godwit.Result
	switch {
	case c.Tokens:
		result, err = c.stream(ctx, s, model, request, func(t godwit.Token) error { return s.out.object(t) })
	case c.JSON:
		result, err = c.complete(ctx, s, model, request)
		if err == nil {
			err = s.out.object(result)
		}
	case c.Beams > 0: // the best answer is known at the end
		result, err = c.complete(ctx, s, model, request)
		if err == nil {
			fmt.Fprintln(s.out, strings.TrimSuffix(result.Text, "\n"))
		}
	case c.Logprobs > 0:
		result, err = c.stream(ctx, s, model, request, func(t godwit.Token) error { printLogprobs(s.out, t); return nil })
	default:
		result, err = c.streamText(ctx, s, model, request)
	}
	if err == nil {
		err = s.out.flush()
	}
	if err == nil && (!c.JSON && !c.Tokens && !c.Quiet || c.Verbose) {
		fmt.Fprintln(s.notes, speed(result))
	}
	return err
}

func (c *generateCmd) openConfig() godwit.Config {
	cfg := c.config()
	cfg.KVDType = c.KVDType
	return cfg
}

// request is what the flags and the input ask for.
func (c *generateCmd) request(ctx context.Context, s *streams) (godwit.Request, error) {
	text, err := c.prompt(ctx, s)
	if err != nil {
		return godwit.Request{}, err
	}
	request := godwit.Request{
		MaxTokens: c.MaxTokens,
		Stop:      c.Stop,
		Sampling:  c.sampling(),
		Beam:      godwit.Beam{Width: c.Beams},
		Suffix:    c.Suffix,
		Logprobs:  c.Logprobs,
	}
	switch {
	case c.System != nil:
		request.Messages = []godwit.Message{{Role: "system", Content: *c.System}, {Role: "user", Content: text}}
	case c.Chat:
		request.Messages = []godwit.Message{{Role: "user", Content: text}}
	default:
		request.Prompt = text
	}
	return request, nil
}

func (c *generateCmd) prompt(ctx context.Context, s *streams) (string, error) {
	given := 0
	for _, is := range []bool{len(c.Text) > 0, c.Prompt != nil, c.File != ""} {
		if is {
			given++
		}
	}
	switch {
	case given > 1:
		return "", &usageError{"the prompt is an argument, or comes with -p or -f: not several of them"}
	case c.Prompt != nil:
		return *c.Prompt, nil
	case len(c.Text) > 0:
		return strings.Join(c.Text, " "), nil
	}
	r, err := source(s, c.File)
	if err != nil {
		return "", err
	}
	defer r.Close()
	s.hint(c.File, "the prompt", c.Quiet)
	return readPrompt(ctx, r)
}

// complete waits for the whole answer.
func (c *generateCmd) complete(ctx context.Context, s *streams, model *godwit.Model, request godwit.Request) (*godwit.Result, error) {
	wait := s.begin("generating", time.Now(), c.Quiet, false)
	defer wait.end()
	return model.Complete(ctx, request)
}

// stream hands each token to show as it comes, and gives the whole answer.
func (c *generateCmd) stream(ctx context.Context, s *streams, model *godwit.Model, request godwit.Request, show func(godwit.Token) error) (*godwit.Result, error) {
	wait := s.begin("reading the prompt", time.Now(), c.Quiet, false)
	defer wait.end()
	var result *godwit.Result
	for token, err := range model.Generate(ctx, request) {
		wait.end()
		if err != nil {
			return nil, err
		}
		if token.Result != nil {
			result = token.Result
		}
		if err := show(token); err != nil {
			return nil, err
		}
		if err := s.out.flush(); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// streamText prints the answer as it grows, with a line end at its end even if it is cut short.
func (c *generateCmd) streamText(ctx context.Context, s *streams, model *godwit.Model, request godwit.Request) (*godwit.Result, error) {
	text, ended := false, true
	result, err := c.stream(ctx, s, model, request, func(t godwit.Token) error {
		if t.Choice > 0 { // of beams that the checkpoint asks for, the best answer
			return nil
		}
		if t.Text != "" {
			text, ended = true, strings.HasSuffix(t.Text, "\n")
		}
		fmt.Fprint(s.out, t.Text)
		return nil
	})
	if text && !ended || err == nil && !text {
		fmt.Fprintln(s.out)
	}
	return result, err
}

// printLogprobs prints a token as a line: its piece, its log-probability, the best.
func printLogprobs(w io.Writer, t godwit.Token) {
	const width = 79
	line := fmt.Sprintf("%-20s %9.4f ", strconv.Quote(t.Piece), t.Logprob)
	for _, top := range t.Top {
		next := fmt.Sprintf("  %s %.4f", strconv.Quote(top.Piece), top.Logprob)
		if len(line)+len(next) > width {
			break
		}
		line += next
	}
	fmt.Fprintln(w, line)
}

// speed is the line at the end: tokens and time of prompt and answer.
func speed(result *godwit.Result) string {
	u := result.Usage
	if n := len(result.Choices); n > 1 { // beams come all at once
		took := u.Total - u.Queued
		return fmt.Sprintf("prompt: %s; %d answers: %s in %s, %s", plural(u.PromptTokens, "token"), n, plural(u.OutputTokens, "token"), seconds(took), rate(u.OutputTokens, took))
	}
	prompt, answer := u.FirstToken-u.Queued, u.Total-u.FirstToken
	line := fmt.Sprintf("prompt: %s in %s, %s", plural(u.PromptTokens, "token"), seconds(prompt), rate(u.PromptTokens, prompt))
	line += fmt.Sprintf("; answer: %s in %s", plural(u.OutputTokens, "token"), seconds(answer))
	if u.OutputTokens > 1 { // the first one came with the prompt
		line += ", " + rate(u.OutputTokens-1, answer)
	}
	if result.Seed != 0 { // chance had a part in it
		line += fmt.Sprintf("; seed %d", result.Seed)
	}
	return line
}
