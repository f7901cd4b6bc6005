package main

// Groups of flags that commands share, and what they become.

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/godwit-ml/godwit"
	"github.com/godwit-ml/godwit/demo"
)

// flagGroups are the headings of the help, in this order.
var flagGroups = []kong.Group{
	{Key: "model", Title: "Model:"},
	{Key: "input", Title: "Input:"},
	{Key: "sampling", Title: "Sampling (unset: what generation_config.json says, else greedy):"},
	{Key: "output", Title: "Output:"},
}

// modelFlag names a model.
type modelFlag struct {
	Model string `group:"model" short:"m" placeholder:"MODEL" help:"A directory, a .gguf file, or owner/name in the Hugging Face cache; owner/name@revision; owner/name:Q4_K_M or :file.gguf where there are several."`
	demo  string // the model of the demo that stands in for none
}

// given is an error where no model is named and the demo has none for the command.
func (f *modelFlag) given(command string) error {
	if f.Model != "" {
		return nil
	}
	if f.demo = demoModels[command]; f.demo == "" {
		return &usageError{fmt.Sprintf("no model: name one with -m, as in: godwit %s -m owner/name", command)}
	}
	return nil
}

// deviceFlag says where a model runs.
type deviceFlag struct {
	Device string `group:"model" placeholder:"NAME" help:"As godwit devices lists them; unset: $$GODWIT_DEVICE, else auto."`
}

// computeFlags say where and how a model runs.
type computeFlags struct {
	deviceFlag
	DType    string   `group:"model" name:"dtype" placeholder:"TYPE" help:"Arithmetic: f32 is exact; unset: the fastest for the stored weights."`
	Quantize string   `group:"model" placeholder:"TYPE" help:"Round weights while they load: q8_0 or q4_0; unset: as they are stored."`
	Threads  int      `group:"model" short:"t" placeholder:"N" help:"Threads that compute; unset: all."`
	CtxSize  int      `group:"model" short:"c" placeholder:"N" help:"Most tokens of a sequence; unset: the checkpoint's."`
	Memory   byteSize `group:"model" placeholder:"SIZE" help:"Most memory, as 4GiB; unset: what is free."`
}

func (f *computeFlags) config() godwit.Config {
	return godwit.Config{Device: f.Device, DType: f.DType, Quantize: f.Quantize, Threads: f.Threads, Context: f.CtxSize, MemoryLimit: int64(f.Memory)}
}

// jsonFlag asks for results as JSON.
type jsonFlag struct {
	JSON bool `group:"output" name:"json" help:"One JSON object a line; an error is one on standard error."`
}

// quietFlag and noteFlags say how much goes to standard error.
type quietFlag struct {
	Quiet bool `group:"output" short:"q" xor:"notes" help:"Nothing on standard error but errors."`
}

type noteFlags struct {
	quietFlag
	Verbose bool `group:"output" short:"v" xor:"notes" help:"Say what was loaded, and how long it took."`
}

// open finds and opens a model, with progress for who waits.
func open(ctx context.Context, s *streams, m *modelFlag, n *noteFlags, cfg godwit.Config) (*godwit.Model, error) {
	start := time.Now()
	wait := s.begin("loading", start, n.Quiet, true)
	cfg.Progress = func(p godwit.Progress) { wait.update(p.Done, p.Total) }
	model, err := m.open(ctx, cfg)
	wait.end()
	if err != nil {
		return nil, err
	}
	if n.Verbose {
		info := model.Info()
		fmt.Fprintf(s.notes, "%s: %s, %s parameters, %s on %s, context %d\n", info.Name, info.Architecture, count(info.Parameters), info.DType, info.Device, info.Context)
		fmt.Fprintf(s.notes, "opened in %s: %s\n", seconds(time.Since(start)), memory(info.Memory))
	}
	return model, nil
}

// finish closes a model, and says what its device left to the CPU.
func finish(s *streams, model *godwit.Model, n *noteFlags) error {
	if falls := model.Stats().Fallbacks; !n.Quiet {
		for _, what := range slices.Sorted(maps.Keys(falls)) {
			fmt.Fprintf(s.notes, "%s ran on the CPU instead of %s: %s\n", plural(int(falls[what]), "operation"), model.Info().Device, what)
		}
	}
	return model.Close()
}

// open opens the model that is named, or the demo's.
func (f *modelFlag) open(ctx context.Context, cfg godwit.Config) (*godwit.Model, error) {
	if f.demo != "" {
		return godwit.OpenFS(ctx, demo.FS, f.demo, cfg)
	}
	path, err := godwit.Find(f.Model)
	if err != nil {
		return nil, err
	}
	return godwit.Open(ctx, path, cfg)
}

// byteSize is a number of bytes, written 4GiB, 500MB, 1.5G or 1048576.
type byteSize int64

// sizeUnits are powers of 1000 where SI says so, else of 1024.
var sizeUnits = map[string]int64{
	"": 1, "b": 1,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}

// UnmarshalText reads a size exactly: fractions of a unit, not of a byte.
func (b *byteSize) UnmarshalText(text []byte) error {
	number := strings.TrimRight(strings.TrimSpace(string(text)), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit, known := sizeUnits[strings.ToLower(strings.TrimSpace(strings.TrimSpace(string(text))[len(number):]))]
	value, ok := new(big.Rat), false
	// Rat also reads 1/3 and 1e999999999, which are no sizes.
	if len(number) <= 20 && strings.Trim(number, "0123456789.") == "" {
		value, ok = value.SetString(number)
	}
	if !known || !ok {
		return fmt.Errorf("%q is no size: write 4GiB, 500MB or a number of bytes", text)
	}
	value.Mul(value, new(big.Rat).SetInt64(unit))
	whole := new(big.Int).Quo(value.Num(), value.Denom())
	if !whole.IsInt64() || whole.Sign() == 0 {
		return fmt.Errorf("%q is no size that a machine has: 1 to %d bytes", text, int64(math.MaxInt64))
	}
	*b = byteSize(whole.Int64())
	return nil
}
