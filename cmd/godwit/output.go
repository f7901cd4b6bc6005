package main

// Where things go: results to standard output, everything else to standard error.

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"
)

const onWindows = runtime.GOOS == "windows"

// streams are the three of a process.
type streams struct {
	stdin    io.Reader
	out      *results
	notes    io.Writer     // standard error
	watched  bool          // notes is a terminal: somebody waits there
	patience time.Duration // how long before progress is shown
}

func newStreams(stdin io.Reader, stdout, stderr io.Writer) *streams {
	return &streams{
		stdin:    stdin,
		out:      &results{w: bufio.NewWriterSize(stdout, 64<<10), terminal: isTerminal(stdout)},
		notes:    stderr,
		watched:  isTerminal(stderr),
		patience: time.Second,
	}
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// results is standard output. Its first error sticks, so that prints need no
// check: flush tells, and commands flush after each token and each batch.
type results struct {
	w        *bufio.Writer
	terminal bool
}

// Write never fails; flush says whether it did.
func (r *results) Write(p []byte) (int, error) {
	_, _ = r.w.Write(p)
	return len(p), nil
}

// object writes one line of JSON.
func (r *results) object(v any) error {
	encoder := json.NewEncoder(r)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// flush hands over what was written and gives the first error, an *outputError.
func (r *results) flush() error {
	if err := r.w.Flush(); err != nil {
		return &outputError{err}
	}
	return nil
}

// seconds, size, count and rate are numbers for people.
func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func size(bytes int64) string {
	switch {
	case bytes >= 10<<30:
		return fmt.Sprintf("%.0f GiB", float64(bytes)/(1<<30))
	case bytes >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
	case bytes >= 10<<20:
		return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20))
	case bytes >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	case bytes >= 1<<10:
		return fmt.Sprintf("%.0f KiB", float64(bytes)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", bytes)
}

func count(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f billion", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f million", float64(n)/1e6)
	}
	return strconv.FormatInt(n, 10)
}

func rate(tokens int, d time.Duration) string {
	if d <= 0 {
		return "- tok/s"
	}
	return fmt.Sprintf("%.1f tok/s", float64(tokens)/d.Seconds())
}

// plural is "1 token", "2 tokens".
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// oneLine is a text with one space in place of line ends and other stretches of space.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// shorten cuts a text for a line of a terminal.
func shorten(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most-1]) + "…"
}
