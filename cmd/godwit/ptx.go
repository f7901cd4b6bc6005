package main

// ptx: kernels of one's own, as PTX, without a GPU: run, check, count.

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/godwit-ml/godwit/ptx"
)

type ptxCmd struct {
	Run   ptxRunCmd   `cmd:"" help:"Run one kernel and print what it wrote."`
	Check ptxCheckCmd `cmd:"" help:"Read a file and list its kernels; with --block, run one in every mode and say what is wrong with it."`
	Stat  ptxStatCmd  `cmd:"" help:"Run one kernel and count instructions, memory sectors and bank conflicts."`
}

// maxPTX is the longest file that is read, bytes.
const maxPTX = 64 << 20

// launchFlags say which kernel runs, and how.
type launchFlags struct {
	File   string   `arg:"" placeholder:"FILE" help:"PTX, as nvcc -ptx -lineinfo writes it; - is standard input."`
	Kernel string   `group:"input" placeholder:"NAME" help:"The kernel; unset: the only one."`
	Grid   string   `group:"input" default:"1" placeholder:"X[,Y[,Z]]" help:"CTAs of the grid."`
	Block  string   `group:"input" placeholder:"X[,Y[,Z]]" help:"Threads of a CTA."`
	Shared int      `group:"input" placeholder:"BYTES" help:"Dynamic shared memory of a CTA."`
	Arg    []string `group:"input" short:"a" sep:"none" placeholder:"WORD" help:"An argument, once for each parameter: a number, or a buffer as f32[1024]=random. See below."`
	Steps  int64    `group:"input" default:"268435456" placeholder:"N" help:"Most instructions of a warp."`
}

const ptxHelp = "An argument is " + argumentHelp + ".\n\nEvery access is checked: bounds, alignment, shared memory that nobody wrote, races between warps, barriers and shuffles that some threads miss."

// Help is what the help says besides the flags.
func (*ptxRunCmd) Help() string { return ptxHelp }

// Help is what the help says besides the flags.
func (*ptxCheckCmd) Help() string { return ptxHelp }

// Help is what the help says besides the flags.
func (*ptxStatCmd) Help() string { return ptxHelp }

// parse reads the file.
func (f *launchFlags) parse(s *streams) (*ptx.Module, error) {
	r, err := source(s, f.File)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	src, err := io.ReadAll(io.LimitReader(r, maxPTX+1))
	if err == nil && len(src) > maxPTX {
		err = fmt.Errorf("%s is longer than %s", f.File, size(maxPTX))
	}
	if err != nil {
		return nil, err
	}
	return ptx.Parse(f.File, src)
}

// choose is the kernel that is meant.
func (f *launchFlags) choose(m *ptx.Module) (*ptx.Kernel, error) {
	names := make([]string, len(m.Kernels))
	for i, k := range m.Kernels {
		names[i] = k.Name
	}
	switch {
	case f.Block == "":
		return nil, &usageError{"a kernel runs with a block: --block 256"}
	case len(names) == 0:
		return nil, &usageError{f.File + " has no kernel"}
	case f.Kernel == "" && len(names) == 1:
		return m.Kernels[0], nil
	case f.Kernel == "":
		return nil, &usageError{"name a kernel with --kernel: " + strings.Join(names, ", ")}
	}
	if k := m.Kernel(f.Kernel); k != nil {
		return k, nil
	}
	return nil, &usageError{fmt.Sprintf("there is no kernel %q; there are: %s", f.Kernel, strings.Join(names, ", "))}
}

