package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// shards are the files of a checkpoint of two shards.
func shards(weightMap map[string]string) map[string][]byte {
	index, err := json.Marshal(map[string]any{"metadata": map[string]int{"total_size": 20}, "weight_map": weightMap})
	if err != nil {
		panic(err)
	}
	return map[string][]byte{
		"model.safetensors.index.json":     index,
		"model-00001-of-00002.safetensors": safetensors(map[string]string{"format": "pt"}, 0, ramp("a", 2)),
		"model-00002-of-00002.safetensors": safetensors(nil, 0, ramp("b", 3)),
	}
}

// twoShards is the right weight_map of shards.
func twoShards() map[string]string {
	return map[string]string{"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
}

func TestSharded(t *testing.T) {
	files := shards(twoShards())
	dir := write(t, files)
	memory := fstest.MapFS{}
	for name, data := range files {
		memory["sub/dir/"+name] = &fstest.MapFile{Data: data}
	}
	fromFS, err := OpenFS(memory, "sub/dir")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Checkpoint{mustOpen(t, dir), fromFS} {
		if names := c.Names(); !slices.Equal(names, []string{"a", "b"}) {
			t.Errorf("names %q", names)
		}
		if got := values(t, c, "b"); !slices.Equal(got, []float32{0, 1, 2}) {
			t.Errorf("b = %v", got)
		}
		if filepath.Base(c.Path()) != "model.safetensors.index.json" || c.Metadata()["format"] != "pt" {
			t.Errorf("path %s, metadata %v", c.Path(), c.Metadata())
		}
	}
	// A single file wins over an index.
	files["model.safetensors"] = safetensors(nil, 0, ramp("c", 1))
	if names := mustOpen(t, write(t, files)).Names(); !slices.Equal(names, []string{"c"}) {
		t.Errorf("names %q", names)
	}
}

func TestDirectoriesRefused(t *testing.T) {
	index := func(text string) map[string][]byte {
		files := shards(nil)
		files["model.safetensors.index.json"] = []byte(text)
		return files
	}
	to := func(shard string) map[string][]byte { return shards(map[string]string{"a": shard}) }
	with := func(files map[string][]byte, name, data string) map[string][]byte {
		files[name] = []byte(data)
		return files
	}
	config := func(text string) map[string][]byte {
		return with(map[string][]byte{"model.safetensors": safetensors(nil, 0, ramp("a", 2))}, "config.json", text)
	}
	texts := map[string]string{}
	for name, row := range map[string]struct {
		files map[string][]byte
		file  string // that the error names
		want  []string
	}{
		"nothing":          {map[string][]byte{"config.json": []byte("{}")}, ".", []string{"neither model.safetensors nor model.safetensors.index.json"}},
		"pickle":           {map[string][]byte{"pytorch_model.bin": []byte("\x80\x02")}, "pytorch_model.bin", []string{"pickle", "never", "safetensors", "save_pretrained"}},
		"pickle shards":    {map[string][]byte{"pytorch_model-00001-of-00002.bin": nil, "training_args.bin": nil}, "pytorch_model-00001-of-00002.bin", []string{"pickle"}},
		"consolidated":     {map[string][]byte{"consolidated.00.pth": nil}, "consolidated.00.pth", []string{"pickle"}},
		"other pickle":     {map[string][]byte{"optimizer.pt": nil}, ".", []string{"neither"}},
		"gguf":             {map[string][]byte{"x-Q4_0.gguf": nil, "x-Q8_0.GGUF": nil}, ".", []string{"x-Q4_0.gguf, x-Q8_0.GGUF", "name one"}},
		"other file":       {map[string][]byte{"adapter_model.safetensors": nil}, ".", []string{"adapter_model.safetensors", "name that file itself"}},
		"awq":              {config(`{"quantization_config":{"quant_method":"awq","bits":4}}`), "config.json", []string{"AWQ", "quantization_config.quant_method"}},
		"gptq":             {config(`{"quantization_config":{"quant_method":"gptq"}}`), "config.json", []string{"GPTQ"}},
		"fp8":              {config(`{"quantization_config":{"quant_method":"fp8"}}`), "config.json", []string{"FP8"}},
		"no json":          {index(`weight_map`), "model.safetensors.index.json", []string{"not the JSON"}},
		"no map":           {index(`{"metadata":{}}`), "model.safetensors.index.json", []string{"no weight_map"}},
		"map twice":        {index(`{"weight_map":{},"weight_map":{}}`), "model.safetensors.index.json", []string{"weight_map is there twice"}},
		"tensor twice":     {index(`{"weight_map":{"a":"x.safetensors","a":"x.safetensors"}}`), "model.safetensors.index.json", []string{"tensor a: twice in weight_map"}},
		"more after":       {index(`{"weight_map":{"a":"x.safetensors"}} {}`), "model.safetensors.index.json", []string{"after the end"}},
		"empty index":      {index(``), "model.safetensors.index.json", []string{"the text ends"}},
		"up":               {to("../x.safetensors"), "model.safetensors.index.json", []string{"../x.safetensors", "plain name"}},
		"absolute":         {to("/etc/passwd.safetensors"), "model.safetensors.index.json", []string{"/etc/passwd.safetensors"}},
		"below":            {to("sub/x.safetensors"), "model.safetensors.index.json", []string{"sub/x.safetensors"}},
		"backslash":        {to(`..\x.safetensors`), "model.safetensors.index.json", []string{`..\x.safetensors`}},
		"drive":            {to(`C:x.safetensors`), "model.safetensors.index.json", []string{"C:x.safetensors"}},
		"dots":             {to(".."), "model.safetensors.index.json", []string{"its shard .."}},
		"no name":          {to(""), "model.safetensors.index.json", []string{`its shard ""`}},
		"zero byte":        {to("x\x00.safetensors"), "model.safetensors.index.json", []string{`x\x00`}},
		"config as shard":  {to("config.json"), "model.safetensors.index.json", []string{"config.json"}},
		"missing shard":    {to("model-00009.safetensors"), "model.safetensors.index.json", []string{"model-00009.safetensors, which is not in the directory"}},
		"tensor elsewhere": {shards(map[string]string{"a": "model-00001-of-00002.safetensors", "b": "model-00001-of-00002.safetensors"}), "model-00001-of-00002.safetensors", []string{"tensor b: not in this shard"}},
		"shards swapped":   {shards(map[string]string{"b": "model-00001-of-00002.safetensors", "a": "model-00002-of-00002.safetensors"}), "model-00002-of-00002.safetensors", []string{"tensor a: not in this shard"}},
		"bad shard":        {with(shards(twoShards()), "model-00002-of-00002.safetensors", "cut"), "model-00002-of-00002.safetensors", []string{"too short"}},
		"in two shards": {with(shards(twoShards()), "model-00002-of-00002.safetensors",
			string(safetensors(nil, 0, ramp("a", 2), ramp("b", 3)))), "model-00002-of-00002.safetensors", []string{"tensor a is in", "model-00001-of-00002.safetensors too"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, row.files)
			_, err := Open(dir)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("want an *Error, got %v", err)
			}
			if want := filepath.Join(dir, row.file); e.File != want {
				t.Errorf("names %s, want %s", e.File, want)
			}
			text := strings.ReplaceAll(err.Error(), dir, "")
			for _, want := range row.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q does not say %q", text, want)
				}
			}
			if texts[text] != "" && name != "other pickle" && name != "nothing" {
				t.Errorf("says the same as %q: %s", texts[text], text)
			}
			texts[text] = name
			if _, err := OpenFS(os.DirFS(dir), "."); err == nil {
				t.Error("OpenFS takes it")
			}
		})
	}
	for _, text := range []string{`{}`, `{"quantization_config":null}`, `{"quantization_config":{}}`, `not json`} {
		c, err := Open(write(t, config(text)))
		if err != nil {
			t.Errorf("config.json %s: %v", text, err)
			continue
		}
		_ = c.Close()
	}
}

