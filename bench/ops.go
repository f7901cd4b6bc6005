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

	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/cuda"
	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/runtime"
)

// result is one line of JSON.
type result struct {
	Op      string  `json:"op"`
	Kernel  string  `json:"kernel,omitempty"` // of a device with kernels
	Shape   string  `json:"shape"`
	Device  string  `json:"device"`
	Threads int     `json:"threads,omitempty"` // of a device on the CPU
	NS      float64 `json:"ns"`                // median
	Spread  float64 `json:"spread"`            // interquartile range by median
	Repeats int     `json:"repeats"`
	Bytes   int64   `json:"bytes"` // compulsory
	FLOPs   int64   `json:"flops"`
	GBs     float64 `json:"gb_s"`
	GFLOPs  float64 `json:"gflops_s"`
	Cublas  float64 `json:"cublas,omitempty"` // time of cuBLAS by this
	// Share is the least time that the CPU's ceilings allow, by the time it took; Bound
	// says which ceiling that is: "int8", "read 16 MB".
	Share float64 `json:"share,omitempty"`
	Bound string  `json:"bound,omitempty"`
}

// opsFlags are the command line of ops.
type opsFlags struct {
	device  string
	op      string
	short   bool
	json    bool
	repeats int
	threads int
	least   time.Duration
}

func ops(args []string, out, notes io.Writer) error {
	o := opsFlags{}
	f := flag.NewFlagSet("bench ops", flag.ContinueOnError)
	f.SetOutput(notes)
	f.StringVar(&o.device, "device", bestDevice(), "cpu, cpu:PATH, reference, ptx, cuda, cuda:N or cuda:emu")
	f.StringVar(&o.op, "op", "", "only this operation, as MatMul")
	f.BoolVar(&o.short, "short", false, "only the smallest size of each kernel, once: shows that it runs")
	f.BoolVar(&o.json, "json", false, "a JSON object a line; else lines that benchstat reads")
	f.IntVar(&o.repeats, "repeats", 7, "repeats a size; the median counts")
	f.IntVar(&o.threads, "threads", 2, "threads of a device on the CPU")
	f.DurationVar(&o.least, "least", 200*time.Millisecond, "least time of a repeat")
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.short {
		o.repeats, o.least = 1, 0
	}
	if o.repeats < 1 || o.threads < 1 {
		return fmt.Errorf("-repeats %d -threads %d: want at least 1", o.repeats, o.threads)
	}
	ran, skipped := 0, ""
	write := func(r result) error {
		ran++
		return r.write(out, o.json)
	}
	var err error
	if base, _, _ := strings.Cut(o.device, ":"); base == "cpu" || base == "reference" {
		err = opsOnCPU(o, write)
	} else {
		skipped, err = opsOnKernels(o, write)
	}
	fmt.Fprintf(notes, "%d rows%s\n", ran, skipped)
	if err == nil && ran == 0 {
		err = fmt.Errorf("no kernel runs %q", o.op)
	}
	return err
}

// opsOnKernels times each kernel by itself at the sizes that it declares. What it
// returns tells of products that could not be timed beside cuBLAS.
func opsOnKernels(o opsFlags, write func(result) error) (note string, err error) {
	var blas *cublas
	var blasErr error
	if strings.HasPrefix(o.device, "cuda") {
		if blas, blasErr = openCublas(o.device); blas != nil {
			defer blas.close()
		}
	}
	skipped := 0
	for _, k := range kernels.All {
		if o.op != "" && o.op != k.Op || k.Unproven != "" {
			continue
		}
		dev, _, err := openDevice(o.device, k, deviceOptions{})
		if err != nil {
			return "", err
		}
		for i, shape := range k.Shapes {
			if o.short && i > 0 {
				break
			}
			err := timeShape(dev, opShape{k.Op, shape}, o, func(op runtime.Op, t timing) error {
				r := newResult(dev, opShape{k.Op, shape}, k.Cost(op), t)
				r.Kernel = k.Entry
				if m, ok := op.(*runtime.MatMul); ok && strings.HasPrefix(o.device, "cuda") && plainProduct(m) {
					if blas == nil {
						skipped++
						return write(r)
					}
					t, err := measure(func(n int) error { return blas.product(m, n) }, o.least, o.repeats)
					if err != nil {
						return err
					}
					r.Cublas = float64(t.Median) / r.NS
				}
				return write(r)
			})
			if err != nil {
				return "", errors.Join(fmt.Errorf("%s %s: %w", k.Entry, shape.Name, err), dev.Close())
			}
		}
		if err := dev.Close(); err != nil {
			return "", err
		}
	}
	if skipped > 0 {
		note = fmt.Sprintf("; beside cuBLAS: %d skipped (%v)", skipped, blasErr)
	}
	return note, nil
}

