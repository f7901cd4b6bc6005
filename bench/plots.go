package main

// Plots of a run, as SVG.

import (
	"cmp"
	"errors"
	"fmt"
	"image/color"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
)

var errNothingToDraw = errors.New("nothing to draw")

// plotFile is a plot that was drawn.
type plotFile struct{ name, title string }

// The colours of the plots, which differ in lightness too.
var (
	oursColor    = color.NRGBA{0x1b, 0x6c, 0xa8, 0xff}
	peerColor    = color.NRGBA{0xe0, 0x8e, 0x45, 0xff}
	ceilingColor = color.NRGBA{0x55, 0x55, 0x55, 0xff}
	opColors     = map[string]color.Color{"MatMul": oursColor, "Attention": color.NRGBA{0xb0, 0x30, 0x60, 0xff}}
)

const plotWidth, plotHeight = 9 * vg.Inch, 4.5 * vg.Inch

// drawPlots draws what a run has figures for.
func drawPlots(r *report, folder string) ([]plotFile, error) {
	var drawn []plotFile
	for _, p := range []struct {
		plotFile
		draw func(p *plot.Plot, r *report) error
	}{
		{plotFile{"smollm2.svg", "SmolLM2-135M, tokens a second, ours and llama.cpp's best setting"}, drawRows("tok/s", "SmolLM2")},
		{plotFile{"minilm.svg", "MiniLM from text, sentences a second, ours and the peer's best setting"}, drawRows("seq/s", "MiniLM")},
		{plotFile{"sgemm.svg", "Products in f32, GFLOP/s, medians over sizes, ours and torch's"}, drawRows("GFLOP/s", "product")},
		{plotFile{"context.svg", "SmolLM2-135M Q4_0: tokens a second against the tokens before"}, drawCurves("context", "tokens in the context")},
		{plotFile{"batch.svg", "SmolLM2-135M Q4_0: tokens a second of all sequences against their number"}, drawCurves("batch", "sequences")},
		{plotFile{"roofline.svg", "Operations beside the ceilings of this machine"}, drawRoofline},
	} {
		canvas := plot.New()
		canvas.Title.Text, canvas.Title.Padding = p.title, 8
		canvas.Legend.Padding, canvas.Legend.XOffs = 2, -4
		err := p.draw(canvas, r)
		if errors.Is(err, errNothingToDraw) {
			continue
		}
		if err == nil {
			err = canvas.Save(plotWidth, plotHeight, filepath.Join(folder, p.name))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		drawn = append(drawn, p.plotFile)
	}
	return drawn, nil
}

// drawRows draws both sides of the rows of a unit, side by side.
func drawRows(unit, work string) func(*plot.Plot, *report) error {
	return func(p *plot.Plot, r *report) error {
		var ours, theirs plotter.Values
		var names []string
		for i := range r.Rows {
			row := &r.Rows[i]
			if row.Unit != unit || !strings.HasPrefix(row.Work, work) || len(row.Cases) == 0 {
				continue
			}
			mine, _, _ := row.side(ourSide)
			peer, _, _ := row.side(peerSide)
			ours, theirs = append(ours, mine), append(theirs, peer)
			name := row.Name
			if i := strings.LastIndex(name, " "); i > 0 {
				name = name[:i] + "\n" + name[i+1:]
			}
			names = append(names, name)
		}
		if len(names) == 0 {
			return errNothingToDraw
		}
		width := 0.35 * (plotWidth - vg.Inch) / vg.Length(len(names))
		for _, side := range []struct {
			values plotter.Values
			color  color.Color
			offset vg.Length
			name   string
		}{{ours, oursColor, -width / 2, "godwit"}, {theirs, peerColor, width / 2, "peer"}} {
			bars, err := plotter.NewBarChart(side.values, width)
			if err != nil {
				return err
			}
			bars.Color, bars.Offset, bars.LineStyle.Width = side.color, side.offset, 0
			p.Add(bars)
			p.Legend.Add(side.name, bars)
		}
		p.Legend.Top = true
		p.NominalX(names...)
		p.X.Tick.Label.Font.Size = 8
		p.X.Min, p.X.Max = -0.5, float64(len(names))-0.5
		p.Y.Label.Text = unit
		p.Y.Min = 0
		return nil
	}
}

// drawCurves draws all curves of a name.
func drawCurves(name, x string) func(*plot.Plot, *report) error {
	return func(p *plot.Plot, r *report) error {
		most := 0.0
		var ticks plot.ConstantTicks
		for _, c := range r.Curves {
			if c.Name != name || len(c.Points) == 0 {
				continue
			}
			var at plotter.XYs
			for _, v := range c.Points {
				at = append(at, plotter.XY{X: v.X, Y: v.Value})
				most = max(most, v.Value)
				ticks = append(ticks, plot.Tick{Value: v.X, Label: number0(v.X)})
			}
			line, dots, err := plotter.NewLinePoints(at)
			if err != nil {
				return err
			}
			line.Color, dots.Color = peerColor, peerColor
			if c.Who == us {
				line.Color, dots.Color = oursColor, oursColor
			}
			p.Add(line, dots)
			p.Legend.Add(c.Who, line, dots)
		}
		if most == 0 {
			return errNothingToDraw
		}
		p.Add(plotter.NewGrid())
		p.Legend.Top = true
		p.X.Label.Text, p.Y.Label.Text = x, "tok/s"
		p.X.Tick.Marker = uniqueTicks(ticks)
		p.Y.Min, p.Y.Max = 0, 1.2*most
		return nil
	}
}

// number0 is a whole number.
func number0(v float64) string { return strconv.Itoa(int(v)) }

// uniqueTicks leaves out what is drawn already, or too near to it.
func uniqueTicks(all plot.ConstantTicks) plot.ConstantTicks {
	slices.SortFunc(all, func(a, b plot.Tick) int { return cmp.Compare(a.Value, b.Value) })
	var ticks plot.ConstantTicks
	for _, t := range all {
		if n := len(ticks); n > 0 && t.Value == ticks[n-1].Value {
			continue
		}
		if n := len(ticks); n > 0 && t.Value-ticks[n-1].Value < all[len(all)-1].Value/25 {
			t.Label = ""
		}
		ticks = append(ticks, t)
	}
	return ticks
}

// drawRoofline draws operations by how much they compute for a byte, under the
// ceilings.
func drawRoofline(p *plot.Plot, r *report) error {
	points := map[string]plotter.XYs{}
	least, most := math.Inf(1), math.Inf(-1)
	lowest := math.Inf(1)
	for _, o := range r.Ops {
		if o.Bytes == 0 || o.FLOPs == 0 {
			continue
		}
		group := o.Op
		if opColors[group] == nil {
			group = "others"
		}
		x := float64(o.FLOPs) / float64(o.Bytes)
		points[group] = append(points[group], plotter.XY{X: x, Y: o.GFLOPs})
		least, most, lowest = min(least, x), max(most, x), min(lowest, o.GFLOPs)
	}
	if len(points) == 0 {
		return errNothingToDraw
	}
	least, most = least/2, most*2
	var memory float64
	var size int64
	for _, c := range r.Ceilings.Read {
		if c.Threads == r.Threads && c.Bytes > 64<<20 && (size == 0 || c.Bytes < size) {
			memory, size = c.Best, c.Bytes
		}
	}
	top := 0.0
	for _, kind := range r.Ceilings.kinds() {
		v := r.Ceilings.Compute[kind][r.Threads].Best
		if kind == "exp" || v == 0 || memory == 0 {
			continue
		}
		ridge := max(v/memory, least)
		line, err := plotter.NewLine(plotter.XYs{{X: least, Y: min(memory*least, v)}, {X: ridge, Y: v}, {X: max(most, ridge), Y: v}})
		if err != nil {
			return err
		}
		line.Color = ceilingColor
		p.Add(line)
		labels, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{{X: max(most, ridge), Y: v * 1.06}}, Labels: []string{fmt.Sprintf("%s, %s G/s", kind, number(v))}})
		if err != nil {
			return err
		}
		labels.TextStyle[0].XAlign = text.XRight
		p.Add(labels)
		top = max(top, v)
	}
	for _, group := range []string{"MatMul", "Attention", "others"} {
		if len(points[group]) == 0 {
			continue
		}
		dots, err := plotter.NewScatter(points[group])
		if err != nil {
			return err
		}
		dots.Color, dots.Radius = color.Color(color.NRGBA{0x50, 0x80, 0x50, 0xff}), 3
		if c := opColors[group]; c != nil {
			dots.Color = c
		}
		p.Add(dots)
		p.Legend.Add(group, dots)
	}
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.LogTicks{Prec: -1}, plot.LogTicks{Prec: -1}
	p.X.Label.Text, p.Y.Label.Text = fmt.Sprintf("operations a byte; the slope is reading %s MB", number(float64(size)/1e6)), "G operations a second"
	p.Legend.Left, p.Legend.Top, p.Legend.XOffs = true, true, 4
	p.X.Min, p.Y.Min, p.Y.Max = least, max(lowest/2, 1e-3), 2*max(top, 1)
	return nil
}
