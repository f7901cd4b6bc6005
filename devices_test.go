package godwit

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/godwit-ml/godwit/cpu/simd"
)

func TestDevices(t *testing.T) {
	auto := 0
	for _, d := range Devices() {
		if d.Auto {
			auto++
			if name, err := resolveDevice("auto"); name != d.Name || err != nil {
				t.Errorf("%s says it is auto, which is %q, %v", d.Name, name, err)
			}
		}
		_, err := resolveDevice(d.Name)
		if usable := d.Reason == ""; usable != (err == nil) {
			t.Errorf("%s: Reason %q, but Config.Device gives %v", d.Name, d.Reason, err)
		}
		if d.Reason == "" && d.Detail == "" {
			t.Errorf("%s: nothing is said about it", d.Name)
		}
		if d.Free < 0 || d.Free > d.Total {
			t.Errorf("%s: %d of %d bytes free", d.Name, d.Free, d.Total)
		}
	}
	if auto != 1 {
		t.Errorf("%d devices are what auto takes", auto)
	}
}

// pathOr is the device of a path of the CPU where there is one.
func pathOr(name string) string {
	if p, ok := simd.ParsePath(name); ok && p.Available() {
		return "cpu:" + name
	}
	return "unsupported"
}

func TestResolveDevice(t *testing.T) {
	for _, row := range []struct{ name, env, want string }{
		{"", "", bestCPU()},
		{"auto", "", bestCPU()},
		{"cpu", "", bestCPU()},
		{"reference", "", "reference"},
		{"", "cpu", bestCPU()},
		{"reference", "cuda", "reference"}, // Config beats the environment
		{"cuda", "", "unsupported"},
		{"cuda:0", "", "unsupported"},
		{"cuda:15", "", "unsupported"},
		{"ptx", "", "ptx"},
		{"", "ptx", "ptx"},
		{"cpu:avx2", "", pathOr("avx2")},
		{"cpu:avx512", "", pathOr("avx512")},
		{"cpu:vnni", "", pathOr("vnni")},
		{"cpu:amx", "", pathOr("amx")},
		{"", "cpu:portable", "cpu:portable"},
		{"", "cuda:1", "unsupported"},
		{"cuda:", "", "unknown"},
		{"cuda:-1", "", "unknown"},
		{"cuda:x", "", "unknown"},
		{"cpu:", "", "unknown"},
		{"cpu:mmx", "", "unknown"},
		{"auto:0", "", "unknown"},
		{"ptx:0", "", "unknown"},
		{"CPU", "", "unknown"},
		{" ", "", "unknown"},
		{"", "gpu", "unknown"},
	} {
		t.Setenv("GODWIT_DEVICE", row.env)
		got, err := resolveDevice(row.name)
		var unsupported *UnsupportedError
		var param *ParamError
		switch {
		case errors.As(err, &unsupported):
			got = "unsupported"
			if len(unsupported.Have) == 0 || !strings.Contains(unsupported.What, "this build has no") && !strings.Contains(unsupported.What, "paths of this processor") && !strings.Contains(unsupported.What, "cuInit: CUDA_ERROR_") {
				t.Errorf("%q: %v does not say why, and what there is", row.name, err)
			}
		case errors.As(err, &param):
			got = "unknown"
			if param.Field != "Config.Device" || !strings.Contains(param.Reason, "auto, cpu, reference") {
				t.Errorf("%q: %v does not say what there is", row.name, err)
			}
		}
		if got != row.want {
			t.Errorf("Config.Device %q, $GODWIT_DEVICE %q: got %q, %v; want %q", row.name, row.env, got, err, row.want)
		}
		if fromEnv := row.name == "" && row.env != ""; err != nil && fromEnv != strings.Contains(err.Error(), "$GODWIT_DEVICE") {
			t.Errorf("Config.Device %q, $GODWIT_DEVICE %q: %v", row.name, row.env, err)
		}
	}
}

