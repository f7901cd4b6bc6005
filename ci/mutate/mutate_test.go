package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseMutant(t *testing.T) {
	diff := "--- a/nn/norm.go\n+++ b/nn/norm.go\n@@ -1,3 +1,3 @@\n a\n-# class: not a header\n+c\n"
	m, err := parseMutant("x", "# class: eps\n# why: because\n# expect: ./nn .\n# conform: gpt2\n"+diff)
	if err != nil {
		t.Fatal(err)
	}
	if m.class != "eps" || m.why != "because" || m.file != "nn/norm.go" || strings.Join(m.expect, " ") != "./nn ." || strings.Join(m.conform, " ") != "gpt2" {
		t.Errorf("got %+v", m)
	}
	if m, err = parseMutant("x", "# class: eps\n"+diff); err != nil || strings.Join(m.expect, " ") != "./nn" {
		t.Errorf("without expect: want the file's own package, got %v, %v", m.expect, err)
	}
	for file, want := range map[string]string{"kernels/norm.cu": "norm", "kernels/lab/matmul_naive.cu": "lab/matmul_naive", "kernels/vector.cuh": ""} {
		m, err := parseMutant("x", "# class: eps\n# tests: TestKernels/norm\n"+strings.ReplaceAll(diff, "nn/norm.go", file))
		if err != nil || strings.Join(m.expect, " ") != "./kernels" || m.tests != "TestKernels/norm" || !m.ofKernel() {
			t.Errorf("%s: got %+v, %v", file, m, err)
		}
		if source, ok := m.compiled(); !ok || source != want {
			t.Errorf("%s: compiles %q, %v, want %q", file, source, ok, want)
		}
	}
	if m, err := parseMutant("x", "# class: eps\n"+strings.ReplaceAll(diff, "nn/norm.go", "kernels/ptx/norm.ptx")); err != nil || !m.ofKernel() {
		t.Errorf("PTX: got %+v, %v", m, err)
	} else if _, ok := m.compiled(); ok {
		t.Error("PTX would be compiled")
	}
	two := strings.Replace(diff, "+c\n", "+c\n@@ -9 +9 @@\n-a\n+b\n", 1)
	for name, text := range map[string]string{
		"no line \"# class":  diff,
		"2 hunks":            "# class: eps\n" + two,
		"0 hunks":            "# class: eps\n+++ b/nn/norm.go\n",
		"changes one file":   "# class: eps\n" + diff + strings.ReplaceAll(diff, "norm", "mlp"),
		"a Go file that is":  "# class: eps\n" + strings.ReplaceAll(diff, "norm.go", "norm_test.go"),
		"PTX of kernels":     "# class: eps\n" + strings.ReplaceAll(diff, "norm.go", "norm.cu"),
		"write it as ./fold": "# class: eps\n# expect: nn\n" + diff,
		"unknown header":     "# class: eps\n# expects: ./nn\n" + diff,
	} {
		if _, err := parseMutant("x", text); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("want an error with %q, got %v", name, err)
		}
	}
}

func TestChoose(t *testing.T) {
	all := func() []mutant {
		var ms []mutant
		for _, n := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			ms = append(ms, mutant{name: n, class: "class-" + n})
		}
		return ms
	}
	names := func(o options) string {
		ms, err := choose(all(), &o)
		if err != nil {
			t.Fatal(err)
		}
		var s string
		for _, m := range ms {
			s += m.name
		}
		return s
	}
	if a, b := names(options{n: 3, seed: 5}), names(options{n: 3, seed: 5}); a != b || len(a) != 3 {
		t.Errorf("the same seed chose %q and %q", a, b)
	}
	if a, b := names(options{n: 6, seed: 5}), names(options{n: 6, seed: 6}); a == b {
		t.Errorf("two seeds chose %q", a)
	}
	if got := names(options{pattern: "^(b|class-d)$"}); got != "bd" {
		t.Errorf("-run chose %q", got)
	}
	if got := names(options{skip: "^(b|class-d)$", pattern: "^[a-d]$"}); got != "ac" {
		t.Errorf("-skip chose %q", got)
	}
	if _, err := choose(all(), &options{pattern: "z"}); err == nil {
		t.Error("no mutant matches, and no error")
	}
}

