package engine

// A device that is lost: what was under way ends with its error, what comes next
// runs on a device opened anew.

import (
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// losable is a device that is lost when ops reaches zero, and all its memory with it.
type losable struct {
	runtime.Device
	ops int
}

func (l *losable) Run(op runtime.Op) error {
	if l.ops--; l.ops < 0 {
		return runtime.ErrLost
	}
	return l.Device.Run(op)
}

func TestLostDevice(t *testing.T) {
	dir := "../model/testdata/checkpoints/gpt2"
	ck, err := weights.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close() //nolint:errcheck // only read
	config, err := os.ReadFile(dir + "/config.json")
	if err != nil {
		t.Fatal(err)
	}
	var devices []*losable
	refused := 0 // openings that fail
	errRefused := errors.New("no device")
	load := func() (*runtime.Stream, model.Model, error) {
		if refused > 0 {
			refused--
			return nil, nil, errRefused
		}
		dev := &losable{Device: cpu.NewReference(cpu.Config{Threads: 1}), ops: 1 << 30}
		devices = append(devices, dev)
		s := runtime.NewStream(dev, nil)
		m, err := model.Load(s, ck, model.Source{File: "config.json", Config: config}, model.Options{})
		return s, m, err
	}
	s, m, err := load()
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(s, m, Config{Blocks: 64, Reopen: load})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		e.Close()
		if e.pool.Free() != 64 || e.reserved != 0 {
			t.Errorf("%d of 64 blocks are free, %d reserved", e.pool.Free(), e.reserved)
		}
		for _, d := range devices {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
	}()
	ids := func(run *Run) ([]int32, error) {
		var out []int32
		tokens, err := run.Wait(t.Context())
		for _, tok := range tokens {
			out = append(out, tok.ID)
		}
		return out, err
	}
	prompt := []int32{5, 9, 77}
	want, err := ids(submit(t, e, greedy(12, prompt)))
	if err != nil {
		t.Fatal(err)
	}
	// Two runs in turns, so that one has stepped when the other meets the loss.
	for after := 1; after < 120; after += 7 {
		devices[len(devices)-1].ops = after
		a, b := submit(t, e, greedy(12, prompt)), submit(t, e, greedy(12, prompt))
		for _, run := range []*Run{a, b} {
			got, err := ids(run)
			switch {
			case err == nil && !slices.Equal(got, want):
				t.Fatalf("after %d operations: %v, want %v", after, got, want)
			case err != nil && !errors.Is(err, runtime.ErrLost):
				t.Fatalf("after %d operations: %v", after, err)
			}
		}
		if got, err := ids(submit(t, e, greedy(12, prompt))); err != nil || !slices.Equal(got, want) {
			t.Fatalf("the next request after a loss at %d: %v, %v; want %v", after, got, err, want)
		}
	}
	if len(devices) < 5 {
		t.Fatalf("only %d devices were opened", len(devices))
	}
	// While no device can be opened, each request says so; then they run again.
	devices[len(devices)-1].ops = 0
	if _, err := ids(submit(t, e, greedy(12, prompt))); !errors.Is(err, runtime.ErrLost) {
		t.Fatalf("a lost device: %v", err)
	}
	refused = 2
	for range 2 {
		if _, err := ids(submit(t, e, greedy(12, prompt))); !errors.Is(err, runtime.ErrLost) || !errors.Is(err, errRefused) {
			t.Fatalf("no device to open: %v", err)
		}
	}
	if got, err := ids(submit(t, e, greedy(12, prompt))); err != nil || !slices.Equal(got, want) {
		t.Fatalf("after all: %v, %v; want %v", got, err, want)
	}
}
