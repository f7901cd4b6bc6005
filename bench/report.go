package main

// What a comparison found: as JSON, and as a table.

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const reportSchema = 1

// report is a run.
type report struct {
	Schema   int         `json:"schema"`
	Time     time.Time   `json:"time"`
	Seconds  float64     `json:"seconds"`
	Command  string      `json:"command"`
	Quick    bool        `json:"quick,omitempty"`
	Device   string      `json:"device"`
	Threads  int         `json:"threads"`
	Repeats  int         `json:"repeats"`
	Machine  machine     `json:"machine"`
	Ceilings ceilings    `json:"ceilings"`
	Files    []modelFile `json:"files"`
	Peers    []peerInfo  `json:"peers"`
	Rows     []row       `json:"rows"`
	Curves   []curve     `json:"curves,omitempty"`
	Ops      []result    `json:"ops,omitempty"`
}

// peerInfo is a peer that took part.
type peerInfo struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Threads int    `json:"threads"`
	Sets    string `json:"sets"` // the instruction sets it can use here
}

// row is a goal with what was measured.
type row struct {
	Name    string        `json:"name"`
	Work    string        `json:"work"`
	Unit    string        `json:"unit"`
	Lower   bool          `json:"lower,omitempty"`    // less is better
	Alone   bool          `json:"alone,omitempty"`    // the figure is judged, not a ratio
	AtLeast float64       `json:"at_least,omitempty"` // at most, where less is better
	Aim     float64       `json:"aim,omitempty"`
	Ratio   float64       `json:"ratio"` // ours by the peer's, medians of each; or ours
	Low     float64       `json:"low"`   // quartiles of the ratios turn by turn
	High    float64       `json:"high"`
	Verdict verdict       `json:"verdict"`
	Cases   []trialResult `json:"cases,omitempty"`
	Error   string        `json:"error,omitempty"`
}

// trialResult is a case of a row.
type trialResult struct {
	Name     string    `json:"name,omitempty"`
	Ours     figure    `json:"ours"`
	Peer     figure    `json:"peer"`
	Ratio    float64   `json:"ratio"`
	Low      float64   `json:"low"`
	High     float64   `json:"high"`
	Void     string    `json:"void,omitempty"`    // why it says nothing
	Missing  string    `json:"missing,omitempty"` // why there is no figure of ours
	Attempts int       `json:"attempts"`
	Others   float64   `json:"others"` // processors that others used, at most
	Notes    []string  `json:"notes,omitempty"`
	Tried    []*figure `json:"tried"`
}

// figure is what a way of doing the work gave.
type figure struct {
	Who     string    `json:"who,omitempty"`
	Setting string    `json:"setting,omitempty"`
	First   float64   `json:"first,omitempty"`  // when it was tried
	Values  []float64 `json:"values,omitempty"` // in turns with others
	Median  float64   `json:"median,omitempty"`
	Spread  float64   `json:"spread,omitempty"` // distance of the quartiles by the median
	Cosine  *float64  `json:"cosine,omitempty"` // lowest of any text with exact f32
	Refused string    `json:"refused,omitempty"`
}

// verdict is what a row comes to.
type verdict string

const (
	aimReached verdict = "aim"
	met        verdict = "met"
	notMet     verdict = "not met"
	void       verdict = "void"
	failed     verdict = "error"
	told       verdict = "-" // there is no goal
)

// judge makes the row's figures of its cases'.
func (r *row) judge() {
	var ratios, lows, highs []float64
	missing, voided := false, false
	for _, c := range r.Cases {
		ratios, lows, highs = append(ratios, c.Ratio), append(lows, c.Low), append(highs, c.High)
		missing, voided = missing || c.Missing != "", voided || c.Void != ""
	}
	r.Ratio, r.Low, r.High = median(ratios), median(lows), median(highs)
	reaches := func(goal float64) bool {
		if r.Lower {
			return r.Ratio > 0 && r.Ratio <= goal
		}
		return r.Ratio >= goal
	}
	switch {
	case r.Error != "":
		r.Verdict = failed
	case missing:
		r.Verdict = notMet
	case voided:
		r.Verdict = void
	case r.AtLeast == 0:
		r.Verdict = told
	case r.Aim > 0 && reaches(r.Aim):
		r.Verdict = aimReached
	case reaches(r.AtLeast):
		r.Verdict = met
	default:
		r.Verdict = notMet
	}
}

// behind reports whether the peer does better.
func (r *row) behind() bool {
	if r.Alone || r.Error != "" || r.Ratio == 0 || len(r.Cases) == 0 || r.theory() {
		return false
	}
	if r.Lower {
		return r.Ratio > 1
	}
	return r.Ratio < 1
}

// theory reports whether the row is against what the machine can do, and no peer.
func (r *row) theory() bool {
	return len(r.Cases) > 0 && (r.Cases[0].Peer.Who == "reading" || r.Cases[0].Peer.Who == "ceiling")
}

// side is the median over the cases of one side, and its setting.
func (r *row) side(pick func(*trialResult) *figure) (value, spread float64, who string) {
	var values, spreads []float64
	for i := range r.Cases {
		f := pick(&r.Cases[i])
		values, spreads = append(values, f.Median), append(spreads, f.Spread)
		if i == 0 && f.Who != "" {
			who = f.Who + " " + f.Setting
		}
	}
	return median(values), median(spreads), who
}

func ourSide(c *trialResult) *figure  { return &c.Ours }
func peerSide(c *trialResult) *figure { return &c.Peer }

