package main

// ops: each operation at the sizes that its kernels declare, on any device.

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/runtime"
)

// result is one line of JSON.
type result struct {
	Op      string  `json:"op"`
	Kernel  string  `json:"kernel"` // "" on a device without kernels; "cublas" beside a product
	Shape   string  `json:"shape"`
	Device  string  `json:"device"`
	NS      float64 `json:"ns"`     // median
	Spread  float64 `json:"spread"` // interquartile range by median
	Repeats int     `json:"repeats"`
	GBs     float64 `json:"gb_s"`     // compulsory bytes
	GFLOPs  float64 `json:"gflops_s"` //
	Cublas  float64 `json:"cublas,omitempty"`
}

// opsFlags are the command line of ops.
type opsFlags struct {
	device  string
	op      string
	short   bool
	json    bool
	repeats int
	least   time.Duration
}

func ops(args []string, out, notes io.Writer) error {
	o := opsFlags{}
	f := flag.NewFlagSet("bench ops", flag.ContinueOnError)
	f.SetOutput(notes)
	f.StringVar(&o.device, "device", "reference", "reference, ptx, cuda, cuda:N or cuda:emu")
	f.StringVar(&o.op, "op", "", "only this operation, as MatMul")
	f.BoolVar(&o.short, "short", false, "only the smallest size of each kernel, once: shows that it runs")
	f.BoolVar(&o.json, "json", false, "a JSON object a line; else lines that benchstat reads")
	f.IntVar(&o.repeats, "repeats", 7, "repeats a size; the median counts")
	f.DurationVar(&o.least, "least", 200*time.Millisecond, "least time of a repeat")
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.short {
		o.repeats, o.least = 1, 0
	}
	if o.repeats < 1 {
		return fmt.Errorf("-repeats %d: want at least 1", o.repeats)
	}
	var blas *cublas
	var blasErr error
	if strings.HasPrefix(o.device, "cuda") {
		if blas, blasErr = openCublas(o.device); blas != nil {
			defer blas.close()
		}
	}
	ran, skipped := 0, 0
	done := map[string]bool{}
	for _, k := range kernels.All {
		if o.op != "" && o.op != k.Op || k.Unproven != "" {
			continue
		}
		dev, one, err := openDevice(o.device, k)
		if err != nil {
			return err
		}
		for i, shape := range k.Shapes {
			key := k.Op + "/" + shape.Name
			if !one && done[key] || o.short && i > 0 {
				continue
			}
			done[key] = true
			r, op, free, err := timeShape(dev, k, shape, o)
			if err != nil {
				free()
				return errors.Join(fmt.Errorf("%s %s: %w", k.Entry, shape.Name, err), dev.Close())
			}
			if r.Kernel = k.Entry; !one {
				r.Kernel = ""
			}
			if m, ok := op.(*runtime.MatMul); ok && strings.HasPrefix(o.device, "cuda") && plainProduct(m) {
				if blas != nil {
					t, err := measure(func(n int) error { return blas.product(m, n) }, o.least, o.repeats)
					if err != nil {
						free()
						return errors.Join(err, dev.Close())
					}
					r.Cublas = float64(t.Median) / r.NS
				} else {
					skipped++
				}
			}
			free()
			ran++
			if err := r.write(out, o.json); err != nil {
				return errors.Join(err, dev.Close())
			}
		}
		if err := dev.Close(); err != nil {
			return err
		}
	}
	fmt.Fprintf(notes, "%d rows", ran)
	if skipped > 0 {
		fmt.Fprintf(notes, "; beside cuBLAS: %d skipped (%v)", skipped, blasErr)
	}
	fmt.Fprintln(notes)
	if ran == 0 {
		return fmt.Errorf("no kernel runs %q", o.op)
	}
	return nil
}

// timeShape times one shape; free gives its operands back.
func timeShape(dev runtime.Device, k *kernels.Kernel, shape kernels.Shape, o opsFlags) (result, runtime.Op, func(), error) {
	m := &kernels.Maker{Device: dev}
	op := shape.Op(m)
	if m.Err != nil {
		return result{}, nil, m.Free, m.Err
	}
	if err := op.Check(); err != nil {
		return result{}, nil, m.Free, err
	}
	t, err := measure(func(n int) error {
		for range n {
			if err := dev.Run(op); err != nil {
				return err
			}
		}
		return dev.Sync()
	}, o.least, o.repeats)
	if err != nil {
		return result{}, nil, m.Free, err
	}
	cost := k.Cost(op)
	ns := float64(t.Median)
	return result{Op: k.Op, Shape: shape.Name, Device: dev.Info().Name, NS: ns, Spread: t.Spread, Repeats: t.Runs,
		GBs: float64(cost.Bytes) / ns, GFLOPs: float64(cost.FLOPs) / ns}, op, m.Free, nil
}

// plainProduct reports whether cuBLAS computes the same product: no experts, no groups, no gate.
func plainProduct(m *runtime.MatMul) bool {
	return m.W.DType == runtime.F32 && m.Pick.IsZero() && m.Groups <= 1 && m.Fan <= 1 && !m.Gated
}

func (r result) write(w io.Writer, asJSON bool) error {
	if asJSON {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", line)
		return err
	}
	name := []string{"Benchmark" + r.Op, r.Kernel, strings.ReplaceAll(r.Shape, " ", "_"), r.Device}
	name = slices.DeleteFunc(name, func(s string) bool { return s == "" })
	_, err := fmt.Fprintf(w, "%s %d %.0f ns/op %.2f GB/s %.2f GFLOP/s %.1f spread-%%", strings.Join(name, "/"), r.Repeats, r.NS, r.GBs, r.GFLOPs, 100*r.Spread)
	if err == nil && r.Cublas > 0 {
		_, err = fmt.Fprintf(w, " %.3f of-cuBLAS", r.Cublas)
	}
	if err == nil {
		_, err = fmt.Fprintln(w)
	}
	return err
}
