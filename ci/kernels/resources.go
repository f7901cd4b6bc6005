package main

// What an assembler says of each kernel, against what an SM of each architecture has.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/godwit-ml/godwit/kernels"
)

// architecture is what an SM has: CUDA C++ Programming Guide, Technical Specifications per Compute Capability.
type architecture struct {
	warps, ctas      int // resident at most
	shared           int // bytes
	reserved         int // bytes of shared memory that the system takes of each CTA
	sharedCTA        int // bytes one CTA may have
	registers, chunk int // and how many of them a warp's are rounded up to
}

var architectures = map[string]architecture{
	"75":   {32, 16, 64 << 10, 0, 64 << 10, 65536, 256},
	"80":   {64, 32, 164 << 10, 1 << 10, 163 << 10, 65536, 256},
	"86":   {48, 16, 100 << 10, 1 << 10, 99 << 10, 65536, 256},
	"90":   {64, 32, 228 << 10, 1 << 10, 227 << 10, 65536, 256},
	"90a":  {64, 32, 228 << 10, 1 << 10, 227 << 10, 65536, 256},
	"100":  {64, 32, 228 << 10, 1 << 10, 227 << 10, 65536, 256},
	"100a": {64, 32, 228 << 10, 1 << 10, 227 << 10, 65536, 256},
	"120":  {48, 24, 100 << 10, 1 << 10, 99 << 10, 65536, 256},
	"120a": {48, 24, 100 << 10, 1 << 10, 99 << 10, 65536, 256},
}

// resources is what ptxas -v says of one kernel on one architecture.
type resources struct {
	Registers int `json:"registers"` // a thread
	Shared    int `json:"shared"`    // static, bytes a CTA
	spills    int // bytes
}

// table is resources by entry and architecture.
type table map[string]map[string]resources

// fits gives what is wrong with k's declaration on an architecture.
func (a architecture) fits(k *kernels.Kernel, r resources) error {
	warps := (k.Threads + 31) / 32
	// A warp's registers come in chunks, and each of the four schedulers has a quarter of the file.
	ofWarp := (r.Registers*32 + a.chunk - 1) / a.chunk * a.chunk
	most := a.registers / 4 / max(ofWarp, 1) * 4 // warps
	switch {
	case r.spills > 0:
		return fmt.Errorf("spills %d bytes", r.spills)
	case r.Shared > k.Shared:
		return fmt.Errorf("%d bytes of static shared memory, and Shared says %d", r.Shared, k.Shared)
	case k.Shared > a.sharedCTA:
		return fmt.Errorf("%d bytes of shared memory, a CTA has at most %d", k.Shared, a.sharedCTA)
	case k.CTAs*warps > most:
		return fmt.Errorf("%d registers × %d threads × %d CTAs: an SM has registers for %d such warps", r.Registers, k.Threads, k.CTAs, most)
	case k.CTAs*(k.Shared+a.reserved) > a.shared:
		return fmt.Errorf("%d bytes of shared memory × %d CTAs, an SM has %d", k.Shared+a.reserved, k.CTAs, a.shared)
	case k.CTAs*warps > a.warps || k.CTAs > a.ctas:
		return fmt.Errorf("%d CTAs of %d warps, an SM keeps %d and %d warps", k.CTAs, warps, a.ctas, a.warps)
	}
	return nil
}

