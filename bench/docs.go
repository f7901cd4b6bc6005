package main

// docs: the page about performance, from the files of up to three runs. The same
// files give the same page.

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const runsKept = 3

func docs(args []string, out, notes io.Writer) error {
	f := flag.NewFlagSet("bench docs", flag.ContinueOnError)
	f.SetOutput(notes)
	f.Usage = func() {
		fmt.Fprintln(notes, "usage: bench docs [-out docs/performance.md] RUN.json …\n\nThe runs are files of bench compare -json; the newest is shown, the two before it beside it.")
		f.PrintDefaults()
	}
	page := f.String("out", filepath.Join(sourceFolder(), "..", "docs", "performance.md"), "the page; its plots go to img/performance beside it")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() == 0 {
		f.Usage()
		return flag.ErrHelp
	}
	var runs []*report
	for _, path := range f.Args() {
		r, err := readReport(path)
		if err != nil {
			return err
		}
		runs = append(runs, r)
	}
	slices.SortStableFunc(runs, func(a, b *report) int { return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(b.Command, a.Command)) })
	runs = runs[:min(len(runs), runsKept)]
	folder := filepath.Join(filepath.Dir(*page), "img", "performance")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	drawn, err := drawPlots(runs[0], folder)
	if err != nil {
		return err
	}
	if err := os.WriteFile(*page, []byte(performancePage(runs, drawn)), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s, with %d plots in %s\n", *page, len(drawn), folder)
	return nil
}

// pageWriter writes Markdown.
type pageWriter struct{ strings.Builder }

func (w *pageWriter) line(format string, args ...any) {
	fmt.Fprintf(w, format+"\n", args...)
}

// table writes a table; the first row is its head, and columns after the first few
// that hold text are to the right.
func (w *pageWriter) table(text int, rows [][]string) {
	for i, r := range rows {
		cells := make([]string, len(r))
		for j, c := range r {
			cells[j] = strings.ReplaceAll(c, "|", "\\|")
		}
		w.line("| %s |", strings.Join(cells, " | "))
		if i == 0 {
			for j := range r {
				if j < text {
					w.WriteString("|---")
				} else {
					w.WriteString("|--:")
				}
			}
			w.line("|")
		}
	}
	w.line("")
}

// performancePage is the page of runs, the newest first.
func performancePage(runs []*report, drawn []plotFile) string {
	r, w := runs[0], &pageWriter{}
	w.line("# Performance on the CPU")
	w.line("")
	w.line("Made by `go -C bench run . docs` from what `go -C bench run . %s` measured; nothing here is written by hand.", strings.TrimPrefix(r.Command, "bench "))
	if r.Quick {
		w.line("")
		w.line("**This run was a quick one, with one repeat of everything: its figures say that the comparison runs, and nothing else.**")
	}
	w.line("")
	writeShortfalls(w, r)
	writeGoals(w, r)
	for _, p := range drawn {
		w.line("![%s](img/performance/%s)", p.title, p.name)
		w.line("")
	}
	writeMachine(w, r)
	writeHistory(w, runs)
	writeTried(w, r)
	writeOps(w, r)
	return w.String()
}

