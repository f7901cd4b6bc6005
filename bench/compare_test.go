package main

// Comparison: the protocol and the choice of settings against a peer that is this
// test, verdicts, and what is void.

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakePeer makes this test a peer, with a figure for each setting.
const fakePeer = "GODWIT_BENCH_FAKE_PEER"

func TestMain(m *testing.M) {
	if name := os.Getenv(fakePeer); name != "" {
		if err := serveFake(name, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// fakeFigures are what the settings of the fake peer reach: "broken" answers errors,
// "inexact" is the fastest and keeps no cosine.
var fakeFigures = map[string]float64{"slow": 10, "fast": 100, "almost": 99, "inexact": 1000, "broken": 0}

func serveFake(name string, in io.Reader, out io.Writer) error {
	if name == "mute" {
		return errors.New("no library here")
	}
	settings := []string{"slow", "fast", "almost", "inexact", "broken"}
	enc := json.NewEncoder(out)
	ready := peerReady{Ready: true, Peer: name, Version: "1.0", Threads: 2, Settings: settings, Rows: []peerRow{{"embed", "int8", settings}, {"sentence", "any", settings[:4]}}}
	if err := enc.Encode(ready); err != nil {
		return err
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var q request
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return err
		}
		if q.Work == "die" {
			return errors.New("killed on purpose")
		}
		v := fakeFigures[q.Setting]
		cosine := 0.9999
		if q.Setting == "inexact" {
			cosine = 0.86
		}
		a := answer{SeqS: v, P50: 1000 / max(v, 1), CosineMin: &cosine, Idle: 1, IdleCPU: 500}
		if q.Setting == "broken" {
			a = answer{Error: "ValueError: no such thing"}
		}
		if err := enc.Encode(a); err != nil {
			return err
		}
	}
	return nil
}

// testLab is a lab whose peers are this test.
func testLab(t *testing.T, repeats int) *lab {
	l := &lab{repeats: repeats, attempts: 2, finalists: 3, threads: 2, notes: io.Discard, peers: map[string]*peer{}, broken: map[string]error{}}
	l.command = func(name string) *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fakePeer+"="+name)
		return cmd
	}
	t.Cleanup(func() {
		if err := l.closePeers(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// constant is a contender of ours with a figure.
func constant(v, cosine float64) contender {
	return contender{Who: us, Setting: fmt.Sprint(v), measure: func(context.Context) (sample, error) { return sample{Value: v, Cosine: &cosine}, nil }}
}

// against is a goal of ours against the fake peer.
func against(ours []contender, known, scale float64, lower bool) goal {
	return goal{name: "x", unit: "seq/s", lower: lower, atLeast: 2, aim: 3, cases: []trial{{open: func(ctx context.Context, l *lab) (sides, error) {
		work, value := "embed", func(a answer) float64 { return a.SeqS }
		if lower {
			work, value = "sentence", func(a answer) float64 { return a.P50 }
		}
		peers, err := l.ask(ctx, "fake", "int8", known, request{Work: work}, value)
		return sides{ours: ours, peers: peers, ourCosine: 0.999, peerCosine: 0.99, scale: scale}, err
	}}}}
}

func TestRow(t *testing.T) {
	l := testLab(t, 3)
	r := l.row(t.Context(), against([]contender{constant(250, 1), constant(9000, 0.5)}, 110, 1, false))
	c := r.Cases[0]
	if r.Verdict != met || r.Ratio != 2.5 || c.Peer.Setting != "fast" || c.Ours.Median != 250 || len(c.Ours.Values) != 3 || c.Void != "" || c.Attempts != 1 {
		t.Errorf("%+v", r)
	}
	if len(c.Tried) != 7 {
		t.Errorf("tried %d ways, want both of ours and all five of the peer", len(c.Tried))
	}
	refused, turned := map[string]string{}, []string{}
	for _, f := range c.Tried {
		refused[f.Setting] = f.Refused
		if len(f.Values) > 0 {
			turned = append(turned, f.Setting)
		}
	}
	if !strings.Contains(refused["inexact"], "0.86") || !strings.Contains(refused["broken"], "no such thing") || !strings.Contains(refused["9000"], "0.5") || refused["slow"] != "" {
		t.Errorf("refused %q", refused)
	}
	if slices.Sort(turned); !slices.Equal(turned, []string{"250", "almost", "fast"}) {
		t.Errorf("took turns: %q", turned)
	}
	if len(c.Notes) != 1 || !strings.Contains(c.Notes[0], "50 % of a core") {
		t.Errorf("a peer that was not quiet: notes %q", c.Notes)
	}
	if l.report.Peers[0].Version != "1.0" {
		t.Errorf("peers %+v", l.report.Peers)
	}
}

func TestRowVerdicts(t *testing.T) {
	l := testLab(t, 1)
	for _, want := range []struct {
		ours         float64
		known, scale float64
		verdict      verdict
		lower        bool
	}{
		{310, 0, 1, aimReached, false},
		{300, 0, 1, aimReached, false},
		{200, 0, 1, met, false},
		{199, 0, 1, notMet, false},
		{310, 124, 1, aimReached, false}, // 100 is more than 0.8 of it
		{310, 126, 1, void, false},
		{310, 63, 2, void, false}, // a machine that is twice as fast
		{310, 126, 0.9, aimReached, false},
		{310, 126, 0, aimReached, false}, // no ceiling is known
	} {
		r := l.row(t.Context(), against([]contender{constant(want.ours, 1)}, want.known, want.scale, want.lower))
		if r.Verdict != want.verdict {
			t.Errorf("%+v: %s, ratio %.2f", want, r.Verdict, r.Ratio)
		}
		if attempts := r.Cases[0].Attempts; (want.verdict == void) != (attempts == 2) {
			t.Errorf("%+v: %d attempts", want, attempts)
		}
	}
	// Where less is better: the peer takes 10 ms.
	for _, want := range []struct {
		ours, known, scale float64
		verdict            verdict
	}{{5, 0, 1, aimReached}, {7, 0, 1, met}, {7.1, 0, 1, notMet}, {5, 8.1, 1, aimReached}, {5, 7.9, 1, void}, {5, 16.1, 2, aimReached}, {5, 15.9, 2, void}} {
		g := against([]contender{constant(want.ours, 1)}, want.known, want.scale, true)
		g.atLeast, g.aim = 0.7, 0.5
		if r := l.row(t.Context(), g); r.Verdict != want.verdict || r.Cases[0].Peer.Setting != "fast" {
			t.Errorf("%+v: %s, %+v", want, r.Verdict, r)
		}
	}
	// Alone, with no peer.
	for v, verdict := range map[float64]verdict{0.2: aimReached, 0.4: met, 0.6: notMet} {
		g := goal{lower: true, alone: true, atLeast: 0.5, aim: 0.3, unit: "s", cases: []trial{{open: func(context.Context, *lab) (sides, error) { return sides{ours: []contender{constant(v, 1)}}, nil }}}}
		if r := l.row(t.Context(), g); r.Verdict != verdict || r.Ratio != v {
			t.Errorf("%g s: %+v", v, r)
		}
	}
	r := l.row(t.Context(), against([]contender{constant(900, 0.99)}, 0, 1, false))
	if r.Verdict != notMet || !strings.Contains(strings.Join(r.remarks(), ""), "0.99000 with exact f32") {
		t.Errorf("no way of ours is exact enough: %+v", r)
	}
}

// TestRowOfCases: the ratio of several cases is the median of theirs.
func TestRowOfCases(t *testing.T) {
	l := testLab(t, 1)
	g := goal{name: "x", atLeast: 2, aim: 3}
	for _, v := range []float64{100, 220, 900} {
		c := against([]contender{constant(v, 1)}, 0, 1, false).cases[0]
		g.cases = append(g.cases, c)
	}
	if r := l.row(t.Context(), g); math.Abs(r.Ratio-2.2) > 1e-9 || r.Verdict != met || len(r.Cases) != 3 {
		t.Errorf("%+v", r)
	}
}

func TestPeerErrors(t *testing.T) {
	l := testLab(t, 1)
	p, err := l.peer(t.Context(), "fake")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.ask(t.Context(), request{Work: "embed", Setting: "broken"}); err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("broken: %v", err)
	}
	if _, err := p.ask(t.Context(), request{Work: "embed", Setting: "fast"}); err != nil {
		t.Errorf("after an error: %v", err)
	}
	if _, err := p.ask(t.Context(), request{Work: "die"}); err == nil || !strings.Contains(err.Error(), "killed on purpose") {
		t.Errorf("a peer that died: %v", err)
	}
	if _, err := l.peer(t.Context(), "mute"); err == nil || !strings.Contains(err.Error(), "no library here") {
		t.Errorf("a peer that does not start: %v", err)
	}
	g := against([]contender{constant(1, 1)}, 0, 1, false)
	g.cases[0].open = func(ctx context.Context, l *lab) (sides, error) {
		_, err := l.ask(ctx, "mute", "int8", 0, request{Work: "embed"}, nil)
		return sides{}, err
	}
	if r := l.row(t.Context(), g); r.Verdict != failed || !strings.Contains(r.Error, "no library here") {
		t.Errorf("%+v", r)
	}
	if _, err := l.ask(t.Context(), "fake", "f64", 0, request{Work: "embed"}, nil); err == nil {
		t.Error("an arithmetic that the peer lacks: no error")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	cmd := exec.Command("sleep", "30")
	if _, err := startPeer(ctx, "sleeper", cmd); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a peer that says nothing: %v", err)
	}
}

func TestGoals(t *testing.T) {
	names := map[string]bool{}
	for _, g := range goals() {
		if names[g.name] {
			t.Errorf("two rows are %q", g.name)
		}
		names[g.name] = true
		switch {
		case g.unit == "" || g.work == "" || len(g.cases) == 0:
			t.Errorf("%+v", g)
		case g.lower && g.aim > g.atLeast, !g.lower && g.aim > 0 && g.aim < g.atLeast:
			t.Errorf("%s: the aim is easier than the goal", g.name)
		}
	}
	if len(names) < 26 {
		t.Errorf("%d rows", len(names))
	}
	var out strings.Builder
	if err := compare([]string{"-list", "-rows", "^sgemm 1$"}, &out, io.Discard); err != nil || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%v, %q", err, out.String())
	}
	for _, args := range [][]string{{"-rows", "("}, {"-rows", "flight"}, {"-repeats", "0"}, {"x"}, {"-models", t.TempDir()}} {
		if err := compare(args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

// TestTexts holds the texts against the script that other programs take them from.
func TestTexts(t *testing.T) {
	texts := makeTexts(textCount)
	if len(words) < 150 || len(texts) != 256 || !regexp.MustCompile(`^[a-z ]+\.$`).MatchString(texts[0]) {
		t.Fatalf("%d words, %q", len(words), texts[0])
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 to run sentences.py")
	}
	out, err := exec.Command(python, filepath.Join("peers", "sentences.py")).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(texts, "\n") + "\n"; got != string(out) {
		t.Error("the texts are not those of sentences.py")
	}
	if got := len(strings.Fields(sentence(16))); got != 13 {
		t.Errorf("a sentence of 16 tokens has %d words", got)
	}
	sorted := longestFirst(texts)
	if !slices.IsSortedFunc(sorted, func(a, b string) int { return len(strings.Fields(b)) - len(strings.Fields(a)) }) {
		t.Error("not sorted")
	}
}

func TestLowestCosine(t *testing.T) {
	for _, row := range []struct {
		a, b [][]float32
		want float64
	}{
		{[][]float32{{1, 0}, {2, 2}}, [][]float32{{3, 0}, {1, 1}}, 1},
		{[][]float32{{1, 0}, {2, 2}}, [][]float32{{3, 0}, {1, 0}}, math.Sqrt(0.5)},
		{[][]float32{{1, 0}}, [][]float32{{1, 0}, {1, 0}}, -1},
		{[][]float32{{1, 0}}, [][]float32{{0, 0}}, -1},
	} {
		if got := lowestCosine(row.a, row.b); math.Abs(got-row.want) > 1e-9 {
			t.Errorf("%v, %v: %g, want %g", row.a, row.b, got, row.want)
		}
	}
}

func TestReport(t *testing.T) {
	l := testLab(t, 2)
	r := report{Schema: reportSchema, Rows: []row{l.row(t.Context(), against([]contender{constant(250, 1)}, 0, 1, false))}, Ceilings: ceilings{Compute: map[string]map[int]rate{"f32": {1: {1, 2}}}}}
	path := filepath.Join(t.TempDir(), "run.json")
	if err := r.save(path); err != nil {
		t.Fatal(err)
	}
	back, err := readReport(path)
	if err != nil || back.Rows[0].Ratio != 2.5 || back.Ceilings.Compute["f32"][1].Best != 2 {
		t.Errorf("%+v, %v", back, err)
	}
	var table strings.Builder
	back.print(&table)
	for _, want := range []string{"2.50 ×", "2 × / 3 ×", "met 1", "fake fast"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in\n%s", want, table.String())
		}
	}
	for _, text := range []string{"{}", "x", `{"schema":99,"rows":[{}]}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readReport(path); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

func TestCeilingsOfMachine(t *testing.T) {
	c := measureCeilings(0, 2)
	if f := c.Compute["f32"]; f[1].Median <= 0 || f[2].Best < f[1].Median/2 {
		t.Errorf("%+v", f)
	}
	if r := c.read(1<<20, 2); r.Median <= 0 || c.read(1<<20, 2) != r || len(c.Read) != 1 {
		t.Errorf("%+v", c.Read)
	}
	was := c.read(1<<20, 2)
	if r := c.readAgain(1<<20, 2); r.Best < was.Best || c.read(1<<20, 2) != r || len(c.Read) != 1 {
		t.Errorf("%+v after %+v", r, was)
	}
	c.Compute["int8"], c.Compute["tile int8"] = map[int]rate{2: {Best: 1e6}}, map[int]rate{2: {Best: 2e6}}
	if c.products("int8") != 2e6 || c.products("bf16") != c.of("f32") {
		t.Errorf("%v, %v", c.products("int8"), c.products("bf16"))
	}
}

func TestSetting(t *testing.T) {
	for _, row := range []struct{ dtype, quantize, want string }{{"bf16", "", "bf16 (d)"}, {"", "q8_0", "int8, weights q8_0 (d)"}, {"", "", "as stored (d)"}} {
		if got := setting("d", row.dtype, row.quantize); got != row.want {
			t.Errorf("%+v: %q", row, got)
		}
	}
}

func TestQuoted(t *testing.T) {
	got := quoted(withoutFolders([]string{"-json", "/somewhere/else/run.json", "-models=/a/b", "-rows", "q4|x"}))
	if want := `-json run.json -models=b -rows "q4|x"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