// judge compares the logs with the declarations and with the committed table.
func judge(out io.Writer, dir, file string, write, whole bool) error {
	found, err := readLogs(dir)
	if err != nil {
		return err
	}
	var faults []string
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "kernel\tthreads\tCTAs\tshared\tregisters on each architecture")
	declared := map[string]bool{}
	for _, k := range every() {
		declared[k.Entry] = true
		on, ok := found[k.Entry]
		if !ok {
			if whole {
				faults = append(faults, fmt.Sprintf("%s: declared, but in no image", k.Entry))
			}
			continue
		}
		var cells []string
		for _, name := range names(on) {
			cells = append(cells, fmt.Sprintf("%s: %d", name, on[name].Registers))
			if err := architectures[name].fits(k, on[name]); err != nil {
				faults = append(faults, fmt.Sprintf("%s on sm_%s: %v", k.Entry, name, err))
			}
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\n", k.Entry, k.Threads, k.CTAs, k.Shared, strings.Join(cells, "  "))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for entry := range found {
		if !declared[entry] {
			faults = append(faults, entry+": an entry point that no kernel declares")
		}
	}
	slices.Sort(faults)
	if len(faults) > 0 {
		return errors.New(strings.Join(faults, "\nkernels: "))
	}
	old, err := readTable(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if write {
		return writeTable(out, file, old, found, whole)
	}
	return compareTables(file, old, found, whole)
}

func writeTable(out io.Writer, file string, old, found table, whole bool) error {
	if old == nil || whole {
		old = table{}
	}
	for entry, on := range found {
		old[entry] = on
	}
	text, err := json.MarshalIndent(old, "", "\t")
	if err != nil {
		return err
	}
	text = append(compact(text), '\n')
	if before, err := os.ReadFile(file); err == nil && string(before) == string(text) {
		return nil
	}
	fmt.Fprintln(out, "wrote kernels/resources.json")
	return os.WriteFile(file, text, 0o666)
}

var innermost = regexp.MustCompile(`\{\s*("registers": \d+),\s*("shared": \d+)\s*\}`)

// compact puts each innermost object on one line.
func compact(text []byte) []byte { return innermost.ReplaceAll(text, []byte("{$1, $2}")) }

func compareTables(file string, old, found table, whole bool) error {
	var faults []string
	for entry, on := range found {
		for name, r := range on {
			if was, ok := old[entry][name]; !ok || was.Registers != r.Registers || was.Shared != r.Shared {
				faults = append(faults, fmt.Sprintf("%s on sm_%s: %d registers and %d bytes, the file says %d and %d", entry, name, r.Registers, r.Shared, was.Registers, was.Shared))
			}
		}
	}
	if whole {
		for entry := range old {
			if found[entry] == nil {
				faults = append(faults, entry+": in the file, but no longer a kernel")
			}
		}
	}
	if len(faults) == 0 {
		return nil
	}
	slices.Sort(faults)
	return fmt.Errorf("%s is stale (run ci/build-kernels.sh build):\n%s", filepath.Base(file), strings.Join(faults, "\n"))
}

// readTable reads kernels/resources.json.
func readTable(file string) (table, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var t table
	if err := json.Unmarshal(text, &t); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return t, nil
}

// names are the architectures of a row in their order.
func names(on map[string]resources) []string {
	var all []string
	for name := range on {
		all = append(all, name)
	}
	slices.SortFunc(all, func(a, b string) int { return number(a) - number(b) })
	return all
}

func number(name string) int {
	n, err := strconv.Atoi(strings.TrimRight(name, "a"))
	if err != nil {
		return 0
	}
	return n
}

var (
	entryLine  = regexp.MustCompile(`Compiling entry function '([^']+)' for 'sm_(\w+)'`)
	stackLine  = regexp.MustCompile(`(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads`)
	usedLine   = regexp.MustCompile(`Used (\d+) registers`)
	sharedWord = regexp.MustCompile(`(\d+) bytes smem`)
)

// readLogs reads every log of a folder.
func readLogs(dir string) (table, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s: no logs", dir)
	}
	found := table{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if err := found.read(string(text)); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
	}
	return found, nil
}

// read takes in what ptxas -v printed.
func (t table) read(log string) error {
	var entry, arch string
	var r resources
	spillsKnown := false
	for line := range strings.Lines(log) {
		if m := entryLine.FindStringSubmatch(line); m != nil {
			entry, arch, r, spillsKnown = m[1], m[2], resources{}, false
			if _, ok := architectures[arch]; !ok {
				return fmt.Errorf("sm_%s is not in the table of architectures", arch)
			}
		}
		if m := stackLine.FindStringSubmatch(line); m != nil && entry != "" {
			for _, n := range m[2:] { // a stack frame alone is an array that is indexed
				bytes, _ := strconv.Atoi(n)
				r.spills += bytes
			}
			spillsKnown = true
		}
		m := usedLine.FindStringSubmatch(line)
		if m == nil || entry == "" {
			continue
		}
		if !spillsKnown {
			return fmt.Errorf("%s: nothing about spills", entry)
		}
		r.Registers, _ = strconv.Atoi(m[1])
		if m := sharedWord.FindStringSubmatch(line); m != nil {
			r.Shared, _ = strconv.Atoi(m[1])
		}
		if t[entry] == nil {
			t[entry] = map[string]resources{}
		}
		if _, twice := t[entry][arch]; twice {
			return fmt.Errorf("%s: two images have it", entry)
		}
		t[entry][arch] = r
		entry = ""
	}
	return nil
}
