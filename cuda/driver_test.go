//go:build cuda && cgo && linux && (amd64 || arm64)

package cuda

// Finding the driver: libraries of every bad kind take the real one's place, in
// a process of their own.

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// child, if set, makes a test run only what its child process is to do.
const child = "GODWIT_TEST_CHILD"

// withDriver compiles a libcuda.so.1 and runs the named test in a process that
// finds it.
func withDriver(t *testing.T, test, source string) string {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("gcc is not installed")
	}
	dir := t.TempDir()
	library := filepath.Join(dir, "libcuda.so.1")
	must(t, os.WriteFile(filepath.Join(dir, "driver.c"), []byte(source), 0o600))
	if source == "no library" {
		must(t, os.WriteFile(library, []byte("no library"), 0o600))
	} else if out, err := exec.Command(gcc, "-shared", "-fPIC", "-o", library, filepath.Join(dir, "driver.c")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.v")
	c.Env = append(os.Environ(), child+"=1", "LD_LIBRARY_PATH="+dir)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// symbols are those of the table, by name.
func symbols(t *testing.T) map[string]string {
	t.Helper()
	header, err := os.ReadFile("cuda.h")
	must(t, err)
	all := map[string]string{}
	for _, m := range regexp.MustCompile(`X\((cu\w+), (cu\w+), `).FindAllStringSubmatch(string(header), -1) {
		all[m[1]] = m[2]
	}
	if len(all) < 150 {
		t.Fatalf("%d calls", len(all))
	}
	return all
}

func TestDriverNotThere(t *testing.T) {
	if os.Getenv(child) != "" {
		_, err := NewCUDA(0, Config{})
		_, listErr := List()
		for _, err := range []error{err, listErr} {
			var call *DriverError
			if !errors.As(err, &call) {
				t.Fatalf("%v", err)
			}
			t.Logf("SAID %v", err)
		}
		// The table is whole: an emulated device works.
		d, err := NewEmu(Config{})
		must(t, err)
		if _, err := NewCUDA(0, Config{}); err == nil || !strings.Contains(err.Error(), "same time") {
			t.Errorf("a real GPU beside an emulated one: %v", err)
		}
		must(t, d.Close())
		return
	}
	all := symbols(t)
	function := func(name, body string) string { return "int " + all[name] + "() { " + body + " }\n" }
	old, broken := "", ""
	for name := range all {
		switch name {
		case "cuMemHostAlloc":
			broken += function(name, "return 0;")
		case "cuInit":
			old += function(name, "return 0;")
			broken += function(name, "return 803;")
		case "cuGetErrorName", "cuGetErrorString":
		default:
			old += function(name, "return 0;")
			broken += function(name, "return 0;")
		}
	}
	strange := strings.Replace(broken, "return 803;", "return 7777;", 1) +
		"int cuGetErrorName(int code, const char **p) { *p = \"CUDA_ERROR_STRANGE\"; return 0; }\n" +
		"int cuGetErrorString(int code, const char **p) { *p = \"as the driver says\"; return 0; }\n"
	none := strings.Replace(broken, "return 803;", "return 0;", 1)
	none = strings.Replace(none, function("cuDeviceGetCount", "return 0;"), "int cuDeviceGetCount(int *n) { *n = 0; return 0; }\n", 1)
	for name, c := range map[string]struct{ source, want string }{
		"no library":             {"no library", "CUDA_ERROR_SHARED_OBJECT_INIT_FAILED (303): "},
		"too old":                {old, "libcuda.so.1 is too old: it has no cuMemHostAlloc"},
		"does not fit":           {broken, "cuInit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803)"},
		"an unknown error":       {strange, "cuInit: CUDA_ERROR_STRANGE (7777): as the driver says"},
		"a driver without a GPU": {none, "cuDeviceGetCount: CUDA_ERROR_NO_DEVICE (100)"},
	} {
		out := withDriver(t, "TestDriverNotThere", c.source)
		if strings.Count(out, "SAID ") != 2 || strings.Count(out, c.want) != 2 {
			t.Errorf("%s: want twice %q in\n%s", name, c.want, out)
		}
	}
}

// TestListed: what a driver with two GPUs tells of them.
func TestListed(t *testing.T) {
	if os.Getenv(child) != "" {
		gpus, err := List()
		must(t, err)
		want := []GPU{{0, "GPU 0", 9, 0, 132, 80 << 30}, {1, "GPU 1", 9, 0, 132, 80 << 30}}
		if !slices.Equal(gpus, want) || gpus[1].String() != "GPU 1, compute capability 9.0, 132 multiprocessors, 80.0 GiB" {
			t.Errorf("%+v", gpus)
		}
		return
	}
	source := "#include <stdio.h>\n#include <stddef.h>\n"
	for name, symbol := range symbols(t) {
		switch name {
		case "cuDeviceGetCount":
			source += "int cuDeviceGetCount(int *n) { *n = 2; return 0; }\n"
		case "cuDeviceGet":
			source += "int cuDeviceGet(int *d, int i) { *d = i; return 0; }\n"
		case "cuDeviceGetName":
			source += "int cuDeviceGetName(char *s, int n, int d) { snprintf(s, n, \"GPU %d\", d); return 0; }\n"
		case "cuDeviceTotalMem":
			source += "int " + symbol + "(size_t *n, int d) { *n = (size_t)80 << 30; return 0; }\n"
		case "cuDeviceGetAttribute":
			source += "int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 9 : a == 16 ? 132 : 0; return 0; }\n"
		default:
			source += "int " + symbol + "() { return 0; }\n"
		}
	}
	withDriver(t, "TestListed", source)
}

// TestHeader compares cuda.h with NVIDIA's own, where one is installed: every
// number, the layout of every struct, and the type of every call's symbol.
func TestHeader(t *testing.T) {
	theirs := os.Getenv("CUDA_INCLUDE")
	if cache, err := os.UserCacheDir(); err == nil && theirs == "" {
		if found, _ := filepath.Glob(filepath.Join(cache, "godwit-ci", "cuda-*", "nvidia", "cu*", "include", "cuda.h")); len(found) > 0 {
			theirs = filepath.Dir(found[0])
		}
	}
	gcc, err := exec.LookPath("gcc")
	if theirs == "" || err != nil {
		t.Skip("NVIDIA's cuda.h (CUDA_INCLUDE) or gcc is not installed")
	}
	raw, err := os.ReadFile("cuda.h")
	must(t, err)
	header := string(raw)
	types := "#define __CUDA_API_VERSION_INTERNAL\n#include <cuda.h>\n"
	for _, m := range regexp.MustCompile(`X\((cu\w+), (cu\w+), \((.*?)\)\)`).FindAllStringSubmatch(header, -1) {
		types += "_Static_assert(__builtin_types_compatible_p(__typeof__(&" + m[2] + "), CUresult (*)(" + m[3] + ")), \"" + m[1] + "\");\n"
	}
	values := "#include <stddef.h>\n#include <cuda.h>\n"
	n := 0
	for _, m := range regexp.MustCompile(`\b(CU\w+)(?: =)? (\d+)[,\n]`).FindAllStringSubmatch(header, -1) {
		if m[1] != "CUDA_VERSION" {
			values += "_Static_assert(" + m[1] + " == " + m[2] + ", \"" + m[1] + "\");\n"
			n++
		}
	}
	if n < 250 {
		t.Fatalf("%d numbers", n)
	}
	// The same words give the layouts of both headers, as the names of fields and
	// the values of constants agree.
	layout := "#include <stddef.h>\n#include <stdio.h>\n#include <cuda.h>\nint main(void) {\n"
	for _, m := range regexp.MustCompile(`typedef struct \{([^{}]*)\} (CUDA_\w+);`).FindAllStringSubmatch(header, -1) {
		layout += "printf(\"" + m[2] + " %zu\\n\", sizeof(" + m[2] + "));\n"
		for _, f := range regexp.MustCompile(`(\w+)[,;]`).FindAllStringSubmatch(m[1], -1) {
			layout += "printf(\"" + m[2] + "." + f[1] + " %zu\\n\", offsetof(" + m[2] + ", " + f[1] + "));\n"
		}
	}
	layout += "}\n"
	dir := t.TempDir()
	compile := func(name, source, include string, more ...string) {
		file := filepath.Join(dir, name+".c")
		must(t, os.WriteFile(file, []byte(source), 0o600))
		if out, err := exec.Command(gcc, append([]string{"-I" + include, file}, more...)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %s", name, out)
		}
	}
	compile("types", types, theirs, "-fsyntax-only")
	compile("values", values, theirs, "-fsyntax-only")
	layouts := map[string]string{}
	for _, include := range []string{theirs, "."} {
		program := filepath.Join(dir, "layout")
		compile("layout", layout, include, "-o", program)
		out, err := exec.Command(program).Output()
		must(t, err)
		layouts[include] = string(out)
	}
	if layouts["."] != layouts[theirs] || strings.Count(layouts["."], "\n") < 100 {
		t.Errorf("ours:\n%s\ntheirs:\n%s", layouts["."], layouts[theirs])
	}
}