// opsOnCPU times the sizes that the kernels declare and those of models on a CPU
// device, beside what the machine can do.
func opsOnCPU(o opsFlags, write func(result) error) error {
	path := simd.Best()
	if p, ok := simd.ParsePath(strings.TrimPrefix(o.device, "cpu:")); ok && p.Available() {
		path = p
	}
	var c *ceilings
	if !o.short {
		c = measureCeilings(path, o.threads)
	}
	return timeOnCPU(o, shapesOnCPU(o.short), c, write)
}

// timeOnCPU times shapes on a CPU device; without ceilings nothing is a share of any.
func timeOnCPU(o opsFlags, shapes []opShape, c *ceilings, write func(result) error) error {
	dev, _, err := openDevice(o.device, nil, deviceOptions{threads: o.threads})
	if err != nil {
		return err
	}
	for _, shape := range shapes {
		if o.op != "" && o.op != shape.op {
			continue
		}
		err := timeShape(dev, shape, o, func(op runtime.Op, t timing) error {
			r := newResult(dev, shape, costOf(op), t)
			r.Threads = o.threads
			if c != nil {
				r.Share, r.Bound = c.share(op, r)
			}
			return write(r)
		})
		if err != nil {
			return errors.Join(fmt.Errorf("%s %s: %w", shape.op, shape.Name, err), dev.Close())
		}
	}
	return dev.Close()
}

// shapesOnCPU are those of kernels, each once, and those of models; short: the first
// of each operation and type.
func shapesOnCPU(short bool) []opShape {
	var all []opShape
	done := map[string]bool{}
	for _, k := range kernels.All {
		for i, s := range k.Shapes {
			if key := k.Op + "/" + s.Name; k.Unproven == "" && !done[key] && !(short && i > 0) {
				done[key] = true
				all = append(all, opShape{k.Op, s})
			}
		}
	}
	for _, s := range cpuShapes() {
		fields := strings.Fields(s.Name)
		if key := s.op + "/" + fields[len(fields)-1]; !short || !done[key] {
			done[key] = true
			all = append(all, s)
		}
	}
	return all
}

// costOf is what an operation has to move and compute.
func costOf(op runtime.Op) kernels.Cost {
	for _, k := range kernels.All {
		if k.Op == op.Name() && k.Unproven == "" {
			return k.Cost(op)
		}
	}
	return kernels.Cost{}
}

// share is the least time that an operation can take, by what it took, and what sets
// that time.
func (c *ceilings) share(op runtime.Op, r result) (float64, string) {
	kind := "f32"
	if m, ok := op.(*runtime.MatMul); ok && r.Device != "reference" {
		switch t := m.W.DType; {
		case t == runtime.BF16:
			kind = "bf16"
		case t.BlockSize() > 1:
			kind = "int8"
		}
	}
	size := int64(64 << 10)
	for size < r.Bytes && size < 512<<20 {
		size *= 2
	}
	least, bound := float64(r.FLOPs)/c.products(kind), kind
	if moving := float64(r.Bytes) / c.read(size, c.threads).Best; moving > least {
		least, bound = moving, fmt.Sprintf("read %.3g MB", float64(size)/(1<<20))
	}
	return least / r.NS, bound
}

// timeShape times one shape and hands on what it took, with its operation.
func timeShape(dev runtime.Device, shape opShape, o opsFlags, use func(runtime.Op, timing) error) error {
	m := &kernels.Maker{Device: dev}
	defer m.Free()
	op := shape.Op(m)
	if m.Err != nil {
		return m.Err
	}
	if product, ok := op.(*runtime.MatMul); ok {
		if _, kernels := dev.(*cuda.Device); !kernels { // a CPU device has its own form of a weight
			w, err := dev.Load(product.W, runtime.UseProduct)
			if err != nil {
				return err
			}
			defer dev.Free(w.Mem)
			product.W = w
		}
	}
	if err := op.Check(); err != nil {
		return err
	}
	t, err := measure(runOp(dev, op), o.least, o.repeats)
	if err != nil {
		return err
	}
	return use(op, t)
}

func newResult(dev runtime.Device, shape opShape, cost kernels.Cost, t timing) result {
	ns := float64(t.Median)
	return result{Op: shape.op, Shape: shape.Name, Device: dev.Info().Name, NS: ns, Spread: t.Spread, Repeats: t.Runs,
		Bytes: cost.Bytes, FLOPs: cost.FLOPs, GBs: float64(cost.Bytes) / ns, GFLOPs: float64(cost.FLOPs) / ns}
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
	if err == nil && r.Share > 0 {
		_, err = fmt.Fprintf(w, " %.1f of-ceiling-%%", 100*r.Share)
	}
	if err == nil && r.Cublas > 0 {
		_, err = fmt.Fprintf(w, " %.3f of-cuBLAS", r.Cublas)
	}
	if err == nil {
		_, err = fmt.Fprintln(w)
	}
	return err
}
