package golden

// Model: a checkpoint on a device, ready to run cases.

import (
	"os"
	"path/filepath"

	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// Options say how a checkpoint is run. Only Device is required.
type Options struct {
	Device    runtime.Device
	Fallback  runtime.Device // for what Device does not support; nil: none
	Config    string         // name of the configuration; "": config.json
	KV        runtime.DType  // of the cache; the zero value is F32
	BlockSize int            // tokens of a block of the cache; 0: 16
	Chunk     int            // most tokens of a sequence in a step; 0: all
	// Hostile shuffles block numbers and fills all memory that should not be
	// read - unwritten cache, stale scratch - with NaN and huge values.
	Hostile bool
}

// Model is a loaded checkpoint.
type Model struct {
	Model  model.Model
	Stream *runtime.Stream

	opt    Options
	ck     *weights.Checkpoint
	others []*runtime.Stream // of engines
}

// Load opens a folder or a GGUF file and loads it on the device.
func Load(path string, opt Options) (*Model, error) {
	if opt.Config == "" {
		opt.Config = "config.json"
	}
	if opt.BlockSize == 0 {
		opt.BlockSize = 16
	}
	ck, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	m := &Model{opt: opt, ck: ck, Stream: runtime.NewStream(opt.Device, opt.Fallback)}
	src, err := source(path, opt.Config, ck)
	if err == nil {
		m.Model, err = model.Load(m.Stream, ck, src, model.Options{})
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// source is where the configuration of a checkpoint is.
func source(path, config string, ck *weights.Checkpoint) (model.Source, error) {
	if ck.Format() == weights.GGUF {
		return model.Source{File: path, GGUF: ck.Metadata()}, nil
	}
	file := filepath.Join(path, config)
	b, err := os.ReadFile(file)
	return model.Source{File: file, Config: b}, err
}

// Close frees scratch and unmaps the checkpoint; the device stays open.
func (m *Model) Close() {
	m.Stream.Close()
	_ = m.ck.Close()
}

// Fallbacks are the operations that ran on the fallback so far, counted by
// "operation: reason".
func (m *Model) Fallbacks() map[string]int64 {
	all := m.Stream.Fallbacks()
	for _, s := range m.others {
		for what, n := range s.Fallbacks() {
			all[what] += n
		}
	}
	return all
}

// cache is a paged cache for so many sequences of at most so many tokens, and
// their block tables.
func (m *Model) cache(sequences, tokens int) (*model.Cache, [][]int32, error) {
	size := m.opt.BlockSize
	each := (tokens + size - 1) / size
	total := sequences * each
	if m.opt.Hostile {
		total = total*2 + 3 // more than needed, and all of it poisoned
	}
	c, err := model.NewCache(m.Stream, m.Model.Info(), m.opt.KV, total, size)
	if err != nil {
		return nil, nil, err
	}
	tables := make([][]int32, sequences)
	next := func(i int) int32 { return int32(i) }
	if m.opt.Hostile {
		if err := poisonCache(m.Stream, c); err != nil {
			return nil, nil, err
		}
		next = shuffled(total)
	}
	for i := range sequences * each {
		tables[i/each] = append(tables[i/each], next(i))
	}
	return c, tables, nil
}
