package main

// Checkpoints with PyTorch's outputs, variants of their files, and files that
// have to be refused.

import (
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/godwit-ml/godwit/ci/golden"
)

// runModel runs a model folder or a variant.
func runModel(s *session, name string) error {
	v, err := readVariant(s.path(name))
	if err != nil {
		return err
	}
	config := s.config
	if !exists(s.root, name, config) {
		config = "config.json"
	}
	m, err := s.load(s.path(name), config)
	switch {
	case v.MustName != nil && err == nil:
		s.unload(m)
		return fmt.Errorf("it has to be refused, and was loaded")
	case v.MustName != nil:
		return s.out.add(entry{"kind": "refused", "model": name, "error": err.Error()})
	case err != nil:
		return err
	}
	defer s.unload(m)
	where := name
	if v.Golden != "" {
		where = path.Dir(path.Join(name, v.Golden))
	}
	g, err := golden.Read(s.path(where))
	if err != nil {
		return err
	}
	defer g.Close() //nolint:errcheck // only read
	if err := s.cases(m, g, name); err != nil {
		return err
	}
	if err := s.generations(m, g, name); err != nil {
		return err
	}
	if g.FillMask != nil {
		if err := s.fillMask(m, g, name); err != nil {
			return err
		}
	}
	return s.texts(m, name)
}

// cases runs every case; one that fails is left out, the others go on.
func (s *session) cases(m *golden.Model, g *golden.Golden, name string) error {
	for i := range g.Cases {
		c := &g.Cases[i]
		out, err := m.Case(g.Kind, c)
		if err != nil {
			s.leftOut(name+" "+c.Name, err)
			continue
		}
		for _, o := range slices.Sorted(maps.Keys(c.Outputs)) {
			if out[o] == nil {
				s.leftOut(name+" "+c.Name, fmt.Errorf("nothing gives %s", o))
				continue
			}
			e := entry{"kind": "tensor", "model": name, "case": c.Name, "name": o}
			if err := s.out.tensor(path.Join(name, c.Name+"."+o), out[o], e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) generations(m *golden.Model, g *golden.Golden, name string) error {
	for i := range g.Generate {
		gen := &g.Generate[i]
		a, err := m.Generate(s.ctx, g, gen)
		if err != nil {
			s.leftOut(name+" "+gen.Name, err)
			continue
		}
		e := entry{"kind": "generate", "model": name, "name": gen.Name, "output_ids": a.IDs}
		if gen.Scores != nil {
			e["sequences_scores"] = a.Scores
		}
		if err := s.out.add(e); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) fillMask(m *golden.Model, g *golden.Golden, name string) error {
	results, err := m.FillMask(g.FillMask)
	if err != nil {
		s.leftOut(name+" fill_mask", err)
		return nil
	}
	return s.out.add(entry{"kind": "fill_mask", "model": name, "results": results})
}

// texts runs the texts of e2e.json, where there is one.
func (s *session) texts(m *golden.Model, name string) error {
	e2e, err := golden.ReadE2E(s.path(name))
	if err != nil || e2e == nil {
		return err
	}
	tok, err := golden.Tokenizer(s.path(name))
	if err != nil {
		s.leftOut(name+" e2e", err)
		return nil
	}
	for i := range e2e.Rows {
		got, err := m.Text(s.ctx, tok, &e2e.Rows[i])
		if err != nil {
			s.leftOut(fmt.Sprintf("%s e2e %d", name, i), err)
			continue
		}
		e := entry{"kind": "e2e", "model": name, "row": i, "input_ids": got.IDs}
		if got.OutputIDs != nil {
			e["output_ids"], e["output_text"] = got.OutputIDs, *got.OutputText
		}
		if err := s.out.add(e); err != nil {
			return err
		}
	}
	return nil
}
