package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestStopScanner(t *testing.T) {
	for _, tt := range []struct {
		stops  []string
		pieces []string
		want   []string // what each piece shows, then what Flush gives
		stop   int      // -1: none
	}{
		{nil, []string{"a", "b"}, []string{"a", "b", ""}, -1},
		{[]string{"STOP"}, []string{"aS", "TO", "Pb", "c"}, []string{"a", "", "", "", ""}, 0},
		{[]string{"STOP"}, []string{"aSTO", "STO", "x"}, []string{"a", "STO", "STOx", ""}, -1},
		{[]string{"STOP"}, []string{"aSTO"}, []string{"a", "STO"}, -1},
		{[]string{"STOP"}, []string{"", "STOP", "S"}, []string{"", "", "", ""}, 0},
		{[]string{"aab"}, []string{"a", "a", "a", "a", "b"}, []string{"", "", "a", "a", "", ""}, 0},
		{[]string{"\n\n", "Q:"}, []string{"x\n", "Q", ":y"}, []string{"x", "\n", "", ""}, 1},
		{[]string{"b", "ab"}, []string{"xab"}, []string{"x", ""}, 1},                        // complete at one byte: the longest
		{[]string{"bcd", "b", "b"}, []string{"abcd"}, []string{"a", ""}, 1},                 // complete first
		{[]string{"abcd", "bc"}, []string{"xab", "cd"}, []string{"x", "a", ""}, 1},          // a stop inside an open one
		{[]string{"abcx", "bc"}, []string{"a", "b", "c"}, []string{"", "", "a", ""}, 1},     // found through the fail link's stop
		{[]string{"é"}, []string{"aè", "é", "b"}, []string{"aè", "", "", ""}, 0},            // first byte shared
		{[]string{"日本"}, []string{"日", "日", "木", "日本"}, []string{"", "日", "日木", "", ""}, 0}, // whole characters
		{[]string{"a"}, []string{"a"}, []string{"", ""}, 0},
	} {
		t.Run(fmt.Sprint(tt.stops, tt.pieces), func(t *testing.T) {
			set, err := NewStopSet(tt.stops)
			if err != nil {
				t.Fatal(err)
			}
			s := NewStopScanner(set)
			var got []string
			for _, p := range tt.pieces {
				got = append(got, s.Push(p))
			}
			got = append(got, s.Flush())
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			index, stop, ok := s.Stopped()
			if ok != (tt.stop >= 0) || ok && (index != tt.stop || stop != tt.stops[tt.stop]) {
				t.Errorf("stopped %v by %d %q, want %d", ok, index, stop, tt.stop)
			}
		})
	}
	var s StopScanner
	if got := s.Push("a") + s.Flush(); got != "a" {
		t.Errorf("no set: %q", got)
	}
}

// TestStopScannerSearch compares with a search of the whole text, whatever pieces
// it comes in, and holds the scanner to showing all it can.
func TestStopScannerSearch(t *testing.T) {
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		alphabet := rapid.SampledFrom([][]rune{[]rune("ab"), []rune("abc"), []rune("aéèê日旦")}).Draw(t, "alphabet")
		word := rapid.StringOfN(rapid.SampledFrom(alphabet), 1, 5, -1)
		stops := rapid.SliceOfN(word, 0, 5).Draw(t, "stops")
		pieces := rapid.SliceOfN(rapid.StringOfN(rapid.SampledFrom(alphabet), 0, 4, -1), 0, 12).Draw(t, "pieces")
		set, err := NewStopSet(stops)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(pieces, "")
		start, index := len(text), -1
	search:
		for end := range len(text) + 1 {
			for i, stop := range stops {
				if strings.HasSuffix(text[:end], stop) && (index < 0 || len(stop) > len(stops[index])) {
					start, index = end-len(stop), i
				}
			}
			if index >= 0 {
				found++
				break search
			}
		}
		s := NewStopScanner(set)
		shown, came := "", ""
		for _, p := range pieces {
			part := s.Push(p)
			if !utf8.ValidString(part) {
				t.Fatalf("half a character: %q", part)
			}
			shown += part
			came += p
			if _, _, ok := s.Stopped(); ok {
				break
			}
			hold := 0
			for _, stop := range stops {
				for n := range len(stop) {
					if strings.HasSuffix(came, stop[:n]) {
						hold = max(hold, n)
					}
				}
			}
			if want := came[:len(came)-hold]; shown != want {
				t.Fatalf("of %q %q is shown, want %q", came, shown, want)
			}
		}
		shown += s.Flush()
		got, _, ok := s.Stopped()
		if shown != text[:start] || ok != (index >= 0) || ok && got != index {
			t.Fatalf("%q: shown %q, stop %d %v; want %q, %d", text, shown, got, ok, text[:start], index)
		}
	})
	if found < 20 {
		t.Errorf("only %d texts had a stop", found)
	}
}

func TestStopSetErrors(t *testing.T) {
	for _, tt := range []struct {
		stops []string
		field string
	}{
		{[]string{"a", ""}, "Stop[1]"},
		{[]string{"a\xff"}, "Stop[0]"},
		{[]string{"a", strings.Repeat("b", MaxStopBytes)}, "Stop[1]"},
		{slices.Repeat([]string{"a"}, MaxStops+1), "Stop"},
	} {
		_, err := NewStopSet(tt.stops)
		var pe *ParamError
		if !errors.As(err, &pe) || pe.Field != tt.field {
			t.Errorf("%d stops: got %v, want a ParamError for %s", len(tt.stops), err, tt.field)
		}
		if len(fmt.Sprint(err)) > 300 {
			t.Errorf("an error of %d bytes", len(fmt.Sprint(err)))
		}
	}
	if _, err := NewStopSet([]string{"a", strings.Repeat("b", MaxStopBytes-1)}); err != nil {
		t.Error(err)
	}
	if _, err := NewStopSet(slices.Repeat([]string{"a"}, MaxStops)); err != nil {
		t.Error(err)
	}
}

func BenchmarkStopScanner(b *testing.B) {
	for _, n := range []int{1, MaxStops} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			stops := make([]string, n)
			for i := range stops {
				stops[i] = fmt.Sprintf("%s %d\n", []string{"the", "a", "or", "un"}[r.IntN(4)], 1000+i)
			}
			set, err := NewStopSet(stops)
			if err != nil {
				b.Fatal(err)
			}
			text := strings.Repeat("the sun is 99 or a 10 un", 50)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			s := NewStopScanner(set)
			for b.Loop() {
				for i := 0; i < len(text); i += 4 {
					s.Push(text[i : i+4])
				}
			}
			if _, _, ok := s.Stopped(); ok {
				b.Fatal("stopped")
			}
		})
	}
}

func BenchmarkNewStopSet(b *testing.B) {
	stops := make([]string, MaxStops)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range stops {
		stops[i] = fmt.Sprintf("%c%c%x", rune(1+r.IntN(127)), rune(1+r.IntN(127)), r.Uint64())
	}
	for b.Loop() {
		if _, err := NewStopSet(stops); err != nil {
			b.Fatal(err)
		}
	}
}
