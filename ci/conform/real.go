package main

// The two real models: sentence vectors of MiniLM, everything of SmolLM2.

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"

	"github.com/godwit-ml/godwit"
	"github.com/godwit-ml/godwit/ci/golden"
	"github.com/godwit-ml/godwit/tokenizer"
	"github.com/godwit-ml/godwit/weights"
)

func (s *session) needReal() error {
	if s.real == "" {
		return errors.New("it needs a real model: give -real, a folder that ci/real-models.sh has filled")
	}
	return nil
}

// publicConfig is the session as the public API takes it.
func (s *session) publicConfig() godwit.Config {
	c := godwit.Config{Device: s.device.name}
	if s.dtype != "fast" { // which is what a user gets who asks for nothing
		c.DType = s.dtype
	}
	return c
}

// runMiniLM embeds texts through the public API.
func runMiniLM(s *session, name string) (err error) {
	if err := s.needReal(); err != nil {
		return err
	}
	var want struct {
		Rows []struct {
			Text string `json:"text"`
		} `json:"rows"`
		MaxLength int `json:"max_length"`
	}
	if err := golden.ReadJSON(s.path("real", "minilm.json"), &want); err != nil {
		return err
	}
	dir := filepath.Join(s.real, "minilm")
	m, err := godwit.Open(s.ctx, dir, s.publicConfig())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	tok, err := golden.Tokenizer(dir)
	if err != nil {
		return err
	}
	// The reference reads "[MASK]" in a text as the token; the API takes texts
	// as plain, so it gets ids.
	var req godwit.EmbedRequest
	for _, row := range want.Rows {
		e, err := tok.Encode(row.Text, tokenizer.Options{Special: true, Parse: true, Truncate: want.MaxLength})
		if err != nil {
			return err
		}
		req.Tokens = append(req.Tokens, e.IDs)
	}
	res, err := m.Embed(s.ctx, req)
	if err != nil {
		return err
	}
	for i, v := range res.Vectors {
		if err := s.out.add(entry{"kind": "minilm", "row": i, "embedding": v}); err != nil {
			return err
		}
	}
	return nil
}

const smolFile = "SmolLM2-135M-Instruct.Q4_1.gguf"

// smol is what is read of smollm2.json.
type smol struct {
	Logits []struct {
		IDs []int32 `json:"input_ids"`
	} `json:"logits"`
	Generate []golden.Generation `json:"generate"`
	Chats    []struct {
		Messages []godwit.Message `json:"messages"`
	} `json:"chats"`
	Perplexity struct {
		IDs []int32 `json:"input_ids"`
	} `json:"perplexity"`
}

func runSmolLM2(s *session, name string) error {
	if err := s.needReal(); err != nil {
		return err
	}
	var want smol
	if err := golden.ReadJSON(s.path("real", "smollm2.json"), &want); err != nil {
		return err
	}
	if err := s.chats(&want, name); err != nil {
		return err
	}
	m, err := s.load(filepath.Join(s.real, smolFile), "")
	if err != nil {
		return err
	}
	defer s.unload(m)
	for i, l := range want.Logits {
		x, err := m.LastLogits(l.IDs)
		if err != nil {
			return err
		}
		n := fmt.Sprintf("last_logits.%d", i)
		if err := s.out.tensor(path.Join(name, n), x, entry{"kind": "smollm2", "name": n}); err != nil {
			return err
		}
	}
	for i := range want.Generate {
		gen := &want.Generate[i]
		a, err := m.Answer(s.ctx, gen.IDs, gen)
		if err != nil {
			return err
		}
		if err := s.out.add(entry{"kind": "smollm2", "generate": gen.Name, "output_ids": a.IDs}); err != nil {
			return err
		}
	}
	nll, err := m.MeanNLL(want.Perplexity.IDs)
	if err != nil {
		return err
	}
	return s.out.add(entry{"kind": "smollm2", "mean_nll": nll})
}

// chats renders conversations through the public API.
func (s *session) chats(want *smol, name string) (err error) {
	m, err := godwit.Open(s.ctx, filepath.Join(s.real, smolFile), s.publicConfig())
	if err != nil {
		s.leftOut(name+" chats", err)
		return nil
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	for i, c := range want.Chats {
		with, _, err := m.Render(godwit.Request{Messages: c.Messages})
		var without string
		if err == nil {
			without, _, err = m.Render(godwit.Request{Messages: c.Messages, Template: map[string]any{"add_generation_prompt": false}})
		}
		if err != nil {
			s.leftOut(fmt.Sprintf("%s chat %d", name, i), err)
			continue
		}
		if err := s.out.add(entry{"kind": "chat", "case": i, "rendered": with, "rendered_no_gen": without}); err != nil {
			return err
		}
	}
	return nil
}

// smolTokenizer is the tokenizer of SmolLM2, of its GGUF metadata.
func (s *session) smolTokenizer() (*tokenizer.Tokenizer, error) {
	if err := s.needReal(); err != nil {
		return nil, err
	}
	ck, err := weights.Open(filepath.Join(s.real, smolFile))
	if err != nil {
		return nil, err
	}
	defer ck.Close() //nolint:errcheck // only read
	return tokenizer.FromGGUF(ck.Metadata())
}
