// The devices of this build: which there are, what the names of Config.Device
// mean, and how much memory is free.

package godwit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/cuda"
	"github.com/godwit-ml/godwit/ptx"
	"github.com/godwit-ml/godwit/runtime"
)

// usableDevices are the names that Config.Device takes here.
func usableDevices() []string {
	names := []string{"auto", "cpu", "reference", "ptx"}
	for p := simd.Best(); ; p-- {
		names = append(names, "cpu:"+p.String())
		if p == simd.Portable {
			break
		}
	}
	for i := range gpus().devices {
		names = append(names, fmt.Sprintf("cuda:%d", i))
	}
	if emulates() {
		names = append(names, "cuda:emu")
	}
	return names
}

// Devices lists the devices this build knows, usable here or not, and of those
// that are not, why. One has Auto: it is what Config.Device "auto" means. GPUs
// are opened to be asked, which takes a moment each.
func Devices() []DeviceInfo {
	free, total := freeMemory()
	list := []DeviceInfo{
		{Name: bestCPU(), Detail: processor() + "; paths: " + simd.Names(), Free: free, Total: total},
		{Name: "reference", Detail: "gonum in float32, to compare with", Free: free, Total: total},
		{Name: "ptx", Detail: "the GPU's kernels in an interpreter, to test them; slow", Free: free, Total: total},
	}
	found := gpus()
	for i, d := range found.devices {
		list = append(list, probed(d, i))
	}
	if found.err != nil {
		list = append(list, DeviceInfo{Name: "cuda", Reason: reasonOf(found.err)})
	}
	if emulates() {
		list = append(list, DeviceInfo{Name: "cuda:emu", Detail: "the driver binding over the interpreter, to test it; slow", Free: free, Total: total})
	}
	auto, _ := autoDevice()
	for i := range list {
		list[i].Auto = list[i].Name == auto
	}
	return list
}

// gpuList is what asking for GPUs gave.
type gpuList struct {
	devices []DeviceInfo
	err     error // why there are none
}

// gpus asks the driver once in a process, and makes no context.
var gpus = sync.OnceValue(func() (l gpuList) {
	found, err := cuda.List()
	if err != nil {
		l.err = err
	}
	for _, g := range found {
		l.devices = append(l.devices, DeviceInfo{Name: fmt.Sprintf("cuda:%d", g.Ordinal), Detail: g.String(), Total: g.Memory})
	}
	return l
})

// probed is a GPU's description with its free memory and, if it has no kernel
// that runs, the reason. It is opened to be asked.
func probed(info DeviceInfo, ordinal int) DeviceInfo {
	d, err := cuda.NewCUDA(ordinal, cuda.Config{})
	if err != nil {
		info.Reason = reasonOf(err)
		return info
	}
	info.Free, info.Total, _ = d.MemInfo() // 0, 0: unknown
	info.Reason = unusable(d)
	for _, k := range d.Kernels() {
		if k.Out != "" {
			info.Detail += "; " + k.Out
		}
	}
	if err := d.Close(); err != nil && info.Reason == "" {
		info.Reason = reasonOf(err)
	}
	return info
}

// unusable says why a device that opened is of no use: "" if it is.
func unusable(d *cuda.Device) string {
	if d.Info().Paged {
		return ""
	}
	for _, k := range d.Kernels() {
		if k.Out != "" {
			return "no attention on it: " + k.Out
		}
	}
	return "no attention on it"
}

// emulates reports whether the build has the driver binding, whose functions can
// be emulated.
var emulates = sync.OnceValue(func() bool {
	d, err := cuda.NewEmu(cuda.Config{})
	return err == nil && d.Close() == nil
})

// autoDevice is what "auto" means here, and why not a GPU: the first that opens
// and has kernels that run. They are asked once in a process.
var autoDevice = sync.OnceValues(func() (name, why string) {
	found := gpus()
	if found.err != nil {
		why = reasonOf(found.err)
	}
	for i, d := range found.devices {
		d = probed(d, i)
		if d.Reason == "" {
			return d.Name, ""
		}
		why = d.Name + ": " + d.Reason
	}
	return bestCPU(), why
})

// bestCPU is the CPU device on the best path of this processor.
func bestCPU() string { return "cpu:" + simd.Best().String() }

