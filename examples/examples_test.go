// Tests of the programs in this folder: that they build, that they do on real
// models what they claim, and that docs/uses.md quotes what they print.
//
// The models are those of ci/real-models.sh. Tests that want them read their folder, an absolute
// path, from GODWIT_MODELS, and skip without; -update takes the quotes anew.
//
//	GODWIT_MODELS=$PWD/models go test ./examples
package examples_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const page = "../docs/uses.md"

var update = flag.Bool("update", false, "write what the programs print into "+page)

// programs are the examples, each with what its output must say on the real models, and must not, so that
// a new quote on the page cannot hide a wrong answer, nor a right one where the page says that it is wrong.
var programs = []struct {
	name      string
	must, not []string
}{
	{name: "understand", must: []string{
		`(?m)^The goalkeeper saved .* sports$`,
		`(?m)^Simmer the lentils .* cooking$`,
		`(?m)^Parliament votes .* politics$`,
		`(?m)^The rocket lifted .* space travel$`,
		`(?m)^The pianist played .* classical music$`,
		`(?m)^right .* 10 of 10$`,
		`(?m)^1 A man is playing a guitar\. .* 2$`,
		`(?m)^2 Someone makes music .* 1$`,
		`(?m)^3 The bakery .* 4$`,
		`(?m)^4 This shop bakes .* 3$`,
		`(?m)^The senator missed the penalty\. → politics$`,
		`(?m)^I liked the film\. → I did not like the film\.$`,
	}},
	{name: "generate", must: []string{
		`→ She bought bread and milk\.`,
		`→ The children played in the garden\.`,
		`→ He has two sisters\.`,
		`→ The city library of Marlow will stay open until ten`,
		`FALLS SHORT\n.* found a garden\. It\n  → (.*The robot was very happy\.){3}`,
		`→ The dog ran to the door and barks\.`,
		`→ .*Elmridge.* has plans to build a new bridge`,
	}, not: []string{`→ .*barked`, `→ .*cracks`}},
	{name: "knowledge", must: []string{
		`cross the river\?\n.*crossing with the ferry costs two euros.*\n    answer .*(2|two) euros`,
		`buy fresh fish\?\n.*Fresh fish is sold.*\n    answer .*Thursdays and Saturdays`,
		`bridge closed\?\n.*old stone bridge is closed.*\n    answer .*cracks in two pillars`,
		`founded Elmridge\?\n.*rope maker Ida Brandt.*\n    answer .*Ida Brandt`,
		`Museum open on Mondays\?\n.*It is closed on Mondays.*\n    answer .* is open on Mondays`,
		`two adults pay .*\?\n.*crossing with the ferry costs two euros`,
		`football cup\?\n    passage  0\.[01]`, // far from every passage
	}, not: []string{
		`without .*(2 euros|two euros|Thursdays and Saturdays|cracks|Brandt)`,
		`two adults .*\n.*\n    answer .*(4|four)`,
	}},
	{name: "reason", must: []string{
		`sunny Athens, Peter\n.*\n    few-shot   Name: Peter \| City: Athens\n`,
		`lives in Dublin\.\n.*\n    few-shot   Name: Clara \| City: Dublin\n`,
		`Sam has 3 bags .*\n.*\n.*\n    steps      3 \* 4 = 12\. 12 \+ 5 = 17\. The answer is 17\.`,
		`Tom has 3 cartons .*\n.*\n.*\n    steps      3 \* 6 = 18\. 18 \+ 7 = 25\. The answer is 25\.`,
		`Rome for Madrid.*\n    few-shot   Name: Nina \| City: `,
		`Kim has 5 rows .*\n    steps      5 \* 2 = 10\. 10 \+ 2 = 22\.`,
	}, not: []string{
		`zero-shot .*(Name: |\b17\b|\b25\b)`,
		`few-shot   The answer is (17|25)\.`,
		`few-shot .*Madrid`,
		`Sam has 5 apples .*\n    steps .*The answer is 17\.`,
	}},
}

