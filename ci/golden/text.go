package golden

// Texts through tokenizer, model and back.

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/godwit-ml/godwit/engine"
	"github.com/godwit-ml/godwit/tokenizer"
)

// Tokenizer reads tokenizer.json of a folder, with tokenizer_config.json if there
// is one.
func Tokenizer(dir string) (*tokenizer.Tokenizer, error) {
	data, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
	if err != nil {
		return nil, err
	}
	config, err := os.ReadFile(filepath.Join(dir, "tokenizer_config.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return tokenizer.FromJSON(data, config)
}

// Text runs a row of e2e.json: its ids, and for decoders the answer and its
// text, which the row must have.
func (m *Model) Text(ctx context.Context, tok *tokenizer.Tokenizer, row *E2ERow) (*E2ERow, error) {
	e, err := tok.Encode(row.Text, tokenizer.Options{Special: true, Parse: true})
	if err != nil {
		return nil, err
	}
	got := &E2ERow{Text: row.Text, IDs: e.IDs}
	if row.OutputIDs == nil {
		return got, nil
	}
	eng, err := m.engine([][]int32{e.IDs}, row.MaxNewTokens, 1)
	if err != nil {
		return nil, err
	}
	defer eng.Close()
	run, err := eng.Submit(ctx, engine.Request{Prompts: [][]int32{e.IDs}, MaxTokens: row.MaxNewTokens,
		Sampling: engine.Greedy(), Logprobs: -1, Tokenizer: tok})
	if err != nil {
		return nil, err
	}
	tokens, err := run.Wait(ctx)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	for _, t := range tokens {
		got.OutputIDs = append(got.OutputIDs, t.ID)
		text.WriteString(t.Text)
	}
	answer := text.String()
	got.OutputText = &answer
	return got, nil
}