// reasonOf is an error without the name of the package it comes from.
func reasonOf(err error) string { return strings.TrimPrefix(err.Error(), "cuda: ") }

// isPath reports whether s names a path of the CPU device, here or elsewhere.
func isPath(s string) bool {
	_, ok := simd.ParsePath(s)
	return ok
}

// resolveDevice gives the device that a Config.Device means; "" is
// $GODWIT_DEVICE, else auto. A device that exists elsewhere is an
// *UnsupportedError, any other name a *ParamError.
func resolveDevice(name string) (canonical string, err error) {
	from := ""
	if name == "" {
		if name = os.Getenv("GODWIT_DEVICE"); name == "" {
			name = "auto"
		} else {
			from = " in $GODWIT_DEVICE"
		}
	}
	base, part, parted := strings.Cut(name, ":")
	reason := ""
	switch {
	case name == "auto":
		canonical, _ = autoDevice()
		return canonical, nil
	case name == "cpu":
		return bestCPU(), nil
	case name == "reference":
		return name, nil
	case name == "ptx":
		return name, nil
	case base == "cpu" && isPath(part):
		if path, _ := simd.ParsePath(part); path.Available() {
			return name, nil
		}
		reason = "the paths of this processor in this build are " + simd.Names()
	case name == "cuda:emu":
		if emulates() {
			return name, nil
		}
		reason = reasonOf(gpus().err)
	case base == "cuda" && (!parted || isOrdinal(part)):
		n, _ := strconv.Atoi(part)
		found := gpus()
		switch {
		case n < len(found.devices) && found.devices[n].Reason == "":
			return found.devices[n].Name, nil
		case n < len(found.devices):
			reason = found.devices[n].Reason
		case found.err != nil:
			reason = reasonOf(found.err)
		default:
			reason = fmt.Sprintf("there are %d GPUs, from 0 on", len(found.devices))
		}
	default:
		return "", &ParamError{Field: "Config.Device", Value: name, Reason: "no such device" + from + "; there is: " + strings.Join(usableDevices(), ", ")}
	}
	return "", &UnsupportedError{What: fmt.Sprintf("device %q%s (%s)", name, from, reason), Have: usableDevices()}
}

// openDevice opens the device that resolveDevice gave, and for one that may lack
// an operation its fallback.
func openDevice(cfg Config) (dev, fallback runtime.Device, err error) {
	host := func() runtime.Device { return cpu.NewReference(cpu.Config{Threads: cfg.Threads}) }
	var gpu *cuda.Device
	base, part, _ := strings.Cut(cfg.Device, ":")
	switch {
	case base == "cpu" && part != "":
		opt := cfg.cpuOptions(part)
		if opt.MemoryLimit = cfg.MemoryLimit; opt.MemoryLimit == 0 {
			free, _ := freeMemory()
			opt.MemoryLimit = free - free/10 // 0: it is not known
		}
		fast, err := cpu.New(opt)
		if err != nil {
			return nil, nil, &DeviceError{Device: cfg.Device, Op: "open", Err: err}
		}
		return fast, nil, nil
	case base == "ptx":
		gpu, err = cuda.NewPTX(cuda.Config{Mode: ptx.Config{Workers: cfg.Threads}})
	case part == "emu":
		gpu, err = cuda.NewEmu(cuda.Config{Mode: ptx.Config{Workers: cfg.Threads}})
	case base == "cuda":
		n, _ := strconv.Atoi(part) // resolveDevice made it
		gpu, err = cuda.NewCUDA(n, cuda.Config{})
	default:
		return host(), nil, nil
	}
	if err == nil {
		err = prepare(gpu)
	}
	if err != nil {
		return nil, nil, &DeviceError{Device: cfg.Device, Op: "open", Err: err}
	}
	return gpu, host(), nil
}

// prepare loads the kernels of caches before anything is kept in one: a device
// without them leaves all three operations to the fallback. It closes a device
// that fails.
func prepare(gpu *cuda.Device) error {
	if err := gpu.Prepare("StoreKV", "CopyBlocks", "Attention"); err != nil {
		return errors.Join(err, gpu.Close())
	}
	return nil
}

// deviceMemory is the memory of a device that is not open, bytes; 0: it is not
// known. Of a GPU it is all there is, as asking what is free takes a context.
func deviceMemory(name string) int64 {
	for _, d := range gpus().devices {
		if d.Name == name {
			return d.Total
		}
	}
	free, _ := freeMemory()
	return free
}