func TestPrograms(t *testing.T) {
	bin := build(t)
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			exe := filepath.Join(bin, p.name)
			t.Run("no models", func(t *testing.T) {
				_, stderr, err := start(t, exe, t.TempDir())
				if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
					t.Errorf("an empty folder: %v, want exit status 1", err)
				}
				if !strings.Contains(stderr, "cannot be opened") || strings.Count(stderr, "\n") != 1 {
					t.Errorf("an empty folder: want one line that names what cannot be opened, got %q", stderr)
				}
			})
			dir := os.Getenv("GODWIT_MODELS")
			if dir == "" {
				t.Skip("GODWIT_MODELS is not set: it names the folder that ci/real-models.sh filled")
			}
			out, stderr, err := start(t, exe, dir)
			if err != nil {
				t.Fatalf("%v: %s", err, stderr)
			}
			for _, re := range p.must {
				if !regexp.MustCompile(re).MatchString(out) {
					t.Errorf("the output lacks %s", re)
				}
			}
			for _, re := range p.not {
				if got := regexp.MustCompile(re).FindString(out); got != "" {
					t.Errorf("the output has %q, as %s", got, re)
				}
			}
			checkQuotes(t, p.name, out)
			if t.Failed() {
				t.Logf("the output:\n%s", out)
			}
		})
	}
}

// build makes the programs, which is all that can be said of them without models.
func build(t *testing.T) string {
	t.Helper()
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("the go command is not in PATH, and these tests build programs")
	}
	bin := t.TempDir()
	args := []string{"build", "-o", bin + string(filepath.Separator)}
	for _, p := range programs {
		args = append(args, "./"+p.name)
	}
	if _, stderr, err := start(t, tool, args...); err != nil {
		t.Fatalf("go %s: %v: %s", strings.Join(args, " "), err, stderr)
	}
	return bin
}

func start(t *testing.T, exe string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, diag strings.Builder
	c := exec.CommandContext(ctx, exe, args...)
	c.Stdout, c.Stderr = &out, &diag
	err = c.Run()
	return out.String(), diag.String(), err
}

// quote finds the blocks of the page that hold a program's output. Each is a stanza of it, in its order.
func quote(program string) *regexp.Regexp {
	return regexp.MustCompile("(?s)<!-- output: " + program + " -->\n```text\n(.*?)```\n")
}

// checkQuotes compares the page with what a program printed: its blocks, taken together, are the output,
// so that nothing is left out.
func checkQuotes(t *testing.T, program, out string) {
	t.Helper()
	text := readPage(t)
	stanzas := strings.SplitAfter(out, "\n\n")
	blocks := quote(program).FindAllStringSubmatchIndex(text, -1)
	if len(blocks) != len(stanzas) {
		t.Fatalf("%s has %d blocks of %s, which prints %d stanzas", page, len(blocks), program, len(stanzas))
	}
	fresh, end := "", 0
	for i, b := range blocks {
		want := strings.TrimRight(stanzas[i], "\n") + "\n"
		if got := text[b[2]:b[3]]; got != want && !*update {
			t.Errorf("%s quotes\n%s\nbut %s prints\n%s\n(go test ./examples -update takes it anew)", page, got, program, want)
		}
		fresh += text[end:b[2]] + want
		end = b[3]
	}
	if fresh += text[end:]; *update && fresh != text {
		if err := os.WriteFile(page, []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPage checks what can be checked of the page without models: it quotes every program, its
// commands name programs that exist, and its Go code is in them.
func TestPage(t *testing.T) {
	text := readPage(t)
	var sources strings.Builder
	for _, p := range programs {
		source, err := os.ReadFile(filepath.Join(p.name, "main.go"))
		if err != nil {
			t.Fatal(err)
		}
		sources.Write(source)
		if !quote(p.name).MatchString(text) {
			t.Errorf("%s quotes nothing of %s", page, p.name)
		}
		if command := "go run ./examples/" + p.name + " models\n"; !strings.Contains(text, command) {
			t.Errorf("%s lacks the command %q", page, command)
		}
	}
	have := map[string]bool{"": true}
	for line := range strings.Lines(sources.String()) {
		have[strings.TrimSpace(line)] = true
	}
	excerpts := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(excerpts) < len(programs) {
		t.Errorf("%s has %d excerpts of Go code, want one a program", page, len(excerpts))
	}
	for _, e := range excerpts {
		for line := range strings.Lines(e[1]) {
			if !have[strings.TrimSpace(line)] {
				t.Errorf("%s: no program has the line %q", page, strings.TrimSpace(line))
			}
		}
	}
	for _, m := range regexp.MustCompile(`<!-- output: (\S+) -->`).FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(m[1]); err != nil {
			t.Errorf("%s quotes %s, which does not exist", page, m[1])
		}
	}
	if got, want := strings.Count(text, "```text\n"), strings.Count(text, "<!-- output: "); got != want {
		t.Errorf("%s has %d blocks of text and %d marks of output: a quote without its mark is not checked", page, got, want)
	}
}

func readPage(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(fmt.Errorf("the page that quotes these programs: %w", err))
	}
	return strings.ReplaceAll(string(data), "\r\n", "\n")
}