func TestMemoryOf(t *testing.T) {
	const (
		kb = 1 << 10
		mb = 1 << 20
	)
	meminfo := "MemTotal:       16384 kB\nMemFree:         1024 kB\nMemAvailable:    8192 kB\nHugePages_Total:       0\n"
	rows := []struct {
		name        string
		files       map[string]string
		free, total int64
	}{
		{"no proc", nil, 0, 0},
		{"no MemAvailable", map[string]string{"proc/meminfo": "MemTotal: 10 kB\n"}, 0, 0},
		{"nonsense", map[string]string{"proc/meminfo": "MemTotal: x kB\nMemAvailable: 99999999999999999999 kB\n\n:\n"}, 0, 0},
		{"no groups", map[string]string{"proc/meminfo": meminfo}, 8 * mb, 16 * mb},
		{"version 2, no limit", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n",
			"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "100\n",
		}, 8 * mb, 16 * mb},
		{"version 2, a container", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n",
			"sys/fs/cgroup/memory.max": "4194304\n", "sys/fs/cgroup/memory.current": "3145728\n",
			"sys/fs/cgroup/memory.stat": "anon 7\ninactive_file 1048576\nactive_file 524288\n",
		}, 2*mb + 512*kb, 4 * mb},
		{"version 2, the limit is far above", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n",
			"sys/fs/cgroup/memory.max": "1099511627776\n", "sys/fs/cgroup/memory.current": "0\n",
		}, 8 * mb, 16 * mb},
		{"version 2, an outer group is tighter", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/user.slice/job\n",
			"sys/fs/cgroup/user.slice/job/memory.max": "6291456\n", "sys/fs/cgroup/user.slice/job/memory.current": "0\n",
			"sys/fs/cgroup/user.slice/memory.max": "5242880\n", "sys/fs/cgroup/user.slice/memory.current": "1048576\n",
		}, 4 * mb, 5 * mb},
		{"version 2, over its limit", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a\n",
			"sys/fs/cgroup/a/memory.max": "1048576\n", "sys/fs/cgroup/a/memory.current": "2097152\n",
		}, 0, mb},
		{"version 1", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n1:name=systemd:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "2097152\n", "sys/fs/cgroup/memory/memory.usage_in_bytes": "1048576\n",
			"sys/fs/cgroup/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 524288\ntotal_active_file 0\n",
		}, mb + 512*kb, 2 * mb},
		{"version 1, no limit", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n", "sys/fs/cgroup/memory/memory.usage_in_bytes": "1048576\n",
		}, 8 * mb, 16 * mb},
		{"a path that climbs", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/../../..\nnonsense\n",
			"sys/fs/cgroup/memory.max": "1048576\n", "sys/fs/cgroup/memory.current": "0\n",
		}, mb, mb},
	}
	for _, row := range rows {
		root := fstest.MapFS{}
		for name, text := range row.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if free, total := memoryOf(root); free != row.free || total != row.total {
			t.Errorf("%s: got %d free of %d, want %d of %d", row.name, free, total, row.free, row.total)
		}
	}
}

// TestFreeMemory holds the real files against the code's idea of them.
func TestFreeMemory(t *testing.T) {
	free, total := freeMemory()
	switch {
	case runtime.GOOS != "linux":
		if free != 0 || total != 0 {
			t.Errorf("got %d of %d, want unknown", free, total)
		}
	case total < 64<<20 || free > total:
		t.Errorf("%d of %d bytes free: these tests would not run on such a machine", free, total)
	}
}

func TestProcessorName(t *testing.T) {
	for text, want := range map[string]string{
		"processor\t: 0\nmodel name\t: A  Fast\t CPU @ 2GHz\nmodel name\t: other\n": "A Fast CPU @ 2GHz",
		"processor\t: 0\nCPU part\t: 0xd0c\n":                                       "",
		"":                                                                          "",
	} {
		root := fstest.MapFS{"proc/cpuinfo": &fstest.MapFile{Data: []byte(text)}}
		if got := processorName(root); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got := processorName(fstest.MapFS{}); got != "" {
		t.Errorf("no file: got %q", got)
	}
}
