package main

// chat: a conversation at the terminal.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/godwit-ml/godwit"
)

type chatCmd struct {
	modelFlag
	System  *string `group:"input" aliases:"system-prompt" placeholder:"TEXT" help:"Instructions before the first turn."`
	KVDType string  `group:"model" name:"kv-dtype" placeholder:"TYPE" help:"Type of the KV cache: f32, f16, bf16 or q8_0; unset: as wide as the arithmetic."`
	computeFlags
	MaxTokens int `group:"sampling" short:"n" aliases:"predict,n-predict" placeholder:"N" help:"Most tokens of an answer; unset: what the checkpoint says, else the rest of the context."`
	samplingFlags
	jsonFlag
	noteFlags
}

// Help is what chat --help says besides its flags.
func (c *chatCmd) Help() string {
	return "A line is a turn. " + chatHelp + " Ctrl-C stops an answer, and the chat goes on; Ctrl-D ends it."
}

const chatHelp = "/help says this, /save FILE writes the conversation as JSON, /clear forgets it, /exit ends the chat."

// conversation is a chat under way.
type conversation struct {
	cmd        *chatCmd
	s          *streams
	model      *godwit.Model
	messages   []godwit.Message
	interrupts <-chan struct{}
	lines      <-chan string
	failed     <-chan error
}

// Run converses until the input ends.
func (c *chatCmd) Run(ctx context.Context, s *streams) (err error) {
	if err := c.given("chat"); err != nil {
		return err
	}
	cfg := c.config()
	cfg.KVDType = c.KVDType
	model, err := open(ctx, s, &c.modelFlag, &c.noteFlags, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, finish(s, model, &c.noteFlags)) }()
	if _, _, err := model.Render(godwit.Request{Messages: []godwit.Message{{Role: "user", Content: "?"}}}); errors.Is(err, godwit.ErrUnsupported) {
		return err
	}
	v := &conversation{cmd: c, s: s, model: model}
	v.clear()
	var release func()
	v.interrupts, release = interruptsOf(ctx).take()
	defer release()
	stop := make(chan struct{})
	defer close(stop)
	v.lines, v.failed = split(s.stdin, false, stop)
	if s.interactive() && !c.Quiet {
		fmt.Fprintf(s.notes, "%s. %s\n", model.Info().Name, chatHelp)
	}
	return v.run(ctx)
}

// interactive reports whether somebody sits at both ends.
func (s *streams) interactive() bool { return isTerminal(s.stdin) && s.watched }

func (v *conversation) clear() {
	v.messages = nil
	if v.cmd.System != nil {
		v.messages = []godwit.Message{{Role: "system", Content: *v.cmd.System}}
	}
}

func (v *conversation) run(ctx context.Context) error {
	for {
		if v.s.interactive() {
			fmt.Fprint(v.s.notes, "> ")
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-v.interrupts:
			fmt.Fprintln(v.s.notes, "\n/exit or Ctrl-D ends the chat")
		case line, ok := <-v.lines:
			if !ok {
				if v.s.interactive() {
					fmt.Fprintln(v.s.notes)
				}
				select {
				case err := <-v.failed:
					return err
				default:
					return nil
				}
			}
			done, err := v.turn(ctx, strings.TrimSpace(line))
			if done || err != nil {
				return err
			}
		}
	}
}

// turn is one line of the user's. Only an error that would come again ends the chat.
func (v *conversation) turn(ctx context.Context, line string) (done bool, err error) {
	word, rest, _ := strings.Cut(line, " ")
	switch {
	case line == "":
		return false, nil
	case word == "/exit" || word == "/quit" || word == "/bye":
		return true, nil
	case word == "/help":
		fmt.Fprintln(v.s.notes, chatHelp)
		return false, nil
	case word == "/clear":
		v.clear()
		return false, nil
	case word == "/save":
		if err := v.save(strings.TrimSpace(rest)); err != nil {
			fmt.Fprintf(v.s.notes, "godwit: %v\n", err)
		}
		return false, nil
	case strings.HasPrefix(word, "/") && !strings.Contains(word[1:], "/"):
		fmt.Fprintf(v.s.notes, "%s is no command: %s\n", word, chatHelp)
		return false, nil
	}
	return false, v.answer(ctx, line)
}

// answer asks the model and prints what it says, until an interrupt.
func (v *conversation) answer(ctx context.Context, text string) error {
	v.messages = append(v.messages, godwit.Message{Role: "user", Content: text})
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-v.interrupts:
			cancel(errInterrupted)
		case <-over:
		}
	}()
	var said strings.Builder
	var result *godwit.Result
	request := godwit.Request{Messages: v.messages, MaxTokens: v.cmd.MaxTokens, Sampling: v.cmd.sampling()}
	for token, err := range v.model.Generate(ctx, request) {
		if err != nil {
			return v.broken(ctx, err, said.String())
		}
		result = token.Result
		if token.Choice > 0 { // of beams that the checkpoint asks for, the best answer
			continue
		}
		said.WriteString(token.Text)
		if v.cmd.JSON {
			continue
		}
		fmt.Fprint(v.s.out, token.Text)
		if err := v.s.out.flush(); err != nil {
			return err
		}
	}
	v.messages = append(v.messages, godwit.Message{Role: "assistant", Content: said.String()})
	if v.cmd.JSON {
		if err := v.s.out.object(result); err != nil {
			return err
		}
		return v.s.out.flush()
	}
	if !strings.HasSuffix(said.String(), "\n") {
		fmt.Fprintln(v.s.out)
	}
	if v.cmd.Verbose {
		fmt.Fprintln(v.s.notes, speed(result))
	}
	return v.s.out.flush()
}

// broken ends an answer that did not end by itself. What was said stays said;
// a turn that could not begin is forgotten.
func (v *conversation) broken(ctx context.Context, err error, said string) error {
	if said != "" {
		v.messages = append(v.messages, godwit.Message{Role: "assistant", Content: said})
		fmt.Fprintln(v.s.out)
	} else {
		v.messages = v.messages[:len(v.messages)-1]
	}
	if flushed := v.s.out.flush(); flushed != nil {
		return flushed
	}
	var tooLong *godwit.TooLongError
	switch {
	case errors.Is(context.Cause(ctx), errInterrupted):
		return nil
	case errors.As(err, &tooLong):
		fmt.Fprintf(v.s.notes, "the conversation has %d tokens, the limit is %d: /clear begins a new one\n", tooLong.Tokens, tooLong.Limit)
		return nil
	}
	return err
}

// save writes the conversation.
func (v *conversation) save(file string) error {
	if file == "" {
		return &usageError{"/save wants the name of a file"}
	}
	data, err := json.MarshalIndent(v.messages, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, append(data, '\n'), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(v.s.notes, "%s in %s\n", plural(len(v.messages), "message"), file)
	return nil
}