// goalText is the goal in the row's terms: "2.5 × / 3.5 ×".
func (r *row) goalText() string {
	text := func(v float64) string {
		switch {
		case v == 0:
			return ""
		case r.Alone:
			return fmt.Sprintf("%g %s", v, r.Unit)
		case r.theory():
			return fmt.Sprintf("%g %%", 100*v)
		}
		return fmt.Sprintf("%g ×", v)
	}
	if r.AtLeast == 0 {
		return "-"
	}
	if r.Aim == 0 {
		return text(r.AtLeast)
	}
	return text(r.AtLeast) + " / " + text(r.Aim)
}

func (r *row) ratioText(v float64) string {
	switch {
	case len(r.Cases) == 0 || v == 0:
		return "-"
	case r.Alone:
		return fmt.Sprintf("%s %s", number(v), r.Unit)
	case r.theory():
		return fmt.Sprintf("%.0f %%", 100*v)
	}
	return fmt.Sprintf("%.2f ×", v)
}

// line is the row in one line.
func (r *row) line() string {
	ours, ourSpread, _ := r.side(ourSide)
	theirs, theirSpread, who := r.side(peerSide)
	percent := func(v float64) string { return strconv.Itoa(int(100*v+0.5)) + "%" }
	return fmt.Sprintf("%-32s %9s ±%-4s %9s ±%-4s %-7s %9s  %-16s %-8s %s", r.Name, number(ours), percent(ourSpread), number(theirs), percent(theirSpread), r.Unit, r.ratioText(r.Ratio), r.goalText(), r.Verdict, who)
}

// remarks are what is to be said about a row besides its figures.
func (r *row) remarks() []string {
	var all []string
	if r.Error != "" {
		all = append(all, r.Error)
	}
	for _, c := range r.Cases {
		prefix := ""
		if c.Name != "" {
			prefix = c.Name + ": "
		}
		for _, text := range append([]string{c.Missing}, c.Notes...) {
			if text != "" {
				all = append(all, prefix+text)
			}
		}
		if c.Void != "" {
			all = append(all, fmt.Sprintf("%svoid after %d attempts: %s", prefix, c.Attempts, c.Void))
		}
		if c.Others > otherCores {
			all = append(all, fmt.Sprintf("%sothers used %.1f processors meanwhile", prefix, c.Others))
		}
	}
	return all
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%-32s %9s %5s %9s %5s %-7s %9s  %-16s %-8s %s\n", "row", "ours", "", "peer", "", "", "ratio", "goal / aim", "", "peer's best setting")
	for i := range r.Rows {
		fmt.Fprintln(w, strings.TrimRight(r.Rows[i].line(), " "))
		for _, text := range r.Rows[i].remarks() {
			fmt.Fprintf(w, "    %s\n", text)
		}
	}
	counts := map[verdict]int{}
	for i := range r.Rows {
		counts[r.Rows[i].Verdict]++
	}
	fmt.Fprintf(w, "\n%d rows: aim %d, met %d, not met %d, void %d, error %d, without a goal %d\n", len(r.Rows), counts[aimReached], counts[met], counts[notMet], counts[void], counts[failed], counts[told])
	for _, p := range r.Peers {
		fmt.Fprintf(w, "%s %s, %d threads; %s\n", p.Name, p.Version, p.Threads, p.Sets)
	}
}

func (m machine) print(w io.Writer) {
	fmt.Fprintf(w, "machine  %s (%s), %d cores, %s, %.0f GB, %s, %s\n", m.Processor, m.Model, m.Cores, strings.Join(m.Caches, ", "), float64(m.Memory)/1e9, m.System, m.Go)
	fmt.Fprintf(w, "sets     %s; godwit's best path: %s\n", strings.Join(m.Sets, " "), m.Path)
}

// save writes the report, whole or not at all; "" is nowhere.
func (r *report) save(path string) error {
	if path == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	part := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".part")
	if err := os.WriteFile(part, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(part, path)
}

// readReport reads what save wrote.
func readReport(path string) (*report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &report{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if r.Schema != reportSchema || len(r.Rows) == 0 {
		return nil, fmt.Errorf("%s is no run of bench compare of this version", path)
	}
	return r, nil
}

// setsOf says which instruction sets a peer can use here: llama.cpp tells; of the
// others it is known which kernels their releases bring.
func setsOf(ctx context.Context, p *peer, l *lab) string {
	has := func(set string) bool {
		for _, s := range l.report.Machine.Sets {
			if s == set {
				return true
			}
		}
		return false
	}
	list := func(sets ...string) string {
		var here []string
		for _, s := range sets {
			if has(s) {
				here = append(here, s)
			}
		}
		return "kernels for " + strings.Join(here, " ")
	}
	switch p.name {
	case "llama.cpp":
		a, err := p.ask(ctx, request{Work: "describe", Model: l.files.source(), Setting: p.ready.Settings[0]})
		if err != nil {
			return "does not tell: " + err.Error()
		}
		var used []string
		for _, part := range strings.Split(a.System, "|") {
			if name, value, ok := strings.Cut(part, "="); ok && strings.TrimSpace(value) == "1" {
				fields := strings.Fields(name)
				used = append(used, fields[len(fields)-1])
			}
		}
		return "built with " + strings.Join(used, " ")
	case "onnxruntime":
		return list("avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8")
	case "openvino", "torch": // oneDNN, and MKL in torch
		return list("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16")
	case "hugot":
		return "pure Go: what the compiler emits"
	}
	return "unknown"
}

// quoted is a command line that a shell would read back.
func quoted(args []string) string {
	var all []string
	for _, a := range args {
		if a == "" || strings.ContainsAny(a, " \t\"'$\\|*?()[]<>;&") {
			a = strconv.Quote(a)
		}
		all = append(all, a)
	}
	return strings.Join(all, " ")
}
