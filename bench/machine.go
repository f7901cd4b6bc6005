package main

// What the figures were taken on: processor, memory, system, and what was built.

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/godwit-ml/godwit/cpu/simd"
)

// machine describes where a run took place. What the system does not tell is empty.
type machine struct {
	Processor string   `json:"processor"`
	Model     string   `json:"model"` // vendor, family and model, as "GenuineIntel-6-143"
	Sets      []string `json:"sets"`  // instruction sets that matter here, in the system's words
	Cores     int      `json:"cores"` // logical ones that this process may use
	Caches    []string `json:"caches,omitempty"`
	Memory    int64    `json:"memory,omitempty"` // bytes
	System    string   `json:"system"`
	Go        string   `json:"go"`
	Commit    string   `json:"commit,omitempty"`
	Path      string   `json:"path"` // the best path of godwit's CPU device
}

// setsThatMatter are the flags of /proc/cpuinfo that kernels are written for.
var setsThatMatter = []string{"avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "bf16", "i8mm", "sve"}

func thisMachine() machine {
	m := machine{Cores: goruntime.NumCPU(), System: goruntime.GOOS + "/" + goruntime.GOARCH, Go: goruntime.Version(), Path: simd.Best().String()}
	info := cpuinfo()
	m.Processor = info["model name"]
	if info["vendor_id"] != "" {
		m.Model = strings.Join([]string{info["vendor_id"], info["cpu family"], info["model"]}, "-")
	}
	flags := strings.Fields(info["flags"] + " " + info["Features"])
	for _, s := range setsThatMatter {
		if slices.Contains(flags, s) {
			m.Sets = append(m.Sets, s)
		}
	}
	for i := range 5 {
		dir := "/sys/devices/system/cpu/cpu0/cache/index" + strconv.Itoa(i)
		if kind := firstLine(dir + "/type"); kind == "Data" || kind == "Unified" {
			m.Caches = append(m.Caches, "L"+firstLine(dir+"/level")+" "+firstLine(dir+"/size"))
		}
	}
	if f := strings.Fields(firstLine("/proc/meminfo")); len(f) > 1 {
		kb, _ := strconv.ParseInt(f[1], 10, 64)
		m.Memory = kb << 10
	}
	if release := firstLine("/proc/sys/kernel/osrelease"); release != "" {
		m.System += ", Linux " + release
	}
	m.Commit = commit()
	return m
}

// cpuinfo is what /proc/cpuinfo says of the first processor.
func cpuinfo() map[string]string {
	info := map[string]string{}
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return info
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan() && lines.Text() != ""; {
		key, value, _ := strings.Cut(lines.Text(), ":")
		info[strings.TrimSpace(key)] = strings.Join(strings.Fields(value), " ")
	}
	return info
}

func firstLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}

// commit is the tree's, with a mark if it has changes.
func commit() string {
	git := func(args ...string) string {
		out, err := exec.Command("git", args...).Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	id := git("rev-parse", "--short=12", "HEAD")
	if id != "" && git("status", "--porcelain", "--untracked-files=no") != "" {
		id += ", changed"
	}
	return id
}

// busyTime is how long the machine's processors have worked, in seconds; false
// where the system does not tell.
func busyTime() (float64, bool) {
	f := strings.Fields(firstLine("/proc/stat"))
	if len(f) < 8 || f[0] != "cpu" {
		return 0, false
	}
	var sum float64
	for i, s := range f[1:8] { // user nice system idle iowait irq softirq
		if v, err := strconv.ParseFloat(s, 64); err == nil && i != 3 && i != 4 {
			sum += v
		}
	}
	return sum / clockTicks, true
}

// clockTicks a second are what Linux counts processor time in.
const clockTicks = 100

// processTime is the processor time of a process and of children it has waited for,
// in seconds.
func processTime(pid int) float64 {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may have spaces
	f := strings.Fields(rest)
	if len(f) < 15 {
		return 0
	}
	var sum float64
	for _, s := range f[11:15] { // utime stime cutime cstime
		v, _ := strconv.ParseFloat(s, 64)
		sum += v
	}
	return sum / clockTicks
}