// freeOn is the free memory of an open device, bytes; 0: it is not known. What
// is emulated lies in the memory of this machine.
func freeOn(dev runtime.Device) int64 {
	free, _ := freeMemory()
	if gpu, ok := dev.(*cuda.Device); ok {
		if there, _, err := gpu.MemInfo(); err == nil && (strings.HasPrefix(gpu.Info().Name, "cuda:") && gpu.Info().Name != "cuda:emu" || there < free) {
			return there
		}
	}
	return free
}

func isOrdinal(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

// processor says what computes: its name where the system tells it, else the
// architecture, and the threads a model takes unless it is told otherwise.
func processor() string {
	name := ""
	if goruntime.GOOS == "linux" {
		name = processorName(os.DirFS("/"))
	}
	if name == "" {
		name = goruntime.GOOS + "/" + goruntime.GOARCH
	}
	return fmt.Sprintf("%s, threads: %d", name, goruntime.GOMAXPROCS(0))
}

// processorName is the first processor's of /proc/cpuinfo; on arm64 there is
// none.
func processorName(root fs.FS) string {
	text, err := fs.ReadFile(root, "proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return ""
}

// freeMemory gives the memory of this process's machine in bytes: what can be
// taken without pushing others out, and all there is; 0, 0 where the system
// does not tell (only Linux does here). The limits of the control groups around
// the process count as the machine's edge, so that a container sees its own.
func freeMemory() (free, total int64) {
	if goruntime.GOOS != "linux" {
		return 0, 0
	}
	return memoryOf(os.DirFS("/"))
}

// memoryOf reads MemAvailable and MemTotal, then lowers them to what each
// control group leaves. Page cache that can be dropped is not counted as used.
func memoryOf(root fs.FS) (free, total int64) {
	memory := readCounters(root, "proc/meminfo")
	free, total = memory["MemAvailable"]<<10, memory["MemTotal"]<<10
	if free <= 0 || total <= 0 {
		return 0, 0
	}
	for _, group := range memoryGroups(root) {
		limit, ok := readLimit(root, path.Join(group.dir, group.limit))
		used, known := readLimit(root, path.Join(group.dir, group.used))
		if !ok || !known {
			continue
		}
		stat := readCounters(root, path.Join(group.dir, "memory.stat"))
		cache := stat[group.prefix+"inactive_file"] + stat[group.prefix+"active_file"]
		total = min(total, limit)
		free = min(free, max(0, limit-max(0, used-cache)))
	}
	return free, total
}

// memoryGroup is a control group with a limit of memory: its folder, the files
// of version 1 or 2 in it, and what the names of its inclusive counters begin with.
type memoryGroup struct{ dir, limit, used, prefix string }

// memoryGroups gives the process's groups from its own to the outermost. Seen
// from inside a container the path may be that of the host: what is not there
// is skipped, and the mount's own folder comes last in any case.
func memoryGroups(root fs.FS) []memoryGroup {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	var groups []memoryGroup
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		var mount string
		var group memoryGroup
		switch controllers := "," + fields[1] + ","; {
		case controllers == ",,":
			mount, group = "sys/fs/cgroup", memoryGroup{limit: "memory.max", used: "memory.current"}
		case strings.Contains(controllers, ",memory,"):
			mount, group = "sys/fs/cgroup/memory", memoryGroup{limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes", prefix: "total_"}
		default:
			continue
		}
		for at := path.Clean("/" + fields[2]); ; at = path.Dir(at) {
			group.dir = path.Join(mount, at)
			groups = append(groups, group)
			if at == "/" {
				break
			}
		}
	}
	return groups
}

// readLimit reads a file that holds one number of bytes; "max" is no limit, and
// so is the number that version 1 has for it, which is more than any machine has.
func readLimit(root fs.FS, name string) (int64, bool) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil {
		return 0, false
	}
	return int64(min(n, math.MaxInt64)), true
}

// readCounters reads lines of a name and a number, as "MemFree:  12 kB" or
// "inactive_file 34".
func readCounters(root fs.FS, name string) map[string]int64 {
	counters := map[string]int64{}
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return counters
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil && n < math.MaxInt64>>10 {
			counters[strings.TrimSuffix(fields[0], ":")] = n
		}
	}
	return counters
}
