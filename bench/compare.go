package main

// compare: every goal, ours and the peers in turns.

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-ml/godwit/cpu/simd"
)

// lab is a run of a comparison.
type lab struct {
	device       string
	threads      int
	repeats      int
	attempts     int // of a case whose peer was slower than it can be
	tried        int // settings of a peer; 0: all
	finalists    int // ways of each side that are measured in turns
	patient      bool
	sentenceTime time.Duration
	files        files
	dir          string // for what peers read
	notes        io.Writer
	ceilings     *ceilings
	peers        map[string]*peer
	broken       map[string]error
	command      func(name string) *exec.Cmd
	self         func(ctx context.Context, args ...string) *exec.Cmd
	open         openModels
	exact        map[string][]float32 // vectors of exact f32, by text
	known        map[string]bool      // models that are in the report
	draws        bool                 // the curves are wanted
	listsOps     bool                 // and the operations
	report       report
}

func compare(args []string, out, notes io.Writer) error {
	l := &lab{notes: notes}
	f := flag.NewFlagSet("bench compare", flag.ContinueOnError)
	f.SetOutput(notes)
	jsonFile := f.String("json", "", "file that the whole run is written to")
	rows := f.String("rows", "", "only rows whose name this expression matches; -list names them")
	list := f.Bool("list", false, "name the rows and end")
	models := f.String("models", "", "folder with "+smolFile+" and minilm; unset: $GODWIT_MODELS")
	quick := f.Bool("quick", false, "one repeat, three settings a peer, nothing again: shows that it runs")
	f.StringVar(&l.device, "device", bestDevice(), "cpu, cpu:PATH or reference")
	f.IntVar(&l.threads, "threads", 2, "threads of each side")
	f.IntVar(&l.repeats, "repeats", 7, "turns; medians count")
	f.IntVar(&l.attempts, "attempts", 3, "times a row is measured before it is said to be void")
	if err := f.Parse(args); err != nil {
		return err
	}
	match, err := regexp.Compile(*rows)
	if err != nil {
		return fmt.Errorf("-rows: %w", err)
	}
	if f.NArg() > 0 || l.repeats < 1 || l.threads < 1 || l.attempts < 1 {
		return fmt.Errorf("want no arguments, and -repeats, -threads and -attempts of at least 1")
	}
	all := slices.DeleteFunc(goals(), func(g goal) bool { return !match.MatchString(g.name) })
	if l.draws, l.listsOps = match.MatchString(curvesName), match.MatchString(opsName); len(all) == 0 && !l.draws && !l.listsOps {
		return fmt.Errorf("-rows %q matches no row; -list names them", *rows)
	}
	if *list {
		for _, g := range all {
			fmt.Fprintf(out, "%-32s %s\n", g.name, g.work)
		}
		for _, extra := range []struct {
			name, work string
			wanted     bool
		}{{curvesName, "tokens a second against context and batch, to draw", l.draws}, {opsName, "operations at the sizes of the models, with their share of the ceilings", l.listsOps}} {
			if extra.wanted {
				fmt.Fprintf(out, "%-32s %s\n", extra.name, extra.work)
			}
		}
		return nil
	}
	l.finalists, l.patient, l.sentenceTime = 3, true, 1500*time.Millisecond
	if *quick {
		l.repeats, l.attempts, l.tried, l.finalists, l.patient, l.sentenceTime = 1, 1, 3, 1, false, 200*time.Millisecond
	}
	l.files = newFiles(*models)
	if err := l.files.check(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	l.command = func(name string) *exec.Cmd { return peerCommand(name, l.threads) }
	l.self = selfCommand
	l.report.Command = "bench compare " + quoted(withoutFolders(args))
	l.report.Quick = *quick
	return l.run(ctx, all, *jsonFile, out)
}

// withoutFolders is a command line that says nothing about where files lie.
func withoutFolders(args []string) []string {
	short := slices.Clone(args)
	for i, a := range short {
		flag, value, given := strings.Cut(a, "=")
		switch {
		case given && strings.HasPrefix(a, "-") && filepath.IsAbs(value):
			short[i] = flag + "=" + filepath.Base(value)
		case filepath.IsAbs(a):
			short[i] = filepath.Base(a)
		}
	}
	return short
}

// peerCommand starts a peer with its script, which lies beside the sources.
func peerCommand(name string, threads int) *exec.Cmd {
	cmd := exec.Command("bash", filepath.Join(sourceFolder(), "peers", "run.sh"), name)
	cmd.Env = append(os.Environ(), "PEER_THREADS="+strconv.Itoa(threads))
	return cmd
}

// sourceFolder is where this program's sources lie.
func sourceFolder() string {
	_, file, _, _ := goruntime.Caller(0)
	return filepath.Dir(file)
}

// run measures the rows, writes the report after each, and prints the table.
func (l *lab) run(ctx context.Context, all []goal, jsonFile string, out io.Writer) (err error) {
	goruntime.GOMAXPROCS(max(l.threads, 1))
	if l.dir, err = os.MkdirTemp("", "godwit-bench"); err != nil {
		return err
	}
	l.peers, l.broken, l.exact, l.known = map[string]*peer{}, map[string]error{}, map[string][]float32{}, map[string]bool{}
	defer func() { err = errors.Join(err, l.dropAll(), l.closePeers(), os.RemoveAll(l.dir)) }()
	l.begin()
	l.report.Machine.print(out)
	l.ceilings.print(out)
	var failed []error
	for i, g := range all {
		fmt.Fprintf(l.notes, "[%d/%d] %s: %s\n", i+1, len(all), g.name, g.work)
		l.ceilings.again()
		r := l.row(ctx, g)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if r.Error != "" {
			failed = append(failed, fmt.Errorf("%s: %s", r.Name, r.Error))
		}
		fmt.Fprintf(l.notes, "[%d/%d] %s\n", i+1, len(all), r.line())
		l.report.Rows = append(l.report.Rows, r)
		l.finish()
		if err := l.report.save(jsonFile); err != nil {
			return err
		}
	}
	failed = append(failed, l.extras(ctx))
	l.finish()
	l.report.print(out)
	return errors.Join(append(failed, l.report.save(jsonFile))...)
}

// extras measures what is no row.
func (l *lab) extras(ctx context.Context) (err error) {
	if l.draws {
		fmt.Fprintln(l.notes, curvesName)
		err = l.curves(ctx)
	}
	if l.listsOps && ctx.Err() == nil {
		fmt.Fprintln(l.notes, opsName)
		err = errors.Join(err, l.dropAll(), l.ops())
	}
	return err
}

// begin measures the machine.
func (l *lab) begin() {
	l.report.Schema, l.report.Time, l.report.Machine = reportSchema, time.Now().UTC().Truncate(time.Second), thisMachine()
	l.report.Device, l.report.Threads, l.report.Repeats = l.device, l.threads, l.repeats
	l.ceilings = measureCeilings(simd.Best(), l.threads)
	for _, size := range []int64{256 << 10, 16 << 20, 98e6, 143e6, 269e6, 512e6} {
		for _, n := range uniq(1, l.threads) {
			l.ceilings.read(size, n)
		}
	}
	l.finish()
}

// finish brings into the report what came up during a row.
func (l *lab) finish() {
	l.report.Ceilings = *l.ceilings
	l.report.Seconds = time.Since(l.report.Time).Seconds()
}

func (l *lab) closePeers() (err error) {
	for _, p := range l.peers {
		err = errors.Join(err, p.close())
	}
	return err
}

// peer is a running peer, started at its first use. One that does not start is not
// tried again.
func (l *lab) peer(ctx context.Context, name string) (*peer, error) {
	if p := l.peers[name]; p != nil {
		return p, nil
	}
	if err := l.broken[name]; err != nil {
		return nil, err
	}
	fmt.Fprintf(l.notes, "starting %s\n", name)
	p, err := startPeer(ctx, name, l.command(name))
	if err != nil {
		l.broken[name] = err
		return nil, err
	}
	l.peers[name] = p
	l.report.Peers = append(l.report.Peers, peerInfo{Name: name, Version: p.ready.Version, Threads: p.ready.Threads, Sets: setsOf(ctx, p, l)})
	return p, nil
}

// ask makes a contender of each setting of a peer.
func (l *lab) ask(ctx context.Context, name, kind string, known float64, q request, value func(answer) float64) ([]contender, error) {
	p, err := l.peer(ctx, name)
	if err != nil {
		return nil, err
	}
	settings := p.settings(q.Work, kind)
	if len(settings) == 0 {
		return nil, fmt.Errorf("peer %s does no %s in %s", name, q.Work, kind)
	}
	if l.tried > 0 {
		settings = settings[:min(l.tried, len(settings))]
	}
	var all []contender
	for _, s := range settings {
		q.Setting = s
		mine := q
		all = append(all, contender{Who: name, Setting: s, known: known, pid: p.cmd.Process.Pid, measure: func(ctx context.Context) (sample, error) {
			a, err := p.ask(ctx, mine)
			if err != nil {
				return sample{}, err
			}
			s := sample{Value: value(a), Cosine: a.CosineMin}
			if a.Idle > 0.1 && a.IdleCPU > 100*a.Idle {
				s.Note = fmt.Sprintf("%s used %.0f %% of a core while it was to be quiet", name, a.IdleCPU/10/a.Idle)
			}
			if !(s.Value > 0) {
				return s, &settingError{name, mine.Setting, "no figure in its answer"}
			}
			return s, nil
		}})
	}
	return all, nil
}

// prepared is SmolLM2 in a type, made by llama.cpp's own quantiser if it is not there.
func (l *lab) prepared(ctx context.Context, kind string) (string, error) {
	path, err := l.files.smol(kind)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		p, err := l.peer(ctx, "llama.cpp")
		if err != nil {
			return "", err
		}
		a, err := p.ask(ctx, request{Work: "prepare", Model: l.files.source(), Type: kind})
		if err != nil {
			return "", err
		}
		path = a.Path
	}
	if name := "smollm2 " + kind; !l.known[name] {
		l.known[name] = true
		m, err := describe(name, path)
		if err != nil {
			return "", err
		}
		l.report.Files = append(l.report.Files, m)
	}
	return path, nil
}

// textFiles writes texts, one a line, and their vectors of exact f32, for peers.
func (l *lab) textFiles(ctx context.Context, texts []string) (file, reference string, err error) {
	if !l.known["minilm"] {
		l.known["minilm"] = true
		m, err := describe("minilm", l.files.minilm())
		if err != nil {
			return "", "", err
		}
		l.report.Files = append(l.report.Files, m)
	}
	vectors, err := l.exactVectors(ctx, texts)
	if err != nil {
		return "", "", err
	}
	var lines, floats []byte
	for i, t := range texts {
		lines = append(append(lines, t...), '\n')
		for _, x := range vectors[i] {
			floats = binary.LittleEndian.AppendUint32(floats, math.Float32bits(x))
		}
	}
	name := filepath.Join(l.dir, fmt.Sprintf("texts-%d", len(texts)))
	if err := os.WriteFile(name+".txt", lines, 0o600); err != nil {
		return "", "", err
	}
	return name + ".txt", name + ".f32", os.WriteFile(name+".f32", floats, 0o600)
}
