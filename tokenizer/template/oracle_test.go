package template

// Golden tests against jinja2: testdata/make.py wrote what it renders.

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// clock is the time make.py gave jinja2.
var clock = time.Date(2026, 11, 4, 9, 5, 7, 123456000, time.UTC)

type goldenRow struct {
	Template, Chat, Source string
	Out                    *string
	Raised, Error          string
}

func readGolden(t *testing.T, name string) []goldenRow {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // opened for reading
	var rows []goldenRow
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<22)
	for sc.Scan() {
		var r goldenRow
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}

func readJSON(t testing.TB, name string) *Map {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	v, err := DecodeJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	return v.(*Map)
}

// checkGolden compares one rendering with jinja2's.
func checkGolden(t *testing.T, what, source string, vars *Map, want goldenRow) {
	t.Helper()
	tmpl, err := Parse(source)
	var segments []Segment
	if err == nil {
		segments, err = tmpl.Render(context.Background(), vars, Config{Now: clock})
	}
	var raised *RaisedError
	switch {
	case want.Out != nil && err != nil:
		t.Errorf("%s: %v, jinja2 renders %q", what, err, *want.Out)
	case want.Out != nil && Join(segments) != *want.Out:
		t.Errorf("%s:\n got %q\nwant %q", what, Join(segments), *want.Out)
	case want.Raised != "" && (!errors.As(err, &raised) || raised.Message != want.Raised):
		t.Errorf("%s: got %q and error %v, want the template to raise %q", what, Join(segments), err, want.Raised)
	case want.Error != "" && err == nil:
		t.Errorf("%s: got %q, jinja2 fails: %s", what, Join(segments), want.Error)
	case want.Error != "" && errors.As(err, &raised):
		t.Errorf("%s: raised %v, jinja2 fails: %s", what, err, want.Error)
	}
}

func TestExpressionsLikeJinja2(t *testing.T) {
	vars := readJSON(t, "variables.json")
	for _, row := range readGolden(t, "expressions.golden.jsonl") {
		checkGolden(t, row.Source, row.Source, vars, row)
	}
}

func TestTemplatesLikeJinja2(t *testing.T) {
	chats := readJSON(t, "chats.json")
	for _, row := range readGolden(t, "golden.jsonl") {
		source, err := os.ReadFile(filepath.Join("testdata", "templates", row.Template+".jinja"))
		if err != nil {
			t.Fatal(err)
		}
		vars, _ := chats.Get(row.Chat)
		checkGolden(t, row.Template+" on "+row.Chat, string(source), vars.(*Map), row)
	}
}
