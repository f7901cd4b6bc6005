package godwit

// Between text and token ids: what a request reads as, and what tokens say.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/tokenizer"
	"github.com/godwit-ml/godwit/tokenizer/template"
)

// Render is what a request becomes: the text the model reads, and its ids.
func (m *Model) Render(req Request) (prompt string, ids []int32, err error) {
	return m.render(context.Background(), &req)
}

func (m *Model) render(ctx context.Context, req *Request) (string, []int32, error) {
	set := 0
	for _, is := range []bool{req.Prompt != "", req.Tokens != nil, req.Messages != nil} {
		if is {
			set++
		}
	}
	if set > 1 {
		return "", nil, &ParamError{"Prompt", "with Tokens or Messages", "exactly one of the three is set"}
	}
	task := TaskGenerate
	if req.Messages != nil {
		task = TaskChat
	}
	if err := m.can(task); err != nil {
		return "", nil, err
	}
	if req.Template != nil && req.Messages == nil {
		return "", nil, &ParamError{"Template", len(req.Template), "has variables of the chat template, which needs Messages"}
	}
	var text string
	var ids []int32
	var err error
	prefix := req.Prefix
	if m.in.Kind == model.Seq2Seq {
		prefix = "" // the decoder's
	}
	switch {
	case req.Suffix != "":
		text, ids, err = m.renderMiddle(req, prefix)
	case req.Tokens != nil && prefix != "":
		return "", nil, &ParamError{"Prefix", fmt.Sprintf("%q", shorten(prefix, 40)), "with Tokens: append its ids to them"}
	case req.Tokens != nil:
		ids = slices.Clone(req.Tokens)
		for i, id := range ids {
			if id < 0 || int(id) >= m.info.Vocab {
				return "", nil, &ParamError{fmt.Sprintf("Tokens[%d]", i), id, fmt.Sprintf("is not in [0, %d)", m.info.Vocab)}
			}
		}
		if m.cp.tok != nil {
			text = m.cp.tok.Decode(ids, false)
		}
	case req.Messages != nil:
		text, ids, err = m.renderChat(ctx, req, prefix)
	default:
		if err := m.needTokenizer(); err != nil {
			return "", nil, err
		}
		text = req.Prompt + prefix
		ids, err = m.cp.tok.AppendIDs(nil, text, tokenizer.Options{Special: true})
	}
	if err != nil {
		return "", nil, m.textError("Prompt", err)
	}
	if len(ids) == 0 {
		return "", nil, &ParamError{"Prompt", `""`, "is empty, and the model has no token to begin with: give it at least one"}
	}
	return text, ids, nil
}

// textError is an error of the tokenizer or the template, as this package's.
func (m *Model) textError(field string, err error) error {
	var raised *template.RaisedError
	var limit *template.LimitError
	var render *template.RenderError
	var p *ParamError
	var u *UnsupportedError
	switch {
	case errors.As(err, &p), errors.As(err, &u), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &raised):
		return &ParamError{"Messages", len(raised.Message), "the chat template refuses them: " + raised.Message}
	case errors.As(err, &limit), errors.As(err, &render):
		return &ModelError{File: m.cp.path, Field: "chat_template", Reason: err.Error(), Err: err}
	}
	return &ParamError{field, "text", err.Error()}
}

// role is a role for a template. The usual ones are not the user's text: some
// templates build control tokens of them.
func role(name string) any {
	switch name {
	case "system", "user", "assistant", "tool", "developer":
		return name
	}
	return template.User(name)
}

