package main

// Heat maps as pictures and pages.

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"github.com/godwit-ml/godwit"
)

// picture has the measures of a heat map, in pixels.
type picture struct {
	cell        int // side of a cell
	left, top   int // where the cells begin
	columns     int
	rows        int
	right, foot int // room beside and below
}

// maxPixels bounds a side of a picture.
const maxPixels = 16384

// layout measures the labels.
func layout(m *godwit.AttentionMap, face font.Face) (picture, error) {
	p := picture{cell: 36, columns: len(m.Keys), rows: len(m.Queries), right: 90, foot: 20}
	for max(p.columns, p.rows)*p.cell > maxPixels/2 && p.cell > 4 {
		p.cell--
	}
	longest := func(pieces []godwit.Piece) int {
		n := 0
		for _, k := range pieces {
			n = max(n, font.MeasureString(face, cut(drawn(k), 24)).Ceil())
		}
		return n
	}
	p.left = longest(m.Queries) + 24
	p.top = longest(m.Keys) + 64
	if w, h := p.size(); w > maxPixels || h > maxPixels {
		return p, fmt.Errorf("a picture of %d by %d tokens is too large: shorten the text", p.rows, p.columns)
	}
	return p, nil
}

// drawn is the text of a piece for an axis, in letters that the face has.
func drawn(p godwit.Piece) string { return strings.ReplaceAll(visible(p), "␣", "_") }

func (p picture) size() (w, h int) {
	return p.left + p.columns*p.cell + p.right, p.top + p.rows*p.cell + p.foot
}

// centre is the middle of a cell.
func (p picture) centre(q, k int) image.Point {
	return image.Pt(p.left+k*p.cell+p.cell/2, p.top+q*p.cell+p.cell/2)
}

// labelFace is the letters of labels.
func labelFace() (font.Face, error) {
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, err
	}
	return opentype.NewFace(parsed, &opentype.FaceOptions{Size: 16, DPI: 72, Hinting: font.HintingFull})
}

// heatPNG draws one map. The colour at the middle of a cell is heat of its weight.
func heatPNG(m *godwit.AttentionMap, title string) ([]byte, error) {
	face, err := labelFace()
	if err != nil {
		return nil, err
	}
	p, err := layout(m, face)
	if err != nil {
		return nil, err
	}
	w, h := p.size()
	w = max(w, font.MeasureString(face, title).Ceil()+32)
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(img, img.Bounds(), image.White, image.Point{}, draw.Src)
	ink := color.RGBA{34, 34, 34, 255}
	write(img, face, title, 16, 28, ink)
	for q := range m.Queries {
		label := cut(drawn(m.Queries[q]), 24)
		x := p.left - 10 - font.MeasureString(face, label).Ceil()
		write(img, face, label, x, p.centre(q, 0).Y+5, ink)
		for k, x := range m.Row(0, 0, q) {
			c := p.centre(q, k)
			box := image.Rect(c.X-p.cell/2, c.Y-p.cell/2, c.X-p.cell/2+p.cell-1, c.Y-p.cell/2+p.cell-1)
			draw.Draw(img, box, image.NewUniform(heat(float64(x))), image.Point{}, draw.Src)
		}
	}
	for k := range m.Keys {
		writeUp(img, face, cut(drawn(m.Keys[k]), 24), p.centre(0, k).X+6, p.top-10, ink)
	}
	p.frame(img)
	p.scale(img, face, ink)
	var out bytes.Buffer
	err = png.Encode(&out, img)
	return out.Bytes(), err
}

// frame draws thin lines around the cells, so that white ones are seen.
func (p picture) frame(img *image.RGBA) {
	line := image.NewUniform(color.RGBA{210, 210, 210, 255})
	for q := range p.rows + 1 {
		y := p.top + q*p.cell - 1
		draw.Draw(img, image.Rect(p.left-1, y, p.left+p.columns*p.cell, y+1), line, image.Point{}, draw.Src)
	}
	for k := range p.columns + 1 {
		x := p.left + k*p.cell - 1
		draw.Draw(img, image.Rect(x, p.top-1, x+1, p.top+p.rows*p.cell), line, image.Point{}, draw.Src)
	}
}

// scale draws the colours from 0 to 1 at the right.
func (p picture) scale(img *image.RGBA, face font.Face, ink color.Color) {
	x, h := p.left+p.columns*p.cell+24, max(min(p.rows*p.cell, 220), 60)
	for y := range h {
		c := heat(1 - float64(y)/float64(h-1))
		draw.Draw(img, image.Rect(x, p.top+y, x+18, p.top+y+1), image.NewUniform(c), image.Point{}, draw.Src)
	}
	write(img, face, "1", x+24, p.top+12, ink)
	write(img, face, "0", x+24, p.top+h, ink)
}

// write draws a text with its baseline at y.
func write(img draw.Image, face font.Face, text string, x, y int, ink color.Color) {
	d := font.Drawer{Dst: img, Src: image.NewUniform(ink), Face: face, Dot: fixed.P(x, y)}
	d.DrawString(text)
}

// writeUp draws a text that reads upwards from (x, y).
func writeUp(img *image.RGBA, face font.Face, text string, x, y int, ink color.Color) {
	w, h := font.MeasureString(face, text).Ceil()+2, 24
	flat := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(flat, flat.Bounds(), image.White, image.Point{}, draw.Src)
	write(flat, face, text, 0, 17, ink)
	for i := range w {
		for j := range h {
			if c := flat.RGBAAt(i, j); c.R < 255 {
				img.SetRGBA(x-17+j, y-i, c)
			}
		}
	}
}

//go:embed attend.html
var pageSource string

// pageTemplate escapes what goes into the page by where it stands.
var pageTemplate = template.Must(template.New("attend").Parse(pageSource))

// pageMap is a map as the page's script reads it.
type pageMap struct {
	Name    string    `json:"name"`
	Layers  []int     `json:"layers"`
	Heads   []int     `json:"heads"`
	Queries []string  `json:"queries"`
	Keys    []string  `json:"keys"`
	Flat    []float64 `json:"weights"` // [layer][head][query][key], three digits
}

// attentionPage is a page that needs nothing else.
func attentionPage(model, text string, maps []namedMap) ([]byte, error) {
	var data []pageMap
	for _, m := range maps {
		p := pageMap{Name: m.Name, Layers: m.Map.Layers, Heads: m.Map.Heads}
		for _, q := range m.Map.Queries {
			p.Queries = append(p.Queries, visible(q))
		}
		for _, k := range m.Map.Keys {
			p.Keys = append(p.Keys, visible(k))
		}
		for _, x := range m.Map.Weights {
			p.Flat = append(p.Flat, math.Round(float64(x)*1e4)/1e4)
		}
		data = append(data, p)
	}
	stops, err := json.Marshal(anchors)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = pageTemplate.Execute(&out, map[string]any{"Model": model, "Text": text, "Maps": data, "Colours": template.JS(stops)}) //nolint:gosec // numbers of our own
	return out.Bytes(), err
}