// writeShortfalls says first what is slower than a peer, and what misses its goal.
func writeShortfalls(w *pageWriter, r *report) {
	w.line("## What is slower than a peer")
	w.line("")
	n := 0
	for i := range r.Rows {
		if row := &r.Rows[i]; row.behind() {
			ours, _, _ := row.side(ourSide)
			theirs, _, who := row.side(peerSide)
			w.line("- **%s**: %s against %s %s of %s (%s).", row.Work, number(ours), number(theirs), row.Unit, who, row.ratioText(row.Ratio))
			n++
		}
	}
	if n == 0 {
		w.line("Nothing that was measured in this run.")
	}
	w.line("")
	var missed, doubtful []string
	for i := range r.Rows {
		row := &r.Rows[i]
		switch row.Verdict {
		case notMet:
			text := fmt.Sprintf("- %s: %s, wanted %s.", row.Name, row.ratioText(row.Ratio), strings.Split(row.goalText(), " / ")[0])
			for _, c := range row.Cases {
				if c.Missing != "" {
					text += " " + strings.ToUpper(c.Missing[:1]) + c.Missing[1:] + "."
				}
			}
			missed = append(missed, text)
		case void, failed:
			doubtful = append(doubtful, fmt.Sprintf("- %s: %s.", row.Name, strings.Join(row.remarks(), "; ")))
		}
	}
	section := func(title string, lines []string) {
		if len(lines) > 0 {
			w.line("%s\n\n%s\n", title, strings.Join(lines, "\n"))
		}
	}
	section("Goals that are missed:", missed)
	section("Rows that say nothing, because a peer did not run as it can or something failed:", doubtful)
}

func writeGoals(w *pageWriter, r *report) {
	w.line("## The goals")
	w.line("")
	w.line("%d threads each. Every setting of a peer is tried once and the best are measured in %d turns with ours (three where they take long); figures are medians, ± is the distance of the quartiles, "+
		"the ratio is that of the medians, and the range behind it holds the middle half of the ratios turn by turn. Ratios of times are ours by the peer's: less is better. "+
		"A row is void when its peer reaches less than 0.8 of what it is known to reach, scaled by this machine's ceilings.", r.Threads, r.Repeats)
	w.line("")
	rows := [][]string{{"work", "peer, its best setting", "ours", "peer", "ratio", "goal / aim", ""}}
	for i := range r.Rows {
		row := &r.Rows[i]
		ours, ourSpread, _ := row.side(ourSide)
		theirs, theirSpread, who := row.side(peerSide)
		figure := func(v, spread float64) string {
			if v == 0 {
				return "-"
			}
			return fmt.Sprintf("%s ± %.0f %%", number(v), 100*spread)
		}
		text := row.ratioText(row.Ratio)
		if row.Low > 0 && text != "-" {
			text += fmt.Sprintf(" (%s to %s)", row.ratioText(row.Low), row.ratioText(row.High))
		}
		if len(row.Cases) > 1 {
			who = strings.Fields(who + " -")[0] + ", each size its best"
		}
		rows = append(rows, []string{row.Work + ", " + row.Unit, cmp.Or(who, "-"), figure(ours, ourSpread), figure(theirs, theirSpread), text, row.goalText(), string(row.Verdict)})
	}
	w.table(2, rows)
	var remarks []string
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Verdict == void || row.Verdict == failed {
			continue // said above
		}
		for _, text := range row.remarks() {
			remarks = append(remarks, "- "+row.Name+": "+text+".")
		}
	}
	if len(remarks) > 0 {
		w.line("%s\n", strings.Join(remarks, "\n"))
	}
}