func TestFilesRefused(t *testing.T) {
	dir := write(t, map[string][]byte{"x.bin": []byte("\x80\x02"), "model.safetensors/inside": nil})
	for name, want := range map[string]string{"x.bin": "never unpickled", "absent.gguf": "cannot be opened: ", "": "not a regular file"} {
		path := filepath.Join(dir, name)
		_, err := Open(path)
		var e *Error
		if !errors.As(err, &e) || !strings.HasPrefix(e.File, path) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := Open(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}

// TestLinks: see the package documentation for the rule.
func TestLinks(t *testing.T) {
	file := safetensors(nil, 0, ramp("a", 2))
	dir := write(t, map[string][]byte{
		"outside.safetensors":                     file,
		"hub/models--o--n/blobs/abc123":           file,
		"hub/models--o--n/other/abc123":           file,
		"hub/other/blobs/abc123":                  file,
		"in/real.safetensors":                     file,
		"out/config.json":                         []byte("{}"),
		"far/config.json":                         []byte("{}"),
		"gone/config.json":                        []byte("{}"),
		"hub/models--o--n/snapshots/r1/x":         nil,
		"hub/models--o--n/snapshots/r2/x":         nil,
		"hub/other/snapshots/r1/x":                nil,
		"shards/model.safetensors.index.json":     shards(twoShards())["model.safetensors.index.json"],
		"shards/model-00002-of-00002.safetensors": shards(nil)["model-00002-of-00002.safetensors"],
	})
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Skipf("no links here: %v", err)
		}
	}
	link("real.safetensors", "in/model.safetensors")
	link("../outside.safetensors", "out/model.safetensors")
	link(filepath.Join(dir, "outside.safetensors"), "far/model.safetensors")
	link("nowhere", "gone/model.safetensors")
	link("../../blobs/abc123", "hub/models--o--n/snapshots/r1/model.safetensors")
	link("../../other/abc123", "hub/models--o--n/snapshots/r2/model.safetensors")
	link("../../blobs/abc123", "hub/other/snapshots/r1/model.safetensors")
	link("../outside.safetensors", "shards/model-00001-of-00002.safetensors")
	link("hub/models--o--n/snapshots/r1", "named")
	link("outside.safetensors", "file.safetensors")

	for name, refused := range map[string]string{
		"in":                            "",
		"out":                           "outside the directory",
		"far":                           "outside the directory",
		"gone":                          "a link to a file that does not exist",
		"hub/models--o--n/snapshots/r1": "",
		"hub/models--o--n/snapshots/r2": "outside the directory",
		"hub/other/snapshots/r1":        "outside the directory",
		"shards":                        "outside the directory",
		"named":                         "", // the caller's own link, to a snapshot
		"file.safetensors":              "", // the caller's own link
	} {
		c, err := Open(filepath.Join(dir, name))
		if refused == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if got := values(t, c, "a"); !slices.Equal(got, []float32{0, 1}) {
				t.Errorf("%s: a = %v", name, got)
			}
			_ = c.Close()
			continue
		}
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), refused) || !strings.HasPrefix(e.File, filepath.Join(dir, name)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// plain is a file system whose files can only be read through.
type plain struct{ fs.FS }

type plainFile struct{ fs.File }

func (p plain) Open(name string) (fs.File, error) {
	f, err := p.FS.Open(name)
	if _, dir := f.(fs.ReadDirFile); dir || err != nil {
		return f, err
	}
	return plainFile{f}, nil
}

// TestFileSystems: the same tensors whatever a file system offers.
func TestFileSystems(t *testing.T) {
	file := safetensors(nil, 0, ramp("a", 2), ramp("b", 700))
	dir := write(t, map[string][]byte{"model.safetensors": file})
	for name, row := range map[string]struct {
		fsys   fs.FS
		copied [2]int64 // after opening, after reading a
	}{
		"os":     {os.DirFS(dir), [2]int64{}},
		"memory": {memory("model.safetensors", file), [2]int64{0, 8}},
		"plain":  {plain{memory("model.safetensors", file)}, [2]int64{int64(len(file)), int64(len(file))}},
	} {
		c, err := OpenFS(row.fsys, ".")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		before := c.Memory()
		if got := values(t, c, "a"); !slices.Equal(got, []float32{0, 1}) {
			t.Errorf("%s: a = %v", name, got)
		}
		after := c.Memory()
		if name != "os" || before.Mapped != 0 {
			if before.Copied != row.copied[0] || after.Copied != row.copied[1] {
				t.Errorf("%s: %+v, then %+v", name, before, after)
			}
		}
		if got := values(t, c, "b"); got[699] != 699 {
			t.Errorf("%s: b ends in %v", name, got[699])
		}
		if err := errors.Join(c.Close(), c.Close()); err != nil {
			t.Error(err)
		}
		var e *Error
		if _, err := c.Tensor("a"); !errors.As(err, &e) || !strings.Contains(err.Error(), "closed") {
			t.Errorf("%s: after Close: %v", name, err)
		}
		if info, ok := c.Info("a"); !ok || info.Bytes != 8 {
			t.Errorf("%s: after Close: %+v", name, info)
		}
	}
}

// failing has files whose data cannot be read past a limit.
type failing struct {
	fstest.MapFS
	limit int64
	err   error
}

type failingFile struct {
	fs.File
	limit int64
	err   error
}

func (f failing) Open(name string) (fs.File, error) {
	file, err := f.MapFS.Open(name)
	return failingFile{file, f.limit, f.err}, err
}

func (f failingFile) ReadAt(b []byte, offset int64) (int, error) {
	if offset+int64(len(b)) > f.limit {
		return 0, f.err
	}
	return f.File.(io.ReaderAt).ReadAt(b, offset)
}

// TestReadErrors: an error of the disk while a tensor is read.
func TestReadErrors(t *testing.T) {
	file := safetensors(nil, 0, ramp("a", 2), ramp("b", 2))
	c, err := OpenFS(failing{memory("m.safetensors", file), int64(len(file)) - 1, fs.ErrPermission}, "m.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Tensor("a"); err != nil {
		t.Error(err)
	}
	if _, err := c.Tensor("b"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("b: %v", err)
	}
	s := c.Scope(ScopeConfig{Ignore: []string{"a"}})
	if x := s.Tensor("b", 1, 2); !x.IsZero() || !errors.Is(s.Err(), fs.ErrPermission) || !strings.Contains(s.Err().Error(), "tensor b: cannot be read") {
		t.Errorf("b is %v: %v", x, s.Err())
	}
	if _, err := OpenFS(failing{memory("m.safetensors", file), 4, fs.ErrPermission}, "m.safetensors"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("header: %v", err)
	}
	c, err = OpenFS(failing{memory("m.safetensors", file), int64(len(file)) - 1, io.EOF}, "m.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Tensor("b"); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("a file that ends early: %v", err)
	}
	pipe := fstest.MapFS{"p.gguf": &fstest.MapFile{Data: file, Mode: fs.ModeNamedPipe}}
	if _, err := OpenFS(pipe, "p.gguf"); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a pipe: %v", err)
	}
}

