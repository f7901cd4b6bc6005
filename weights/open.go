package weights

// Opening: which file of a directory is the model, and what is refused.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const (
	singleFile = "model.safetensors"
	indexFile  = "model.safetensors.index.json"
	configFile = "config.json"
	// maxConfig bounds what is read of a config.json.
	maxConfig = 4 << 20
)

// Open opens a Hugging Face directory (model.safetensors, or the shards of
// model.safetensors.index.json), a .gguf or a .safetensors file.
func Open(name string) (*Checkpoint, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, &Error{File: name, Reason: "cannot be opened", Err: bare(err)}
	}
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return nil, &Error{File: name, Reason: fmt.Sprintf("not a regular file or directory (%v)", info.Mode())}
		}
		return openFile(name, func() (fs.File, error) { return os.Open(name) })
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, &Error{File: name, Reason: "cannot be opened", Err: bare(err)}
	}
	defer func() { _ = root.Close() }()
	return openDirectory(&diskFolder{path: name, root: root})
}

// OpenFS is Open in a file system; name is "." or a directory or a file in it.
// Files that are *os.File are mapped as Open does. Of other files that are an
// io.ReaderAt each tensor is read when it is asked for; what is neither is read
// as a whole.
func OpenFS(fsys fs.FS, name string) (*Checkpoint, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, &Error{File: name, Reason: "cannot be opened", Err: bare(err)}
	}
	if info.IsDir() {
		return openDirectory(&virtualFolder{path: name, fsys: fsys})
	}
	return openFile(name, func() (fs.File, error) { return fsys.Open(name) })
}

// bare strips the path off an error of the system: Error.File has it.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// openFile opens a file that the caller named.
func openFile(name string, open func() (fs.File, error)) (*Checkpoint, error) {
	if isPickle(name) {
		return nil, pickleError(name)
	}
	c := &Checkpoint{path: name}
	err := c.loadFile(name, open, "")
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c.checked()
}

// loadFile opens one file and loads it; without a format the first bytes tell.
func (c *Checkpoint) loadFile(name string, open func() (fs.File, error), format Format) error {
	if !littleEndian() {
		return &Error{File: name, Reason: "model files are little endian, which this machine is not"}
	}
	file, err := open()
	if err != nil {
		var own *Error
		if errors.As(err, &own) {
			return own
		}
		return &Error{File: name, Reason: "cannot be opened", Err: bare(err)}
	}
	s, err := newSource(file, name)
	if err != nil {
		return err
	}
	if format == "" {
		format = Safetensors
		b, err := s.front(4)
		if err != nil {
			_ = s.close()
			return err
		}
		if string(b) == ggufMagic || strings.HasSuffix(strings.ToLower(name), ".gguf") {
			format = GGUF
		}
	}
	return c.load(s, format)
}

// checked completes an opened checkpoint, or closes one that is of a kind that
// cannot be computed with.
func (c *Checkpoint) checked() (*Checkpoint, error) {
	c.finish()
	for _, name := range c.names {
		base, packed := strings.CutSuffix(name, ".qweight")
		if !packed || c.format != Safetensors {
			continue
		}
		kind := "an AWQ or GPTQ"
		if _, ok := c.tensors[base+".g_idx"]; ok {
			kind = "a GPTQ"
		}
		err := &Error{File: c.tensors[name].source.path, Tensor: name, Field: "dtype", Reason: fmt.Sprintf("tensor %s: %s checkpoint, which is not supported: %s", show(name), kind, takeAnother)}
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

const takeAnother = "take the F16 or BF16 checkpoint it was made from, or a GGUF of it"

// folder is a directory that holds a checkpoint.
type folder interface {
	// join returns the path of a file in it, for messages.
	join(name string) string
	// open opens a regular file in it. The error is fs.ErrNotExist if there is
	// none, and an *Error if it is refused.
	open(name string) (fs.File, error)
	// list returns the names in it.
	list() ([]string, error)
}

// openDirectory applies the rules of Hugging Face directories.
func openDirectory(d folder) (*Checkpoint, error) {
	c := &Checkpoint{path: d.join(singleFile)}
	err := refuseQuantized(d)
	if err == nil {
		err = c.loadFile(c.path, func() (fs.File, error) { return d.open(singleFile) }, Safetensors)
	}
	if errors.Is(err, fs.ErrNotExist) {
		c.path = d.join(indexFile)
		err = c.loadShards(d)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = noModel(d)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c.checked()
}

// refuseQuantized reads quantization_config of config.json. A config.json that
// is absent or damaged is for the reader of the configuration to report.
func refuseQuantized(d folder) error {
	b, err := readSmall(d, configFile, maxConfig)
	if err != nil {
		return nil
	}
	var config struct {
		Quantization struct {
			Method string `json:"quant_method"`
		} `json:"quantization_config"`
	}
	if json.Unmarshal(b, &config) != nil || config.Quantization.Method == "" {
		return nil
	}
	kind := strings.ToUpper(config.Quantization.Method)
	return &Error{
		File: d.join(configFile), Field: "quantization_config.quant_method",
		Reason: fmt.Sprintf("quantization_config.quant_method: a checkpoint quantised with %s, which is not supported: %s", show(kind), takeAnother),
	}
}

// readSmall reads a whole file of at most limit bytes.
func readSmall(d folder, name string, limit int64) ([]byte, error) {
	file, err := d.open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, &Error{File: d.join(name), Reason: fmt.Sprintf("%d bytes, more than the %d such a file may have", info.Size(), limit)}
	}
	b := make([]byte, info.Size())
	_, err = io.ReadFull(file, b)
	return b, err
}

// isPickle reports whether files of such a name are pickles or archives of them.
func isPickle(name string) bool {
	switch strings.ToLower(path.Ext(filepath.ToSlash(name))) {
	case ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle":
		return true
	}
	return false
}

// pickleError refuses a pickle.
func pickleError(name string) *Error {
	return &Error{File: name, Field: "format", Reason: "a pickle, which is never unpickled here, as that runs whatever code is in it: " +
		"convert it to safetensors where you trust it, with transformers: AutoModel….from_pretrained(DIR).save_pretrained(NEW, safe_serialization=True)"}
}

// noModel says what a directory without a model has instead.
func noModel(d folder) error {
	names, err := d.list()
	if err != nil {
		return &Error{File: d.join("."), Reason: "cannot be listed", Err: bare(err)}
	}
	slices.Sort(names)
	var ggufs []string
	for _, name := range names {
		if strings.HasSuffix(strings.ToLower(name), ".gguf") {
			ggufs = append(ggufs, show(name))
		}
	}
	none := fmt.Sprintf("neither %s nor %s in the directory", singleFile, indexFile)
	if len(ggufs) > 0 {
		if len(ggufs) > 8 {
			ggufs = append(ggufs[:8], "…")
		}
		return &Error{File: d.join("."), Reason: none + ", but GGUF files: name one of them: " + strings.Join(ggufs, ", ")}
	}
	pickles := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return !isPickle(name) || !strings.Contains(name, "model") && !strings.HasPrefix(name, "consolidated")
	})
	if len(pickles) > 0 {
		err := pickleError(d.join(pickles[0]))
		err.Reason = none + ", only " + err.Reason
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".safetensors") {
			return &Error{File: d.join("."), Reason: none + ", but " + show(name) + ": name that file itself, or restore the index if it is a shard"}
		}
	}
	return &Error{File: d.join("."), Reason: none}
}

