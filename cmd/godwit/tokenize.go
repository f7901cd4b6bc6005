package main

// tokenize: the tokens of an input, without opening the model.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/godwit-ml/godwit"
	"github.com/godwit-ml/godwit/demo"
	"github.com/godwit-ml/godwit/tokenizer"
)

type tokenizeCmd struct {
	linesFlags
	modelFlag
	Special bool `group:"input" help:"Put the special tokens around each text that the model expects."`
	Parse   bool `group:"input" help:"Read special tokens in the text as such; without it they are plain text."`
	jsonFlag
	quietFlag
}

// Run tokenizes batch by batch.
func (c *tokenizeCmd) Run(ctx context.Context, s *streams) error {
	if err := c.given("tokenize"); err != nil {
		return err
	}
	t, err := c.tokenizer(ctx)
	if err != nil {
		return err
	}
	inputs, tokens := 0, 0
	for b, err := range c.batches(ctx, s, c.Quiet) {
		if err != nil {
			return err
		}
		for i, text := range b.texts {
			encoding, err := t.Encode(text, tokenizer.Options{Special: c.Special, Parse: c.Parse})
			if err != nil {
				return fmt.Errorf("input %d: %w", b.first+i, err)
			}
			if err := c.print(s, t, b.first+i, text, encoding); err != nil {
				return err
			}
			inputs, tokens = inputs+1, tokens+len(encoding.IDs)
		}
		if err := s.out.flush(); err != nil {
			return err
		}
	}
	if !c.Quiet && !c.JSON {
		fmt.Fprintf(s.notes, "%s, %s\n", plural(inputs, "input"), plural(tokens, "token"))
	}
	return nil
}

func (c *tokenizeCmd) print(s *streams, t *tokenizer.Tokenizer, index int, text string, e *tokenizer.Encoding) error {
	pieces := make([]godwit.Piece, len(e.IDs))
	for i, id := range e.IDs {
		pieces[i] = godwit.Piece{ID: id, Text: e.Tokens[i], Start: e.Offsets[i][0], End: e.Offsets[i][1], Special: e.Special[i]}
		if !e.Special[i] { // as Model.Tokenize has it
			pieces[i].Text = text[pieces[i].Start:pieces[i].End]
		}
	}
	if c.JSON {
		return s.out.object(struct {
			Index  int            `json:"index"`
			Tokens []godwit.Piece `json:"tokens"`
		}{index, pieces})
	}
	if index > 0 {
		fmt.Fprintln(s.out)
	}
	for i, p := range pieces {
		line := fmt.Sprintf("%8d  %s", p.ID, e.Tokens[i])
		if p.Start < p.End { // special tokens around the text stand for none of it
			line = fmt.Sprintf("%-34s %d:%d %q", line, p.Start, p.End, text[p.Start:p.End])
		}
		fmt.Fprintln(s.out, line)
	}
	return nil
}

// sentencePiece are the names that SentencePiece models have in checkpoints.
var sentencePiece = []string{"tokenizer.model", "spiece.model", "sentencepiece.bpe.model"}

// largestTokenizer bounds what is read into memory; real ones stay below 40 MB.
const largestTokenizer = 256 << 20

// tokenizer is the one of the model that is named, or of the demo's.
func (c *tokenizeCmd) tokenizer(ctx context.Context) (*tokenizer.Tokenizer, error) {
	if c.demo != "" {
		data, err := fs.ReadFile(demo.FS, c.demo+"/tokenizer.json")
		if err != nil {
			return nil, err
		}
		config, err := fs.ReadFile(demo.FS, c.demo+"/tokenizer_config.json")
		if err != nil {
			return nil, err
		}
		return tokenizer.FromJSON(data, config)
	}
	path, err := godwit.Find(c.Model)
	if err != nil {
		return nil, err
	}
	return openTokenizer(ctx, path)
}

// openTokenizer reads the tokenizer of a model: of a directory tokenizer.json,
// which is right where it differs from a SentencePiece model beside it; of a
// GGUF file its metadata.
func openTokenizer(ctx context.Context, path string) (*tokenizer.Tokenizer, error) {
	stat, err := os.Stat(path)
	if err != nil {
		return nil, &godwit.ModelError{File: path, Reason: "cannot be read", Err: err}
	}
	if !stat.IsDir() {
		info, err := godwit.Inspect(ctx, path, godwit.Config{})
		if err != nil {
			return nil, err
		}
		return made(path)(tokenizer.FromGGUF(info.Metadata))
	}
	file := filepath.Join(path, "tokenizer.json")
	data, err := readFile(file)
	switch {
	case err == nil:
		config, err := readFile(filepath.Join(path, "tokenizer_config.json"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return made(file)(tokenizer.FromJSON(data, config))
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	for _, name := range sentencePiece {
		file := filepath.Join(path, name)
		data, err := readFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return made(file)(tokenizer.FromSentencePiece(data))
	}
	return nil, &godwit.ModelError{File: path, Reason: "has no tokenizer: no tokenizer.json, and none of " + strings.Join(sentencePiece, ", "), Err: fs.ErrNotExist}
}

// made names the file in what a reader of package tokenizer gives.
func made(file string) func(*tokenizer.Tokenizer, error) (*tokenizer.Tokenizer, error) {
	return func(t *tokenizer.Tokenizer, err error) (*tokenizer.Tokenizer, error) {
		if err != nil {
			return nil, &godwit.ModelError{File: file, Reason: strings.TrimPrefix(err.Error(), "tokenizer: "), Err: err}
		}
		return t, nil
	}
}

// readFile reads a file of a checkpoint, which may be a stranger's.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, &godwit.ModelError{File: name, Reason: "cannot be read", Err: err}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, largestTokenizer+1))
	if err != nil {
		return nil, &godwit.ModelError{File: name, Reason: "cannot be read", Err: err}
	}
	if len(data) > largestTokenizer {
		return nil, &godwit.ModelError{File: name, Reason: "is larger than " + size(largestTokenizer)}
	}
	return data, nil
}