// fixtures returns the directory of the shared fixtures, or skips.
func fixtures(t testing.TB) string {
	t.Helper()
	root := os.Getenv("FIXTURES")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "fixtures")
	}
	if _, err := os.Stat(filepath.Join(root, "README.md")); err != nil {
		t.Skipf("no fixtures (set FIXTURES): %v", err)
	}
	return root
}

// TestFixtureVariants opens every variant: those that cannot be read are
// refused with what variant.json wants named, the others open.
func TestFixtureVariants(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(fixtures(t), "variants", "*", "variant.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no variants: %v", err)
	}
	texts := map[string]string{}
	for _, path := range paths {
		dir := filepath.Dir(path)
		name := filepath.Base(dir)
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var variant struct {
				MustName [][]string `json:"must_name"`
			}
			if err := json.Unmarshal(b, &variant); err != nil {
				t.Fatal(err)
			}
			c, err := Open(dir)
			if err == nil {
				defer func() { _ = c.Close() }()
				for _, name := range c.Names() {
					if _, err := c.Tensor(name); err != nil {
						t.Error(err)
					}
				}
			}
			// A missing and a misshapen tensor are for Scope to find.
			if variant.MustName == nil || err == nil && (strings.Contains(name, "missing") || strings.Contains(name, "shape")) {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("opens")
			}
			text := strings.ReplaceAll(err.Error(), dir, "")
			for _, group := range variant.MustName {
				if !slices.ContainsFunc(group, func(s string) bool { return strings.Contains(strings.ToLower(text), strings.ToLower(s)) }) {
					t.Errorf("%q has none of %q", text, group)
				}
			}
			if texts[text] != "" {
				t.Errorf("says the same as %s", texts[text])
			}
			texts[text] = name
			t.Log(text)
		})
	}
}

