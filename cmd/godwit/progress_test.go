package main

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// screen is a terminal that several goroutines write to.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) shown() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// waits waits for something to be on the screen.
func (s *screen) waits(t *testing.T, what string) {
	t.Helper()
	for range 200 {
		if strings.Contains(s.shown(), what) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%q does not show %q", s.shown(), what)
}

func TestProgress(t *testing.T) {
	var sc screen
	s := &streams{notes: &sc, watched: true}
	a := s.begin("loading", time.Now(), false, true)
	sc.waits(t, "loading")
	a.update(512<<10, 1<<20)
	sc.waits(t, "50%")
	a.update(1<<20, 1<<20)
	sc.waits(t, "99%")
	a.end()
	a.end()
	after := sc.shown()
	if i := strings.LastIndexByte(strings.TrimRight(after, "\r"), '\r'); strings.TrimSpace(after[i+1:]) != "" {
		t.Errorf("the line is not cleared: %q", after)
	}
	time.Sleep(250 * time.Millisecond)
	if sc.shown() != after {
		t.Errorf("it goes on after its end: %q", sc.shown()[len(after):])
	}
}

func TestProgressSilent(t *testing.T) {
	for name, s := range map[string]*streams{
		"quiet":       {watched: true},
		"no terminal": {},
		"patient":     {watched: true, patience: time.Hour},
	} {
		var sc screen
		s.notes = &sc
		a := s.begin("loading", time.Now(), name == "quiet", false)
		a.update(1, 2)
		time.Sleep(150 * time.Millisecond)
		a.end()
		if got := sc.shown(); got != "" {
			t.Errorf("%s: shows %q", name, got)
		}
	}
	// What began long ago is shown at once.
	var sc screen
	s := &streams{notes: &sc, watched: true, patience: time.Hour}
	a := s.begin("counting", time.Now().Add(-2*time.Hour), false, false)
	a.update(7, 0)
	sc.waits(t, "counting")
	sc.waits(t, "7")
	a.end()
}

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 bytes", 1023: "1023 bytes", 1024: "1 KiB", 3 << 19: "1.5 MiB", 98 << 20: "98 MiB", 3 << 29: "1.5 GiB", 24 << 30: "24 GiB",
	} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{999_999: "999999", 134_515_008: "134.5 million", 7_241_732_096: "7.24 billion"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %s, want %s", n, got, want)
		}
	}
	if got := rate(10, 0); got != "- tok/s" {
		t.Errorf("no time: %s", got)
	}
	if got := rate(10, 4*time.Second); got != "2.5 tok/s" {
		t.Errorf("got %s", got)
	}
	if got := shorten("añb", 3) + shorten("añbc", 3); got != "añbañ…" {
		t.Errorf("got %s", got)
	}
}