func writeMachine(w *pageWriter, r *report) {
	m := r.Machine
	w.line("## Machine, versions, commands")
	w.line("")
	w.line("%s (%s), %d logical cores, %s, %.0f GB of memory; %s; %s; godwit %s on `%s`. %s, %.0f minutes.",
		cmp.Or(m.Processor, "a processor that is not named"), m.Model, m.Cores, strings.Join(m.Caches, ", "), float64(m.Memory)/1e9, m.System, m.Go, cmp.Or(m.Commit, "of an unknown commit"), r.Device, r.Time.Format("2 January 2006 15:04 UTC"), r.Seconds/60)
	w.line("")
	w.line("Instruction sets of the processor: %s.", strings.Join(m.Sets, ", "))
	w.line("")
	rows := [][]string{{"peer", "version", "instruction sets it can use here"}}
	for _, p := range r.Peers {
		rows = append(rows, []string{p.Name, p.Version, p.Sets})
	}
	w.table(3, rows)
	rows = [][]string{{"model", "file", "SHA-256", "bytes"}}
	for _, f := range r.Files {
		rows = append(rows, []string{f.Name, f.File, "`" + f.SHA256[:min(16, len(f.SHA256))] + "…`", fmt.Sprint(f.Bytes)})
	}
	w.table(3, rows)
	w.line("```\nbench/peers/run.sh --install all\ngo -C bench run . %s\ngo -C bench run . docs RUN.json\n```", strings.TrimPrefix(r.Command, "bench "))
	w.line("")
	w.line("What the machine can do at most, the fastest of several tries:")
	w.line("")
	rows = [][]string{{"ceiling", "1 thread", fmt.Sprintf("%d threads", r.Threads)}}
	for _, kind := range r.Ceilings.kinds() {
		unit := "GFLOP/s"
		if strings.Contains(kind, "int8") {
			unit = "GOP/s"
		} else if kind == "exp" {
			unit = "G/s"
		}
		c := r.Ceilings.Compute[kind]
		rows = append(rows, []string{kind + ", " + unit, number(c[1].Best), number(c[r.Threads].Best)})
	}
	for _, c := range r.Ceilings.Read {
		if c.Threads != r.Threads {
			continue
		}
		one := "-"
		for _, o := range r.Ceilings.Read {
			if o.Bytes == c.Bytes && o.Threads == 1 {
				one = number(o.Best)
			}
		}
		rows = append(rows, []string{fmt.Sprintf("reading %s MB, GB/s", number(float64(c.Bytes)/1e6)), one, number(c.Best)})
	}
	w.table(1, rows)
}

func writeHistory(w *pageWriter, runs []*report) {
	w.line("## The last runs")
	w.line("")
	head := []string{"ratio"}
	for _, r := range runs {
		head = append(head, r.Time.Format("2006-01-02 15:04"))
	}
	rows := [][]string{head}
	for _, row := range runs[0].Rows {
		line := []string{row.Name}
		for _, r := range runs {
			text := "-"
			for i := range r.Rows {
				if r.Rows[i].Name == row.Name {
					text = r.Rows[i].ratioText(r.Rows[i].Ratio) + " " + string(r.Rows[i].Verdict)
				}
			}
			line = append(line, text)
		}
		rows = append(rows, line)
	}
	machines := []string{"machine"}
	commits := []string{"godwit"}
	for _, r := range runs {
		machines, commits = append(machines, r.Machine.Model), append(commits, r.Machine.Commit)
	}
	w.table(1, append(rows, machines, commits))
}

// writeTried lists every setting of a peer, and ours, with what it gave.
func writeTried(w *pageWriter, r *report) {
	w.line("## Every setting")
	w.line("")
	w.line("`first` is when each was tried once, `median` of those that then took turns.")
	w.line("")
	rows := [][]string{{"row", "who", "setting", "first", "median", "cosine", ""}}
	for _, row := range r.Rows {
		for _, c := range row.Cases {
			for _, f := range c.Tried {
				cosine := ""
				if f.Cosine != nil {
					cosine = fmt.Sprintf("%.5f", *f.Cosine)
				}
				name := row.Name
				if c.Name != "" {
					name += ", " + c.Name
				}
				rows = append(rows, []string{name, f.Who, f.Setting, number(f.First), number(f.Median), cosine, f.Refused})
			}
		}
	}
	w.table(3, rows)
}

func writeOps(w *pageWriter, r *report) {
	if len(r.Ops) == 0 {
		return
	}
	w.line("## Operations")
	w.line("")
	w.line("Share is the least time that the ceilings allow, by the time it took; the ceiling that sets it is named.")
	w.line("")
	rows := [][]string{{"operation", "size", "µs", "GB/s", "GFLOP/s", "share", "of"}}
	for _, o := range r.Ops {
		rows = append(rows, []string{o.Op, o.Shape, number(o.NS / 1e3), number(o.GBs), number(o.GFLOPs), fmt.Sprintf("%.0f %%", 100*o.Share), o.Bound})
	}
	w.table(2, rows)
}
