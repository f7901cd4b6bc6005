package main

// Arguments of kernels as words: numbers, and buffers with what they hold.

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/godwit-ml/godwit/ptx"
	"github.com/godwit-ml/godwit/quant"
)

// maxBuffer bounds what one --arg may ask for, bytes.
const maxBuffer = 4 << 30

// buffer is a parameter that points to memory.
type buffer struct {
	index int // of the parameter
	param ptx.Param
	elem  string // "f32"
	addr  uint64
	bytes []byte // as they were made
}

// elementSizes are the types of buffers' elements.
var elementSizes = map[string]int{"f32": 4, "f64": 8, "f16": 2, "bf16": 2, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "u8": 1, "u16": 2, "u32": 4, "u64": 8}

// argumentHelp is what --arg takes.
const argumentHelp = `a number for a scalar; TYPE[N] for a pointer to N elements that nobody has written, TYPE[N]=FILL for elements of FILL: a number, ramp (0, 1, 2 …), random (-1 to 1, or bytes, the same in every run), or @FILE with raw bytes. TYPE is f32, f64, f16, bf16, i8 … i64 or u8 … u64`

// bind makes the parameters of a launch in memory.
func bind(k *ptx.Kernel, mem *ptx.Memory, words []string) ([]byte, []*buffer, error) {
	if len(words) != len(k.Params) {
		return nil, nil, &usageError{fmt.Sprintf("kernel %s has %d parameters, and there are %d --arg: one each, in order: %s", k.Name, len(k.Params), len(words), signature(k))}
	}
	params := make([]byte, k.ParamBytes())
	var buffers []*buffer
	for i, word := range words {
		p := k.Params[i]
		wrong := func(why string) error {
			return &usageError{fmt.Sprintf("--arg %q, parameter %d (%s): %s; want %s", word, i, paramName(p), why, argumentHelp)}
		}
		if !strings.Contains(word, "[") {
			if err := putScalar(params[p.Offset:p.Offset+p.Size], p.Type, word); err != nil {
				return nil, nil, wrong(err.Error())
			}
			continue
		}
		if p.Size != 8 {
			return nil, nil, wrong(fmt.Sprintf("a pointer takes 8 bytes, this has %d", p.Size))
		}
		b, err := newBuffer(mem, word)
		if err != nil {
			return nil, nil, wrong(err.Error())
		}
		b.index, b.param = i, p
		binary.LittleEndian.PutUint64(params[p.Offset:], b.addr)
		buffers = append(buffers, b)
	}
	return params, buffers, nil
}

// putScalar writes a number as a parameter of a PTX type.
func putScalar(dst []byte, kind, word string) error {
	switch kind {
	case "f64":
		v, err := strconv.ParseFloat(word, 64)
		binary.LittleEndian.PutUint64(dst, math.Float64bits(v))
		return scalarError(err)
	case "f32":
		v, err := strconv.ParseFloat(word, 32)
		binary.LittleEndian.PutUint32(dst, math.Float32bits(float32(v)))
		return scalarError(err)
	}
	if len(dst) != 1 && len(dst) != 2 && len(dst) != 4 && len(dst) != 8 {
		return fmt.Errorf("a structure of %d bytes", len(dst))
	}
	bits := 8 * len(dst)
	v, err := strconv.ParseInt(word, 0, 64)
	u := uint64(v)
	if err != nil {
		u, err = strconv.ParseUint(word, 0, bits)
	} else if bits < 64 && (v < -1<<(bits-1) || v >= 1<<bits) {
		err = strconv.ErrRange
	}
	var wide [8]byte
	binary.LittleEndian.PutUint64(wide[:], u)
	copy(dst, wide[:])
	return scalarError(err)
}

func scalarError(err error) error {
	if err != nil {
		return fmt.Errorf("no such number")
	}
	return nil
}

