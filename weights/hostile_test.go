package weights

// Hostile files: the size of allocations, fuzz targets and benchmarks.

import (
	"encoding/binary"
	"errors"
	"fmt"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ml/godwit/quant"
)

// largestAllocation returns the size of the largest single allocation that fn
// makes. It profiles every allocation of the process, so tests that use it do
// not run in parallel with others.
func largestAllocation(t *testing.T, fn func()) int64 {
	t.Helper()
	records := func() map[string]int64 {
		goruntime.GC() // twice: a profile is two collections old
		goruntime.GC()
		n, _ := goruntime.MemProfile(nil, true)
		profile := make([]goruntime.MemProfileRecord, n+200)
		n, ok := goruntime.MemProfile(profile, true)
		if !ok {
			t.Fatal("the profile grew while it was read")
		}
		objects := map[string]int64{} // a record is a stack and a size
		for _, r := range profile[:n] {
			if r.AllocObjects > 0 {
				objects[fmt.Sprint(r.AllocBytes/r.AllocObjects, r.Stack())] = r.AllocObjects
			}
		}
		return objects
	}
	old := goruntime.MemProfileRate
	goruntime.MemProfileRate = 1
	defer func() { goruntime.MemProfileRate = old }()
	before := records()
	fn()
	var largest int64
	for key, n := range records() {
		if n > before[key] {
			var size int64
			if _, err := fmt.Sscan(key, &size); err != nil {
				t.Fatal(err)
			}
			largest = max(largest, size)
		}
	}
	return largest
}

// TestLargestAllocationSees: the measure itself.
func TestLargestAllocationSees(t *testing.T) {
	var keep []byte
	if n := largestAllocation(t, func() { keep = make([]byte, 5<<20) }); n < 5<<20 || n > 6<<20 {
		t.Errorf("5 MiB count as %d", n)
	}
	if n := largestAllocation(t, func() { keep = make([]byte, 1000) }); n < 1000 || n > 100_000 {
		t.Errorf("1000 bytes count as %d", n)
	}
	_ = keep
}

// costlyFiles are files whose headers ask for memory.
func costlyFiles() map[string][]byte {
	many := func(n int, one string) []byte {
		var b strings.Builder
		b.WriteString("{")
		for i := range n {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, one, i)
		}
		b.WriteString("}")
		return withHeader(b.String(), nil)
	}
	infos := ggufWith(3, 30_000, 0)
	for i := range 30_000 {
		infos.tensorInfo(fmt.Sprint(i), 0, 0, 0)
	}
	keys := ggufWith(3, 0, 60_000)
	for i := range 60_000 {
		keys.str(fmt.Sprint(i)).u32(ggufUint8)
		keys.b = append(keys.b, 1)
	}
	key := func() *ggufBytes { return ggufWith(3, 0, 1).str("k").u32(ggufArray) }
	nested := key().u32(ggufArray).u64(30_000)
	for range 30_000 {
		nested.u32(ggufUint8).u64(0)
	}
	return map[string][]byte{
		"tensors.safetensors":  many(30_000, `"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`),
		"short.safetensors":    many(50_000, `"%d":{}`),
		"metadata.safetensors": many(1, `"__metadata__":{"%d":"`+strings.Repeat("x", 4<<20)+`"}`),
		"tensors.gguf":         infos.data(0),
		"keys.gguf":            keys.b,
		"strings.gguf":         append(key().u32(ggufString).u64(400_000).b, make([]byte, 400_000*8)...),
		"fewer.gguf":           append(key().u32(ggufString).u64(100_000).b, make([]byte, 100_000*8)...),
		"nested.gguf":          nested.b,
		"bytes.gguf":           append(key().u32(ggufUint8).u64(4<<20).b, make([]byte, 4<<20)...),
		"bools.gguf":           append(key().u32(ggufBool).u64(4<<20).b, make([]byte, 4<<20)...),
	}
}

// TestAllocations: opening makes no single allocation above the file's size and
// 1 MiB, whatever the file says, mapped or not.
func TestAllocations(t *testing.T) {
	small, files := map[string][]byte{}, costlyFiles()
	sort := func(name string, data []byte) {
		if len(data) < 1<<16 {
			small[name] = data
		} else {
			files[name] = data
		}
	}
	for name, bad := range badSafetensors() {
		sort(name+".safetensors", bad.data)
	}
	for name, bad := range badGGUF() {
		sort(name+".gguf", bad.data)
	}
	openBoth := func(name string, data []byte) {
		if c, err := Open(write(t, map[string][]byte{name: data}) + "/" + name); err == nil {
			_ = c.Close()
		}
		if c, err := OpenFS(memory(name, data), name); err == nil {
			_ = c.Close()
		}
	}
	if largest := largestAllocation(t, func() {
		for name, data := range small {
			openBoth(name, data)
		}
	}); largest > allocationMargin {
		t.Errorf("one of the small files: an allocation of %d", largest)
	}
	for name, data := range files {
		start := time.Now()
		if largest := largestAllocation(t, func() { openBoth(name, data) }); largest > int64(len(data))+allocationMargin {
			t.Errorf("%s of %d bytes: an allocation of %d", name, len(data), largest)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%s took %v", name, d)
		}
	}
}