// loadShards reads the index and every shard it names.
func (c *Checkpoint) loadShards(d folder) error {
	b, err := readSmall(d, indexFile, maxSafetensorsHeader)
	if err != nil {
		var own *Error
		if errors.Is(err, fs.ErrNotExist) || errors.As(err, &own) {
			return err
		}
		return &Error{File: c.path, Reason: "cannot be read", Err: bare(err)}
	}
	shards, err := parseIndex(string(b))
	if err != nil {
		var own *Error
		if errors.As(err, &own) {
			own.File = c.path
		}
		return err
	}
	files := map[string]bool{}
	for _, file := range shards {
		files[file] = true
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		err := c.loadFile(d.join(file), func() (fs.File, error) { return d.open(file) }, Safetensors)
		if errors.Is(err, fs.ErrNotExist) {
			return &Error{File: c.path, Field: "weight_map", Reason: "names the shard " + show(file) + ", which is not in the directory: download it"}
		}
		if err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(shards)) {
		want := d.join(shards[name])
		if e, ok := c.tensors[name]; !ok || e.source.path != want {
			return &Error{File: want, Tensor: name, Field: "weight_map", Reason: "tensor " + show(name) + ": not in this shard, where " + indexFile + " has it"}
		}
	}
	return nil
}

// parseIndex reads the weight_map of an index: tensor name to file name.
func parseIndex(text string) (map[string]string, error) {
	p := &jsonText{text: text}
	var shards map[string]string
	var own *Error
	err := p.object(func(key string) error {
		if key != "weight_map" {
			return p.skip(maxDepth)
		}
		if shards != nil {
			own = failf("weight_map", "weight_map is there twice")
			return own
		}
		shards = map[string]string{}
		return p.object(func(name string) error {
			file, err := p.str()
			if err != nil {
				return err
			}
			if _, twice := shards[name]; twice {
				own = tensorFailf(name, "weight_map", "twice in weight_map")
				return own
			}
			if !plainName(file) || !strings.HasSuffix(file, ".safetensors") {
				own = tensorFailf(name, "weight_map", "its shard %s is not the plain name of a .safetensors file in the same directory", show(file))
				return own
			}
			shards[name] = file
			return nil
		})
	})
	if own != nil {
		return nil, own
	}
	if err == nil {
		err = p.end()
	}
	if err != nil {
		return nil, &Error{Field: "weight_map", Reason: "the index is not the JSON it should be", Err: err}
	}
	if len(shards) == 0 {
		return nil, failf("weight_map", "the index has no weight_map, or an empty one")
	}
	return shards, nil
}

// plainName reports whether a name is that of a file in the same directory on
// every system: no separators, no drive, nothing that means another directory.
func plainName(name string) bool {
	return fs.ValidPath(name) && name != "." && !strings.ContainsAny(name, "/\\:\x00") && filepath.IsLocal(name)
}