func TestJudge(t *testing.T) {
	line := func(action, test, output string) string {
		return `{"Action":"` + action + `","Package":"` + modulePath + `/nn","Test":"` + test + `","Output":"` + output + "\"}\n"
	}
	rows := []struct {
		name, out, by string
		failed        bool
		want          outcome
	}{
		{"passes", line("pass", "TestA", ""), "", false, survived},
		{"parent first", line("fail", "TestA", "") + line("fail", "TestA/sub", "") + line("fail", "TestB", ""), "nn TestA/sub", true, killed},
		{"child first", line("fail", "TestA/sub", "") + line("fail", "TestA", ""), "nn TestA/sub", true, killed},
		{"prefix is no child", line("fail", "TestA", "") + line("fail", "TestAll", ""), "nn TestA", true, killed},
		{"panic", line("output", "TestA", `panic: boom\n`) + line("fail", "TestA", ""), "nn TestA", true, panicked},
		{"a test that says panic", line("output", "TestA", `    x_test.go:1: want panic: no\n`) + line("fail", "TestA", ""), "nn TestA", true, killed},
		{"does not build", "x.go:1: undefined\n", "go test failed, but no test did", true, doesNotBuild},
	}
	for _, row := range rows {
		if v := judge([]byte(row.out), row.failed); v.outcome != row.want || v.by != row.by {
			t.Errorf("%s: got %s %q, want %s %q", row.name, v.outcome, v.by, row.want, row.by)
		}
	}
}

// TestAttack runs mutants of a module made here, one for each outcome.
func TestAttack(t *testing.T) {
	if testing.Short() {
		t.Skip("runs go test")
	}
	for _, tool := range []string{"git", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	t.Setenv("FIXTURES", filepath.Join(t.TempDir(), "absent"))
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module "+modulePath+"\n\ngo 1.26\n")
	const source = "package p\n\nfunc half(x int) int {\n\treturn x / 2\n}\n\nfunc spare() int {\n\treturn 1\n}\n"
	write("p.go", source)
	write("p_test.go", "package p\n\nimport \"testing\"\n\nfunc TestHalf(t *testing.T) {\n\tif half(8) != 4 {\n\t\tt.Error(\"wrong\")\n\t}\n\tspare()\n}\n")
	if out, err := exec.Command("git", "init", "-q", root).CombinedOutput(); err != nil {
		t.Fatalf("git init: %v\n%s", err, out)
	}
	mutants := t.TempDir()
	patch := func(name, hunk string) {
		t.Helper()
		text := "# class: test\n--- a/p.go\n+++ b/p.go\n" + hunk
		if err := os.WriteFile(filepath.Join(mutants, name+".patch"), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	patch("a-killed", "@@ -3,3 +3,3 @@\n func half(x int) int {\n-\treturn x / 2\n+\treturn x / 3\n }\n")
	patch("b-survives", "@@ -7,3 +7,3 @@\n func spare() int {\n-\treturn 1\n+\treturn 2\n }\n")
	patch("c-compile", "@@ -3,3 +3,3 @@\n func half(x int) int {\n-\treturn x / 2\n+\treturn y\n }\n")
	patch("d-panics", "@@ -3,3 +3,3 @@\n func half(x int) int {\n-\treturn x / 2\n+\treturn x / (x - x)\n }\n")
	patch("e-apply", "@@ -3,3 +3,3 @@\n func third(x int) int {\n-\treturn x / 3\n+\treturn x / 2\n }\n")

	ms, err := readMutants(mutants)
	if err != nil {
		t.Fatal(err)
	}
	work, err := newWorkspace(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	defer work.remove()
	if err := work.applies(t.Context(), ms); err == nil || !strings.HasSuffix(err.Error(), ": e-apply") {
		t.Errorf("the one that does not apply: got error %v", err)
	}
	var out strings.Builder
	err = attack(t.Context(), &out, work, ms, options{timeout: time.Minute})
	if err == nil || err.Error() != "not killed: b-survives, c-compile, d-panics, e-apply" {
		t.Errorf("got error %v", err)
	}
	for _, want := range []string{"killed    . TestHalf", "SURVIVED", "NO BUILD  go build", "PANIC     . TestHalf", "NO APPLY", "mutants: 1 of 5 killed"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, out.String())
		}
	}
	if got, err := os.ReadFile(filepath.Join(work.dir, "p.go")); err != nil || string(got) != source {
		t.Errorf("the workspace is not restored: %v\n%s", err, got)
	}

	// A failure elsewhere, mutant or not, kills nobody.
	sick, err := newWorkspace(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	defer sick.remove()
	if err := os.MkdirAll(filepath.Join(sick.dir, "q"), 0o777); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"q/q.go": "package q\n", "q/q_test.go": "package q\n\nimport \"testing\"\n\nfunc TestSick(t *testing.T) {\n\tt.Error(1)\n}\n"} {
		if err := os.WriteFile(filepath.Join(sick.dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	err = attack(t.Context(), &out, sick, ms[1:2], options{timeout: time.Minute})
	if err == nil || !strings.Contains(err.Error(), "the tests fail without any mutant: q TestSick") {
		t.Errorf("a sick tree: got error %v", err)
	}
}