// newBuffer makes TYPE[N] or TYPE[N]=FILL in memory.
func newBuffer(mem *ptx.Memory, word string) (*buffer, error) {
	head, fill, filled := strings.Cut(word, "=")
	elem, count, ok := strings.Cut(strings.TrimSuffix(head, "]"), "[")
	n, err := strconv.Atoi(count)
	size := elementSizes[elem]
	if !ok || !strings.HasSuffix(head, "]") || err != nil || size == 0 || n < 1 || n > maxBuffer/size {
		return nil, fmt.Errorf("no such buffer")
	}
	b := &buffer{elem: elem}
	if b.addr, err = mem.Alloc(int64(n * size)); err != nil {
		return nil, err
	}
	view, err := mem.Bytes(b.addr, int64(n*size))
	if err != nil {
		return nil, err
	}
	if filled {
		if err := fillBuffer(view, elem, fill); err != nil {
			return nil, err
		}
	}
	b.bytes = append([]byte(nil), view...)
	return b, nil
}

func fillBuffer(dst []byte, elem, fill string) error {
	size := elementSizes[elem]
	if name, ok := strings.CutPrefix(fill, "@"); ok {
		data, err := os.ReadFile(name)
		if err == nil && len(data) != len(dst) {
			err = fmt.Errorf("%s has %d bytes, want %d", name, len(data), len(dst))
		}
		copy(dst, data)
		return err
	}
	value, state := 0.0, uint64(0x60d317)
	next := func(int) float64 { return value }
	switch fill {
	case "ramp":
		next = func(i int) float64 { return float64(i) }
	case "random":
		next = func(int) float64 {
			state = state*6364136223846793005 + 1442695040888963407 // Knuth's MMIX
			if elem[0] == 'i' || elem[0] == 'u' {
				return float64(state >> 57) // 0 to 127
			}
			return float64(int32(state>>32)) / (1 << 31)
		}
	default:
		v, err := strconv.ParseFloat(fill, 64)
		if err != nil {
			return fmt.Errorf("nothing is called %q", fill)
		}
		value = v
	}
	for i := 0; i*size < len(dst); i++ {
		putElement(dst[i*size:], elem, next(i))
	}
	return nil
}

func putElement(dst []byte, elem string, v float64) {
	switch elem {
	case "f64":
		binary.LittleEndian.PutUint64(dst, math.Float64bits(v))
	case "f32":
		binary.LittleEndian.PutUint32(dst, math.Float32bits(float32(v)))
	case "f16":
		binary.LittleEndian.PutUint16(dst, quant.ToF16(float32(v)))
	case "bf16":
		binary.LittleEndian.PutUint16(dst, quant.ToBF16(float32(v)))
	default:
		var wide [8]byte
		binary.LittleEndian.PutUint64(wide[:], uint64(int64(v)))
		copy(dst[:elementSizes[elem]], wide[:])
	}
}

// element is element i as text.
func element(b []byte, elem string, i int) string {
	size := elementSizes[elem]
	b = b[i*size:]
	switch elem {
	case "f64":
		return strconv.FormatFloat(math.Float64frombits(binary.LittleEndian.Uint64(b)), 'g', 8, 64)
	case "f32":
		return strconv.FormatFloat(float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), 'g', 7, 32)
	case "f16":
		return strconv.FormatFloat(float64(quant.FromF16(binary.LittleEndian.Uint16(b))), 'g', 5, 32)
	case "bf16":
		return strconv.FormatFloat(float64(quant.FromBF16(binary.LittleEndian.Uint16(b))), 'g', 4, 32)
	}
	var wide [8]byte
	copy(wide[:], b[:size])
	u := binary.LittleEndian.Uint64(wide[:])
	if elem[0] == 'u' {
		return strconv.FormatUint(u, 10)
	}
	shift := 64 - 8*size
	return strconv.FormatInt(int64(u<<shift)>>shift, 10)
}

// paramName is a parameter as its signature has it.
func paramName(p ptx.Param) string { return "." + p.Type + " " + p.Name }

func signature(k *ptx.Kernel) string {
	names := make([]string, len(k.Params))
	for i, p := range k.Params {
		names[i] = strings.Replace(paramName(p), " "+k.Name+"_param_", " ", 1) // nvcc's names for parameters
	}
	return k.Name + "(" + strings.Join(names, ", ") + ")"
}
