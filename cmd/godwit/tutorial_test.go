package main

import (
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestTutorial runs the commands of docs/tutorial.md and compares what they
// print: words exactly, numbers to the last digit but a few.
func TestTutorial(t *testing.T) {
	page, err := os.ReadFile("../../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```console\n\\$ (.*?)\n(.*?)^```$").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 7 {
		t.Fatalf("%d commands", len(blocks))
	}
	for _, b := range blocks {
		line, want := b[1], b[2]
		stdin := ""
		if rest, ok := strings.CutPrefix(line, "printf '"); ok {
			text, after, _ := strings.Cut(rest, "' | ")
			stdin, line = strings.ReplaceAll(text, `\n`, "\n"), after
		}
		args := shellWords(line)
		if len(args) < 2 || args[0] != "godwit" {
			t.Fatalf("no command: %s", line)
		}
		got := must(t, stdin, args[1:]...)
		if want == "" { // its output is told in words
			continue
		}
		if !alike(got, want) {
			t.Errorf("%s prints\n%s\nthe tutorial says\n%s", line, got, want)
		}
	}
}

// shellWords splits a command line at spaces outside double quotes.
func shellWords(line string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`"([^"]*)"|(\S+)`).FindAllStringSubmatch(line, -1) {
		out = append(out, m[1]+m[2])
	}
	return out
}

var numeral = regexp.MustCompile(`-?\d*\.\d+`)

// alike compares texts, and the numbers in them to 0.2 %: their last digit is
// another one where products are summed in another order.
func alike(a, b string) bool {
	if numeral.ReplaceAllString(a, "#") != numeral.ReplaceAllString(b, "#") {
		return false
	}
	x, y := numeral.FindAllString(a, -1), numeral.FindAllString(b, -1)
	for i := range x {
		p, _ := strconv.ParseFloat(x[i], 64)
		q, _ := strconv.ParseFloat(y[i], 64)
		if math.Abs(p-q) > 2e-4+2e-3*math.Abs(q) {
			return false
		}
	}
	return true
}
