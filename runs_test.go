package godwit_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/weights"
)

// retyped is a copy of a GGUF file whose tensors of one type are said to be of
// another with blocks of the same size.
func retyped(t *testing.T, file string, from, to quant.Type) string {
	t.Helper()
	ck, err := weights.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close() //nolint:errcheck // only read
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range ck.Names() {
		in, _ := ck.Info(name)
		key := append(binary.LittleEndian.AppendUint64(nil, uint64(len(name))), name...)
		if at := bytes.Index(data, key); in.DType == from && at >= 0 {
			at += len(key) + 4 + 8*len(in.Shape)
			binary.LittleEndian.PutUint32(data[at:], uint32(to))
		}
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestInspectRuns: inspect says in what type matrices run where that is another
// than the stored one.
func TestInspectRuns(t *testing.T) {
	const file, matrix, norm = "model/testdata/gguf/llama-Q4_0.gguf", "blk.0.attn_q.weight", "blk.0.attn_norm.weight"
	nonlinear := retyped(t, file, quant.Q4_0, quant.IQ4_NL)
	for _, c := range []struct {
		path string
		cfg  godwit.Config
		want string // of the matrix
	}{
		{file, godwit.Config{Device: "cpu:portable"}, ""},
		{file, godwit.Config{Device: "reference"}, ""},
		{file, godwit.Config{Device: "cpu:portable", Quantize: "q8_0"}, ""},
		{nonlinear, godwit.Config{Device: "cpu:portable"}, "Q8_0"},
		{nonlinear, godwit.Config{Device: "cpu:portable", DType: "f32"}, "F32"},
		{nonlinear, godwit.Config{Device: "cpu:portable", Quantize: "q4_0"}, "Q4_0"},
		{nonlinear, godwit.Config{Device: "reference"}, ""},
	} {
		info, err := godwit.Inspect(t.Context(), c.path, c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, x := range info.Tensors {
			switch {
			case strings.HasSuffix(x.Name, matrix):
				if found++; x.Runs != c.want {
					t.Errorf("%+v: %s of %s runs as %q, want %q", c.cfg, x.Name, x.DType, x.Runs, c.want)
				}
			case strings.HasSuffix(x.Name, norm) && x.Runs != "":
				t.Errorf("%+v: %s runs as %q", c.cfg, x.Name, x.Runs)
			}
		}
		if found != 1 {
			t.Fatalf("%d tensors are %s", found, matrix)
		}
	}
}

// TestQuantizeRefused: rows that are not made of whole blocks are an error that
// names the weight.
func TestQuantizeRefused(t *testing.T) {
	_, err := godwit.Open(t.Context(), checkpoints+"llama", godwit.Config{Device: "cpu:portable", Quantize: "q8_0"})
	if err == nil || !strings.Contains(err.Error(), "whole blocks of 32") || !strings.Contains(err.Error(), "[") {
		t.Errorf("%v", err)
	}
}