// checkOpened holds a file that opened against the promises of the package.
func checkOpened(t *testing.T, c *Checkpoint, size int) {
	var total int64
	for _, name := range c.Names() {
		info, ok := c.Info(name)
		if !ok || !info.DType.Valid() {
			t.Fatalf("%q: %+v", name, info)
		}
		x, err := c.Tensor(name)
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		rows, cols := info.RowsCols()
		if x.Rows != rows || x.Cols != cols || x.Span() != info.Bytes || int64(len(x.Bytes())) != info.Bytes {
			t.Fatalf("%q: %+v as %v of %d bytes", name, info, x, len(x.Bytes()))
		}
		if total += info.Bytes; total > int64(size) {
			t.Fatalf("%d bytes of tensors in a file of %d", total, size)
		}
		if info.DType.Decodes() && rows*cols < 1<<16 {
			values(t, c, name)
		}
	}
	s := c.Scope(ScopeConfig{Strip: []string{"a."}, Ignore: []string{"*x*"}})
	for _, name := range c.Names() {
		info, _ := c.Info(name)
		rows, cols := info.RowsCols()
		s.Optional(name, rows, cols)
	}
	if err := s.Err(); err != nil && len(err.Error()) > 8000 {
		t.Fatalf("%d bytes of error", len(err.Error()))
	}
}

// fuzzOpen opens data from memory as a file of that name.
func fuzzOpen(t *testing.T, name string, data []byte) {
	var before, after goruntime.MemStats
	goruntime.ReadMemStats(&before)
	c, err := OpenFS(memory(name, data), name)
	goruntime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64*uint64(len(data))+4*allocationMargin {
		t.Fatalf("opening %d bytes allocated %d", len(data), grown)
	}
	if err != nil {
		var e *Error
		if !errors.As(err, &e) || e.File != name || e.Reason == "" || len(err.Error()) > 4000 {
			t.Fatalf("not an error of ours: %#v", err)
		}
		return
	}
	checkOpened(t, c, len(data))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func FuzzSafetensors(f *testing.F) {
	f.Add(safetensors(map[string]string{"format": "pt"}, 3, ramp("a", 2, 2), stored{"b", quant.F64, []int{1}, f64s(1)}, ramp("c"), ramp("d", 0)))
	for _, bad := range badSafetensors() {
		if len(bad.data) < 4096 {
			f.Add(bad.data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzOpen(t, "model.safetensors", data) })
}

func FuzzGGUF(f *testing.F) {
	f.Add(gguf(3, everyKind, ramp("norm", 5), q80("blk.0.attn_q.weight", 3, 64)))
	f.Add(gguf(2, []pair{{"general.alignment", uint32(8)}}, ramp("norm", 5), ramp("more", 2)))
	for _, bad := range badGGUF() {
		if len(bad.data) < 4096 {
			f.Add(bad.data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzOpen(t, "m.gguf", data) })
}

func FuzzIndex(f *testing.F) {
	f.Add(string(shards(twoShards())["model.safetensors.index.json"]))
	f.Add(`{"weight_map":{"a":"../x.safetensors"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		shards, err := parseIndex(text)
		if err != nil {
			return
		}
		for name, file := range shards {
			if !plainName(file) || strings.ContainsAny(file, `/\:`) {
				t.Fatalf("%q is in %q", name, file)
			}
		}
	})
}

// largeFiles are the sizes of SmolLM2-135M as GGUF and MiniLM as safetensors.
func largeFiles() map[string][]byte {
	tokens, merges := make([]string, 49152), make([]string, 48900)
	for i := range tokens {
		tokens[i] = fmt.Sprintf("Ġtoken%d", i)
	}
	for i := range merges {
		merges[i] = fmt.Sprintf("Ġto ken%d", i)
	}
	var blocks []stored
	for i := range 272 {
		blocks = append(blocks, stored{fmt.Sprintf("blk.%d.attn_q.weight", i), quant.Q4_1, []int{576, 960}, make([]byte, quant.Q4_1.Bytes(576*960))})
	}
	var plain []stored
	for i := range 103 {
		plain = append(plain, stored{fmt.Sprintf("encoder.layer.%d.attention.self.query.weight", i), quant.F32, []int{384, 576}, make([]byte, 4*384*576)})
	}
	return map[string][]byte{
		"m.gguf": gguf(3, []pair{
			{"tokenizer.ggml.tokens", tokens}, {"tokenizer.ggml.merges", merges},
			{"tokenizer.ggml.token_type", make([]int32, len(tokens))},
		}, blocks...),
		"m.safetensors": safetensors(nil, 0, plain...),
	}
}

func BenchmarkOpen(b *testing.B) {
	for name, data := range largeFiles() {
		path := write(b, map[string][]byte{name: data}) + "/" + name
		b.Run(fmt.Sprintf("%s-%dMB", name, len(data)>>20), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c, err := Open(path)
				if err != nil {
					b.Fatal(err)
				}
				if err := c.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpenLongHeader is the reader of safetensors headers alone.
func BenchmarkOpenLongHeader(b *testing.B) {
	data := costlyFiles()["tensors.safetensors"]
	header := string(data[8 : 8+binary.LittleEndian.Uint64(data)])
	b.SetBytes(int64(len(header)))
	for b.Loop() {
		if _, _, err := parseSafetensors(header); err != nil {
			b.Fatal(err)
		}
	}
}
