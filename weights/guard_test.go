//go:build (darwin || dragonfly || freebsd || linux || netbsd || openbsd) && !portable

package weights

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-ml/godwit/quant"
)

// TestCutShort: a mapped file that is truncated is an error wherever it is read
// under Guard, and the process lives.
func TestCutShort(t *testing.T) {
	const n = 100_000
	file := safetensors(nil, 0, ramp("head", 4), ramp("big", n), stored{"f64", quant.F64, []int{2}, f64s(1, 2)}, stored{"u8", quant.U8, []int{1}, []byte{1}}, ramp("misaligned", 2))
	dir := write(t, map[string][]byte{"model.safetensors": file})
	path := filepath.Join(dir, "model.safetensors")
	c := mustOpen(t, dir)
	if c.Memory().Mapped != int64(len(file)) {
		t.Fatalf("not mapped: %+v", c.Memory())
	}
	big, err := c.Tensor("big")
	if err != nil {
		t.Fatal(err)
	}
	sum := func() error {
		var total float32
		for _, v := range big.F32s() {
			total += v
		}
		if total == 0 {
			return errors.New("no sum")
		}
		return nil
	}
	if err := errors.Join(c.Guard(sum), c.Intact()); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 8192); err != nil {
		t.Fatal(err)
	}
	check := func(what string, err error) {
		t.Helper()
		var e *Error
		if !errors.As(err, &e) || e.File != path || !strings.Contains(err.Error(), "cut short") {
			t.Errorf("%s: %v", what, err)
		}
	}
	check("a view", c.Guard(sum))
	check("a copy", c.Guard(func() error { copy(make([]byte, 4*n), big.Bytes()); return nil }))
	check("Intact", c.Intact())
	_, err = c.Weight("f64")
	check("a conversion", err)
	_, err = c.Tensor("misaligned")
	check("an alignment", err)
	s := c.Scope(ScopeConfig{Ignore: []string{"*"}})
	s.Tensor("misaligned", 1, 2)
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "tensor misaligned: cannot be read") {
		t.Errorf("scope: %v", err)
	}
	var wg sync.WaitGroup
	for range 4 { // every goroutine with a guard of its own
		wg.Go(func() { check("a goroutine", c.Guard(sum)) })
	}
	wg.Wait()
	if err := c.Guard(func() error { head, err := c.Tensor("head"); _ = head.F32s()[3]; return err }); err != nil {
		t.Errorf("what is left of the file: %v", err)
	}
}

// TestGuardPassesOn: what is not a fault of these files is none of Guard's.
func TestGuardPassesOn(t *testing.T) {
	c := mustOpen(t, write(t, map[string][]byte{"model.safetensors": safetensors(nil, 0, ramp("a", 4))}))
	want := errors.New("its own")
	if err := c.Guard(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("error %v", err)
	}
	for name, fn := range map[string]func(){
		"panic": func() { panic("its own") },
		"index": func() { x := []int{}; _ = x[len(x)] },
		"nil":   func() { _ = *absent() },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: swallowed", name)
				}
			}()
			_ = c.Guard(func() error { fn(); return nil })
		}()
	}
}

// TestHeaderCutShort: cut between opening the file and reading its header.
func TestHeaderCutShort(t *testing.T) {
	file := safetensors(map[string]string{"k": strings.Repeat("v", 20_000)}, 0, ramp("x", 10))
	path := filepath.Join(write(t, map[string][]byte{"m.safetensors": file}), "m.safetensors")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSource(f, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	c := &Checkpoint{path: path}
	var e *Error
	if err := c.load(s, Safetensors); !errors.As(err, &e) || e.File != path || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("%v", err)
	}
	_ = c.Close()
}

// absent returns nil where the compiler does not see it.
func absent() *int { return nil }