// launch runs the kernel once, in memory of its own, and gives the buffers as
// they are afterwards.
func (f *launchFlags) launch(ctx context.Context, k *ptx.Kernel, cfg ptx.Config) ([]*buffer, [][]byte, *ptx.Counts, error) {
	grid, err := dimensions("--grid", f.Grid)
	if err != nil {
		return nil, nil, nil, err
	}
	block, err := dimensions("--block", f.Block)
	if err != nil {
		return nil, nil, nil, err
	}
	mem := ptx.NewMemory(2 * maxBuffer)
	params, buffers, err := bind(k, mem, f.Arg)
	if err != nil {
		return nil, nil, nil, err
	}
	cfg.Steps = f.Steps
	counts, err := ptx.Run(ctx, k, mem, ptx.Launch{Grid: grid, Block: block, Shared: f.Shared, Params: params}, cfg)
	if err != nil {
		return nil, nil, nil, err
	}
	after := make([][]byte, len(buffers))
	for i, b := range buffers {
		if after[i], err = mem.Bytes(b.addr, int64(len(b.bytes))); err != nil {
			return nil, nil, nil, err
		}
	}
	return buffers, after, counts, nil
}

func dimensions(flag, text string) (d [3]int, err error) {
	d = [3]int{1, 1, 1}
	parts := strings.Split(text, ",")
	for i, part := range parts {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 1 || i > 2 {
			return d, &usageError{fmt.Sprintf("%s %q: want one to three numbers from 1 on, as 16,4", flag, text)}
		}
		d[i] = n
	}
	return d, nil
}

type ptxRunCmd struct {
	launchFlags
	Seed uint64   `group:"input" placeholder:"N" help:"Warps in the random order of this seed; unset: in order."`
	Head int      `group:"output" default:"8" placeholder:"N" help:"Elements of each buffer that are printed."`
	Save []string `group:"output" sep:"none" placeholder:"I=FILE" help:"Write the buffer of parameter I, from 0, to a file as raw bytes."`
	jsonFlag
}

// writtenBuffer is a buffer after a run.
type writtenBuffer struct {
	Parameter int      `json:"parameter"`
	Name      string   `json:"name"`
	Type      string   `json:"type"`
	Elements  int      `json:"elements"`
	Changed   int      `json:"changed"` // elements
	Head      []string `json:"head"`
}

// Run prints the buffers that changed; all of them in JSON.
func (c *ptxRunCmd) Run(ctx context.Context, s *streams) error {
	m, err := c.parse(s)
	if err != nil {
		return err
	}
	k, err := c.choose(m)
	if err != nil {
		return err
	}
	var cfg ptx.Config
	if c.Seed != 0 {
		cfg = ptx.Config{Order: ptx.Random, Seed: c.Seed}
	}
	buffers, after, _, err := c.launch(ctx, k, cfg)
	if err != nil {
		return err
	}
	if err := c.save(buffers, after); err != nil {
		return err
	}
	for i, b := range buffers {
		w := writtenBuffer{Parameter: b.index, Name: b.param.Name, Type: b.elem, Elements: len(b.bytes) / elementSizes[b.elem]}
		step := elementSizes[b.elem]
		for at := 0; at < len(b.bytes); at += step {
			if !bytes.Equal(b.bytes[at:at+step], after[i][at:at+step]) {
				w.Changed++
			}
		}
		for e := range min(c.Head, w.Elements) {
			w.Head = append(w.Head, element(after[i], b.elem, e))
		}
		switch {
		case c.JSON:
			if err := s.out.object(w); err != nil {
				return err
			}
		case w.Changed > 0:
			more := ""
			if len(w.Head) < w.Elements {
				more = " …"
			}
			fmt.Fprintf(s.out, "%d %s: %d of %d %s changed: %s%s\n", w.Parameter, w.Name, w.Changed, w.Elements, w.Type, strings.Join(w.Head, " "), more)
		}
	}
	return nil
}

// save writes buffers to files.
func (c *ptxRunCmd) save(buffers []*buffer, after [][]byte) error {
	for _, word := range c.Save {
		number, file, ok := strings.Cut(word, "=")
		n, err := strconv.Atoi(number)
		i := slices.IndexFunc(buffers, func(b *buffer) bool { return b.index == n })
		if !ok || err != nil || i < 0 {
			return &usageError{fmt.Sprintf("--save %q: want the number of a parameter that is a buffer, and a file, as 2=out.bin", word)}
		}
		if err := os.WriteFile(file, after[i], 0o644); err != nil {
			return err
		}
	}
	return nil
}