// renderChat runs the chat template and tokenizes what it makes. Control tokens
// count in the template's own text only.
func (m *Model) renderChat(ctx context.Context, req *Request, prefix string) (string, []int32, error) {
	messages := make([]any, len(req.Messages))
	for i, msg := range req.Messages {
		if msg.Role == "" {
			return "", nil, &ParamError{fmt.Sprintf("Messages[%d].Role", i), `""`, `is empty: want "system", "user" or "assistant"`}
		}
		messages[i] = template.NewMap(
			template.Pair{Key: "role", Value: role(msg.Role)},
			template.Pair{Key: "content", Value: template.User(msg.Content)})
	}
	if len(messages) == 0 {
		return "", nil, &ParamError{"Messages", "[]", "is empty"}
	}
	roles := m.cp.tok.Roles()
	vars := template.NewMap(
		template.Pair{Key: "messages", Value: messages},
		template.Pair{Key: "tools"}, template.Pair{Key: "documents"},
		template.Pair{Key: "add_generation_prompt", Value: true})
	for _, t := range []struct {
		name string
		id   int32
	}{{"bos_token", roles.BOS}, {"eos_token", roles.EOS}, {"pad_token", roles.Pad}, {"unk_token", roles.Unk}} {
		if s, ok := m.cp.tok.Token(t.id); ok && t.id >= 0 {
			vars.Set(t.name, s)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(req.Template)) {
		vars.Set(name, template.MarkUser(req.Template[name]))
	}
	segments, err := m.cp.chat.Render(ctx, vars, template.Config{})
	if err != nil {
		return "", nil, err
	}
	var text strings.Builder
	var plain [][2]int
	for _, s := range segments {
		if s.User {
			plain = append(plain, [2]int{text.Len(), text.Len() + len(s.Text)})
		}
		text.WriteString(s.Text)
	}
	if prefix != "" {
		plain = append(plain, [2]int{text.Len(), text.Len() + len(prefix)})
		text.WriteString(prefix)
	}
	ids, err := m.cp.tok.AppendIDs(nil, text.String(), tokenizer.Options{Parse: true, Plain: plain})
	return text.String(), ids, err
}

// Tokenize returns the tokens of a text, with the special tokens around it if
// special is set. Special tokens inside the text are plain text.
func (m *Model) Tokenize(text string, special bool) ([]Piece, error) {
	if err := m.needTokenizer(); err != nil {
		return nil, err
	}
	e, err := m.cp.tok.Encode(text, tokenizer.Options{Special: special})
	if err != nil {
		return nil, m.textError("text", err)
	}
	return encodedPieces(e, text, ""), nil
}

// encodedPieces are the tokens of an encoded text, or pair of texts.
func encodedPieces(e *tokenizer.Encoding, text, pair string) []Piece {
	out := make([]Piece, len(e.IDs))
	for i, id := range e.IDs {
		p := Piece{ID: id, Text: e.Tokens[i], Start: e.Offsets[i][0], End: e.Offsets[i][1], Special: e.Special[i]}
		switch {
		case p.Special:
		case e.Segment[i] == 1:
			p.Text = pair[p.Start:p.End]
		default:
			p.Text = text[p.Start:p.End]
		}
		out[i] = p
	}
	return out
}

// pieces are the tokens of ids that text was made of or became. If the text gives
// the same ids again they are its parts; otherwise, as of ids that somebody
// chose, each is what decoding makes of it.
func (m *Model) pieces(text string, ids []int32) []Piece {
	out := make([]Piece, len(ids))
	for i, id := range ids {
		out[i].ID = id
	}
	if m.cp.tok == nil {
		return out
	}
	for _, special := range []bool{true, false} {
		e, err := m.cp.tok.Encode(text, tokenizer.Options{Special: special, Parse: !special})
		if err == nil && slices.Equal(e.IDs, ids) {
			return encodedPieces(e, text, "")
		}
	}
	dec := m.cp.tok.NewDecoder(false)
	at := 0
	for i, id := range ids {
		part := dec.Push(id)
		out[i] = Piece{ID: id, Text: part, Start: at, End: at + len(part), Special: m.cp.tok.IsSpecial(id)}
		at += len(part)
	}
	return out
}

// Detokenize returns the text of ids; special keeps special tokens.
func (m *Model) Detokenize(ids []int32, special bool) (string, error) {
	if err := m.needTokenizer(); err != nil {
		return "", err
	}
	for i, id := range ids {
		if _, ok := m.cp.tok.Token(id); !ok {
			return "", &ParamError{fmt.Sprintf("ids[%d]", i), id, "is no token"}
		}
	}
	return m.cp.tok.Decode(ids, !special), nil
}
