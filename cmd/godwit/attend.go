package main

// attend: what each head looked at, as a heat map, a picture or a page.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/godwit-ml/godwit"
)

type attendCmd struct {
	modelFlag
	Text   []string `arg:"" optional:"" help:"The text, words joined by spaces; else standard input."`
	Pair   string   `group:"input" placeholder:"TEXT" help:"A second text beside the first: encoders."`
	Target string   `group:"input" placeholder:"TEXT" help:"What the decoder reads: encoder-decoders; unset: what it writes."`
	computeFlags

	Map    string `group:"output" enum:",encoder,decoder,cross" default:"" placeholder:"WHICH" help:"encoder, decoder or cross; unset: cross where there is one."`
	Layer  *int   `group:"output" placeholder:"N" help:"Only this layer, from 0; -1 is the last. Unset: the last in the terminal and the PNG, all in the page and in JSON."`
	Head   *int   `group:"output" placeholder:"N" help:"Only this head, from 0. Unset: the mean of all in the terminal and the PNG, all in the page and in JSON."`
	Pieces bool   `group:"output" help:"Tokens on the axes, not words."`
	PNG    string `group:"output" name:"png" placeholder:"FILE" help:"Draw the heat map to a picture instead."`
	HTML   string `group:"output" name:"html" placeholder:"FILE" help:"Write a page to look around in, which needs nothing else, instead."`
	jsonFlag
	noteFlags
}

// Run draws once everything is known.
func (c *attendCmd) Run(ctx context.Context, s *streams) (err error) {
	if c.JSON && (c.PNG != "" || c.HTML != "") {
		return &usageError{"--json prints what --png and --html draw: not both"}
	}
	if err := c.given("attend"); err != nil {
		return err
	}
	text, err := oneText(ctx, s, c.Text, c.Quiet)
	if err != nil {
		return err
	}
	model, err := open(ctx, s, &c.modelFlag, &c.noteFlags, c.config())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, finish(s, model, &c.noteFlags)) }()
	a, err := model.Attend(ctx, c.request(text))
	if err != nil {
		return err
	}
	if c.JSON {
		return s.out.object(a)
	}
	maps := attentionMaps(a, !c.Pieces)
	if c.HTML != "" {
		if err := writePicture(c.HTML, func() ([]byte, error) { return attentionPage(model.Info().Name, text, maps) }); err != nil {
			return err
		}
	}
	if c.PNG == "" && c.HTML != "" {
		return nil
	}
	m, kind, title, err := c.choose(maps)
	if err != nil {
		return err
	}
	title = model.Info().Name + ": " + title
	if c.PNG != "" {
		return writePicture(c.PNG, func() ([]byte, error) { return heatPNG(m, title) })
	}
	st := s.out.style()
	printHeat(s.out, m, title, st)
	if a.Cross != nil && kind != "encoder" {
		for _, line := range wrap("A row is the word the decoder has just read; with it, it chooses the next.", st.columns) {
			fmt.Fprintln(s.out, line)
		}
	}
	if a.Text != "" && c.Target == "" {
		fmt.Fprintf(s.out, "\nwritten: %s\n", a.Text)
	}
	return nil
}

// request asks for what will be shown, and no more.
func (c *attendCmd) request(text string) godwit.AttendRequest {
	r := godwit.AttendRequest{Text: text, Pair: c.Pair, Target: c.Target}
	if c.Head != nil {
		r.Capture.Heads = []int{*c.Head}
	}
	switch {
	case c.Layer != nil:
		r.Capture.Layers = []int{*c.Layer}
	case c.HTML == "" && !c.JSON:
		r.Capture.Layers = []int{-1}
	}
	return r
}

// namedMap is one kind of attention of a model.
type namedMap struct {
	Name string               `json:"name"` // "encoder", "decoder", "cross"
	Map  *godwit.AttentionMap `json:"map"`
}

// attentionMaps are the maps there are, those that say most first.
func attentionMaps(a *godwit.Attention, words bool) []namedMap {
	var maps []namedMap
	for _, m := range []namedMap{{"cross", a.Cross}, {"decoder", a.Decoder}, {"encoder", a.Encoder}} {
		if m.Map == nil {
			continue
		}
		if words {
			m.Map = m.Map.Words()
		}
		maps = append(maps, m)
	}
	return maps
}

// choose is the one heat map that a terminal or a picture shows.
func (c *attendCmd) choose(maps []namedMap) (m *godwit.AttentionMap, kind, title string, err error) {
	var names []string
	for _, m := range maps {
		names = append(names, m.Name)
		if c.Map != "" && c.Map != m.Name {
			continue
		}
		title := fmt.Sprintf("%s attention, layer %d", m.Name, m.Map.Layers[len(m.Map.Layers)-1])
		if c.Head != nil {
			return oneMap(m.Map, len(m.Map.Layers)-1), m.Name, fmt.Sprintf("%s, head %d", title, m.Map.Heads[0]), nil
		}
		return oneMap(m.Map, len(m.Map.Layers)-1), m.Name, fmt.Sprintf("%s, mean of %s", title, plural(len(m.Map.Heads), "head")), nil
	}
	return nil, "", "", &usageError{fmt.Sprintf("the model has no %s attention; there is: %s", c.Map, strings.Join(names, ", "))}
}

// oneMap is the mean over the heads of a layer.
func oneMap(m *godwit.AttentionMap, layer int) *godwit.AttentionMap {
	n := len(m.Heads) * len(m.Queries) * len(m.Keys)
	one := *m
	one.Layers, one.Weights = m.Layers[layer:layer+1], m.Weights[layer*n:(layer+1)*n]
	return one.Mean()
}

// writePicture writes a file whole or not at all.
func writePicture(path string, draw func() ([]byte, error)) error {
	data, err := draw()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		_ = os.Remove(path)
		return &outputError{err}
	}
	return nil
}