// TestFixtureGGUF opens every GGUF file of the fixtures and decodes it.
func TestFixtureGGUF(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(fixtures(t), "gguf", "models", "*.gguf"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no GGUF files: %v", err)
	}
	for _, path := range paths {
		c := mustOpen(t, path)
		if arch, ok := c.Metadata()["general.architecture"].(string); !ok || arch == "" {
			t.Errorf("%s: architecture %v", path, c.Metadata()["general.architecture"])
		}
		for _, name := range c.Names() {
			for i, v := range values(t, c, name) {
				if v != v {
					t.Fatalf("%s: %s: element %d is NaN", path, name, i)
				}
			}
		}
		if m := c.Memory(); m.Mapped != 0 && m.Copies != 0 {
			t.Errorf("%s: %+v", path, m)
		}
	}
}

func ExampleOpen() {
	file := safetensors(nil, 0, ramp("wte.weight", 2, 3), ramp("ln_f.weight", 3))
	c, err := OpenFS(memory("model.safetensors", file), ".")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = c.Close() }()
	s := c.Scope(ScopeConfig{Strip: []string{"transformer."}})
	wte := s.Tensor("transformer.wte.weight", 2, 3)
	s.Tensor("transformer.ln_f.weight", 1, 4)
	s.Tensor("transformer.ln_f.bias", 1, 3)
	fmt.Println(wte)
	fmt.Println(s.Err())
	// Output:
	// F32[2 3]
	// model.safetensors: tensor ln_f.bias: missing; tensor ln_f.weight: shape [3], want [4]
}