type ptxCheckCmd struct {
	launchFlags
	jsonFlag
}

// checkedKernel is one kernel of a file.
type checkedKernel struct {
	Name         string   `json:"name"`
	Params       []string `json:"params"`
	Instructions int      `json:"instructions"`
	StaticShared int      `json:"static_shared"`
	Local        int      `json:"local"`
	MaxThreads   int      `json:"max_threads,omitempty"`
}

// Run lists the kernels, or runs one in all modes.
func (c *ptxCheckCmd) Run(ctx context.Context, s *streams) error {
	m, err := c.parse(s)
	if err != nil {
		return err
	}
	if c.Block != "" {
		return c.modes(ctx, s, m)
	}
	if c.Kernel != "" || len(c.Arg) > 0 {
		return &usageError{"a kernel is run with --block; without it the file is only read"}
	}
	if !c.JSON {
		fmt.Fprintf(s.out, "%s: PTX %s for %s, %s\n", c.File, m.Version, m.Target, plural(len(m.Kernels), "kernel"))
	}
	for _, k := range m.Kernels {
		o := checkedKernel{Name: k.Name, Params: []string{}, Instructions: k.Instructions, StaticShared: k.StaticShared, Local: k.Local, MaxThreads: k.MaxThreads}
		for _, p := range k.Params {
			o.Params = append(o.Params, paramName(p))
		}
		if c.JSON {
			if err := s.out.object(o); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(s.out, "  %s\n    %d instructions, %d bytes of static shared memory", signature(k), k.Instructions, k.StaticShared)
		if k.Local > 0 {
			fmt.Fprintf(s.out, ", %d of local", k.Local)
		}
		if k.MaxThreads > 0 {
			fmt.Fprintf(s.out, ", at most %d threads", k.MaxThreads)
		}
		fmt.Fprintln(s.out)
	}
	return nil
}

// modes runs the kernel in every mode: each has to pass, with the same bits.
func (c *ptxCheckCmd) modes(ctx context.Context, s *streams, m *ptx.Module) error {
	k, err := c.choose(m)
	if err != nil {
		return err
	}
	var first [][]byte
	for i, mode := range ptx.Modes() {
		name := modeName(mode)
		buffers, after, _, err := c.launch(ctx, k, mode)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if i == 0 {
			for _, b := range after {
				first = append(first, bytes.Clone(b))
			}
		}
		for j, b := range buffers {
			if !bytes.Equal(first[j], after[j]) {
				return fmt.Errorf("%s: parameter %d (%s) has other bits than in order: the kernel depends on the order in which warps run", name, b.index, b.param.Name)
			}
		}
		if !c.JSON {
			fmt.Fprintf(s.out, "%s: no fault, the same bits\n", name)
		}
	}
	if c.JSON {
		return s.out.object(map[string]any{"kernel": k.Name, "modes": len(ptx.Modes()), "faults": 0})
	}
	return nil
}

func modeName(c ptx.Config) string {
	name := "warps " + c.Order.String()
	if c.Order == ptx.Random {
		name += fmt.Sprintf(" (seed %d)", c.Seed)
	}
	if c.Eager {
		return name + ", copies early"
	}
	return name + ", copies late"
}

type ptxStatCmd struct {
	launchFlags
	Lines bool `group:"output" help:"Also each source line, or each PTX line where the file does not name the source."`
	jsonFlag
}

// stat is what a launch did; JSON as it is.
type stat struct {
	Kernel       string           `json:"kernel"`
	CTAs         int64            `json:"ctas"`
	Total        work             `json:"total"`
	MainLoop     work             `json:"main_loop"`
	Instructions map[string]int64 `json:"instructions"` // warp instructions by opcode
	Lines        []statLine       `json:"lines,omitempty"`
}

// work is some instructions' part.
type work struct {
	Issues          int64 `json:"issues"` // warp instructions
	FLOPs           int64 `json:"flops"`
	LoadBytes       int64 `json:"load_bytes"` // of global memory, as asked for
	LoadSectors     int64 `json:"load_sectors"`
	StoreBytes      int64 `json:"store_bytes"`
	StoreSectors    int64 `json:"store_sectors"`
	Wavefronts      int64 `json:"shared_wavefronts"`
	IdealWavefronts int64 `json:"ideal_wavefronts"` // without bank conflicts
	LocalIssues     int64 `json:"local_issues"`
}

type statLine struct {
	Source string `json:"source"`
	Op     string `json:"op,omitempty"`
	work
}

func workOf(w ptx.Work) work {
	return work{
		Issues: w.Issues, FLOPs: w.FLOPs, LoadBytes: w.GlobalLoads.Bytes, LoadSectors: w.GlobalLoads.Sectors,
		StoreBytes: w.GlobalStores.Bytes, StoreSectors: w.GlobalStores.Sectors,
		Wavefronts: w.Wavefronts(), IdealWavefronts: w.IdealWavefronts(), LocalIssues: w.LocalIssues,
	}
}

// Run counts.
func (c *ptxStatCmd) Run(ctx context.Context, s *streams) error {
	m, err := c.parse(s)
	if err != nil {
		return err
	}
	k, err := c.choose(m)
	if err != nil {
		return err
	}
	_, _, counts, err := c.launch(ctx, k, ptx.Config{Count: true})
	if err != nil {
		return err
	}
	o := stat{Kernel: k.Name, CTAs: counts.CTAs, Total: workOf(counts.Work), MainLoop: workOf(counts.MainLoop()), Instructions: counts.Ops}
	if c.Lines {
		for _, l := range counts.Sources() {
			o.Lines = append(o.Lines, statLine{cmp.Or(l.Source, fmt.Sprintf("%s:%d", c.File, l.Line)), l.Op, workOf(l.Work)})
		}
	}
	if c.JSON {
		return s.out.object(o)
	}
	o.print(s.out)
	return nil
}

func (o *stat) print(w io.Writer) {
	fmt.Fprintf(w, "%s: %d CTAs\n", o.Kernel, o.CTAs)
	for _, part := range []struct {
		name string
		work
	}{{"all of it", o.Total}, {"main loop", o.MainLoop}} {
		fmt.Fprintf(w, "  %s\n", part.name)
		fmt.Fprintf(w, "    %12d warp instructions, %d FLOPs\n", part.Issues, part.FLOPs)
		fmt.Fprintf(w, "    %12d sectors of 32 bytes read, %s\n", part.LoadSectors, share(part.LoadBytes, 32*part.LoadSectors, "asked for"))
		fmt.Fprintf(w, "    %12d sectors of 32 bytes written, %s\n", part.StoreSectors, share(part.StoreBytes, 32*part.StoreSectors, "asked for"))
		fmt.Fprintf(w, "    %12d wavefronts of shared memory, %d without bank conflicts\n", part.Wavefronts, part.IdealWavefronts)
		if part.LocalIssues > 0 {
			fmt.Fprintf(w, "    %12d accesses of local memory: spills or arrays\n", part.LocalIssues)
		}
	}
	type row struct {
		op string
		n  int64
	}
	var rows []row
	for op, n := range o.Instructions {
		rows = append(rows, row{op, n})
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(b.n, a.n), strings.Compare(a.op, b.op)) })
	fmt.Fprintln(w, "  instructions")
	for _, r := range rows {
		fmt.Fprintf(w, "    %12d %s\n", r.n, r.op)
	}
	if len(o.Lines) > 0 {
		fmt.Fprintln(w, "  lines (warp instructions, sectors read, written, wavefronts)")
	}
	for _, l := range o.Lines {
		fmt.Fprintf(w, "    %12d %10d %10d %10d  %s %s\n", l.Issues, l.LoadSectors, l.StoreSectors, l.Wavefronts, l.Source, l.Op)
	}
}

// share is a part of a whole in percent.
func share(part, whole int64, what string) string {
	if whole == 0 {
		return "none " + what
	}
	return fmt.Sprintf("%.0f %% of them %s", 100*float64(part)/float64(whole), what)
}
