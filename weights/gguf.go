package weights

// The GGUF format, versions 2 and 3: a header with typed metadata and tensor
// infos, then the data, all little endian. Format: ggml/docs/gguf.md.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"unsafe"

	"github.com/godwit-ml/godwit/quant"
)

const (
	ggufMagic        = "GGUF"
	ggufAlignment    = 32 // unless general.alignment says otherwise
	ggufMaxRank      = 4  // GGML_MAX_DIMS
	ggufMaxNesting   = 4  // of arrays in arrays
	ggufFirstWindow  = 1 << 20
	ggufMinTensor    = 8 + 4 + 4 + 8 // bytes of a tensor info with an empty name and no dimensions
	ggufMinKeyValue  = 8 + 4 + 1     // bytes of a metadata entry with an empty key and a byte
	allocationMargin = 1 << 20       // what a single allocation may exceed the file by
)

// The types of metadata values (gguf_metadata_value_type).
const (
	ggufUint8 = iota
	ggufInt8
	ggufUint16
	ggufInt16
	ggufUint32
	ggufInt32
	ggufFloat32
	ggufBool
	ggufString
	ggufArray
	ggufUint64
	ggufInt64
	ggufFloat64
)

// errWindow says that the header goes on past the bytes given.
var errWindow = errors.New("weights: header goes past the window")

// openGGUF reads and checks the header of a source. A mapped file is read in
// place; of another ever more is read until the header is whole.
func openGGUF(s *source) (map[string]*entry, map[string]any, error) {
	window := s.size
	if s.whole == nil {
		window = min(window, ggufFirstWindow)
	}
	for {
		b, err := s.front(window)
		if err != nil {
			return nil, nil, err
		}
		p := &ggufReader{b: b, size: s.size}
		tensors, metadata, err := p.header()
		if errors.Is(err, errWindow) {
			if window == s.size {
				return nil, nil, failf("header", "the file ends inside its header (%s): the file is truncated", p.doing)
			}
			window = min(4*window, s.size)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		for _, e := range tensors {
			e.source = s
		}
		return tensors, metadata, nil
	}
}

// ggufReader reads a header from the front of a file of size bytes.
type ggufReader struct {
	b     []byte
	at    int
	size  int64
	doing string // what is being read, for messages
}

func (p *ggufReader) header() (map[string]*entry, map[string]any, error) {
	p.doing = "magic and version"
	magic, err := p.take(4)
	if err != nil {
		return nil, nil, err
	}
	if string(magic) != ggufMagic {
		return nil, nil, failf("magic", "not a GGUF file: it begins with %q", magic)
	}
	version, err := p.u32()
	switch {
	case err != nil:
		return nil, nil, err
	case version != 2 && version != 3 && version&0xffff == 0:
		return nil, nil, failf("version", "a big-endian GGUF file, which is not supported: convert it with gguf_convert_endian.py of llama.cpp")
	case version != 2 && version != 3:
		return nil, nil, failf("version", "GGUF version %d is not supported, only 2 and 3", version)
	}
	p.doing = "the number of tensors"
	tensorCount, err := p.count("tensors", ggufMinTensor)
	if err != nil {
		return nil, nil, err
	}
	p.doing = "the number of metadata entries"
	pairCount, err := p.count("metadata entries", ggufMinKeyValue)
	if err != nil {
		return nil, nil, err
	}
	metadata, err := p.metadata(pairCount)
	if err != nil {
		return nil, nil, err
	}
	alignment, err := checkGGUFMetadata(metadata)
	if err != nil {
		return nil, nil, err
	}
	tensors, err := p.tensors(tensorCount)
	if err != nil {
		return nil, nil, err
	}
	return tensors, metadata, layoutGGUF(tensors, int64(p.at), alignment, p.size)
}

// metadata reads n keys with their values.
func (p *ggufReader) metadata(n int) (map[string]any, error) {
	metadata := map[string]any{}
	for range n {
		p.doing = "a metadata key"
		key, err := p.str()
		if err != nil {
			return nil, err
		}
		p.doing = "metadata " + show(key)
		if _, twice := metadata[key]; twice {
			return nil, failf(key, "metadata key %s is there twice", show(key))
		}
		kind, err := p.u32()
		if err != nil {
			return nil, err
		}
		value, err := p.value(kind, ggufMaxNesting)
		if err != nil {
			var own *Error
			if errors.As(err, &own) {
				own.Field = key
				own.Reason = "metadata " + show(key) + ": " + own.Reason
			}
			return nil, err
		}
		metadata[key] = value
	}
	return metadata, nil
}

// checkGGUFMetadata checks what the layout of the file depends on and returns
// its alignment.
func checkGGUFMetadata(metadata map[string]any) (int64, error) {
	if n, ok := metadata["split.count"]; ok {
		if parts := fmt.Sprint(n); parts != "0" && parts != "1" {
			return 0, failf("split.count", "one of %s parts of a split GGUF, which are not supported: join them with llama-gguf-split --merge", show(parts))
		}
	}
	value, ok := metadata["general.alignment"]
	if !ok {
		return ggufAlignment, nil
	}
	n, ok := value.(uint32)
	if !ok {
		return 0, failf("general.alignment", "metadata general.alignment is %T, want uint32", value)
	}
	if n == 0 || n&(n-1) != 0 {
		return 0, failf("general.alignment", "metadata general.alignment is %d, want a power of two", n)
	}
	return int64(n), nil
}

// tensors reads n tensor infos. Offsets are from the start of the data.
func (p *ggufReader) tensors(n int) (map[string]*entry, error) {
	tensors := map[string]*entry{}
	for i := range n {
		p.doing = fmt.Sprintf("the info of tensor %d of %d", i+1, n)
		name, err := p.str()
		if err != nil {
			return nil, err
		}
		if _, twice := tensors[name]; twice {
			return nil, tensorFailf(name, "header", "twice in the header")
		}
		e := &entry{Info: Info{Name: name}}
		rank, err := p.u32()
		if err != nil {
			return nil, err
		}
		if rank > ggufMaxRank {
			return nil, tensorFailf(name, "shape", "%d dimensions, GGUF has at most %d", rank, ggufMaxRank)
		}
		e.Shape = make([]int, rank)
		for d := range e.Shape { // stored innermost first
			dim, err := p.u64()
			if err != nil {
				return nil, err
			}
			if dim > math.MaxInt {
				return nil, tensorFailf(name, "shape", "dimension %d is too large: %d", d, dim)
			}
			e.Shape[len(e.Shape)-1-d] = int(dim)
		}
		kind, err := p.u32()
		if err != nil {
			return nil, err
		}
		offset, err := p.u64()
		if err != nil {
			return nil, err
		}
		if offset > math.MaxInt64 {
			return nil, tensorFailf(name, "offset", "offset %d is past the end of the file", offset)
		}
		e.offset = int64(offset)
		if err := e.setGGUFType(kind); err != nil {
			return nil, err
		}
		tensors[name] = e
	}
	return tensors, nil
}

// setGGUFType checks the type number and computes the size.
func (e *entry) setGGUFType(kind uint32) error {
	t := quant.Type(kind)
	if !t.Valid() || t >= quant.Bool {
		var names []string
		for _, t := range quant.Types() {
			if t < quant.Bool {
				names = append(names, t.String())
			}
		}
		return tensorFailf(e.Name, "type", "GGUF type %d is not supported, only %s", kind, strings.Join(names, " "))
	}
	e.DType = t
	_, cols := e.RowsCols()
	n := elements(e.Shape)
	if n < 0 {
		return tensorFailf(e.Name, "shape", "shape %v has more elements than can be counted", e.Shape)
	}
	if cols%t.BlockSize() != 0 {
		return tensorFailf(e.Name, "shape", "rows of %d elements are not whole blocks of %v, which have %d", cols, t, t.BlockSize())
	}
	size := t.Bytes(n)
	if size < 0 {
		return tensorFailf(e.Name, "shape", "shape %v of %v has more bytes than can be counted", e.Shape, t)
	}
	e.Bytes = int64(size)
	return nil
}

// layoutGGUF places the tensors: the data begin at the first multiple of the
// alignment after the header, and so does each tensor after the one before it.
// Bytes after the last tensor are allowed, as llama.cpp does.
func layoutGGUF(tensors map[string]*entry, header, alignment, size int64) error {
	if len(tensors) == 0 {
		return nil
	}
	data := alignUp(header, alignment)
	if data > size {
		return failf("header", "the data should begin at byte %d, past the end of the file at %d: the file is truncated", data, size)
	}
	var at int64
	for _, e := range byOffset(tensors) {
		switch {
		case e.offset%alignment != 0:
			return tensorFailf(e.Name, "offset", "offset %d is not a multiple of the alignment, %d", e.offset, alignment)
		case e.Bytes > size-data-e.offset:
			return tensorFailf(e.Name, "offset", "%d bytes at offset %d end past the %d bytes of data in the file: the file is truncated", e.Bytes, e.offset, size-data)
		case e.offset < at:
			return tensorFailf(e.Name, "offset", "offset %d is inside another tensor, which ends at %d", e.offset, at)
		case e.offset > alignUp(at, alignment):
			return tensorFailf(e.Name, "offset", "offset %d leaves a gap after %d", e.offset, at)
		}
		at = e.offset + e.Bytes
		e.offset += data
	}
	return nil
}

// alignUp returns the first multiple of a power of two that is n or more. Both
// are far from overflow: n is within a file, the alignment below 2^32.
func alignUp(n, alignment int64) int64 { return (n + alignment - 1) &^ (alignment - 1) }

// take returns the next n bytes.
func (p *ggufReader) take(n int) ([]byte, error) {
	if n > len(p.b)-p.at {
		return nil, errWindow
	}
	p.at += n
	return p.b[p.at-n : p.at : p.at], nil
}

func (p *ggufReader) u32() (uint32, error) {
	b, err := p.take(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (p *ggufReader) u64() (uint64, error) {
	b, err := p.take(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// count reads a number of things that take at least width bytes of the file
// each.
func (p *ggufReader) count(things string, width int64) (int, error) {
	n, err := p.u64()
	if err != nil {
		return 0, err
	}
	if left := p.size - int64(p.at); n > uint64(left/width) {
		return 0, failf("header", "%d %s cannot be in the %d bytes that follow: the file is damaged or truncated", n, things, left)
	}
	return int(n), nil
}

// length reads and checks the length of a string.
func (p *ggufReader) length() (int, error) { return p.count("bytes of a string", 1) }

// str reads a string, which is a copy: views of the file end with it.
func (p *ggufReader) str() (string, error) {
	n, err := p.length()
	if err != nil {
		return "", err
	}
	b, err := p.take(n)
	return string(b), err
}

// value reads a metadata value of the given type as the Go type of its name.
func (p *ggufReader) value(kind uint32, nesting int) (any, error) {
	switch kind {
	case ggufString:
		return p.str()
	case ggufArray:
		return p.array(nesting)
	}
	width := ggufWidth(kind)
	if width == 0 {
		return nil, failf("", "unknown value type %d", kind)
	}
	b, err := p.take(width)
	if err != nil {
		return nil, err
	}
	switch kind {
	case ggufUint8:
		return b[0], nil
	case ggufInt8:
		return int8(b[0]), nil
	case ggufUint16:
		return binary.LittleEndian.Uint16(b), nil
	case ggufInt16:
		return int16(binary.LittleEndian.Uint16(b)), nil
	case ggufUint32:
		return binary.LittleEndian.Uint32(b), nil
	case ggufInt32:
		return int32(binary.LittleEndian.Uint32(b)), nil
	case ggufFloat32:
		return math.Float32frombits(binary.LittleEndian.Uint32(b)), nil
	case ggufUint64:
		return binary.LittleEndian.Uint64(b), nil
	case ggufInt64:
		return int64(binary.LittleEndian.Uint64(b)), nil
	case ggufFloat64:
		return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
	default: // ggufBool
		if b[0] > 1 {
			return nil, failf("", "a bool is %d", b[0])
		}
		return b[0] == 1, nil
	}
}

// ggufWidth is the size of a value, 0 for types without a fixed one.
func ggufWidth(kind uint32) int {
	switch kind {
	case ggufUint8, ggufInt8, ggufBool:
		return 1
	case ggufUint16, ggufInt16:
		return 2
	case ggufUint32, ggufInt32, ggufFloat32:
		return 4
	case ggufUint64, ggufInt64, ggufFloat64:
		return 8
	}
	return 0
}

// array reads an array: []T for a plain type T, []string, or []any of arrays.
func (p *ggufReader) array(nesting int) (any, error) {
	if nesting == 0 {
		return nil, failf("", "arrays nested more than %d deep", ggufMaxNesting)
	}
	kind, err := p.u32()
	if err != nil {
		return nil, err
	}
	switch kind {
	case ggufString:
		return p.stringArray()
	case ggufArray:
		n, err := p.elements(8+4, unsafe.Sizeof(any(nil)))
		if err != nil {
			return nil, err
		}
		list := make([]any, n)
		for i := range list {
			if list[i], err = p.array(nesting - 1); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	width := ggufWidth(kind)
	if width == 0 {
		return nil, failf("", "array of unknown value type %d", kind)
	}
	n, err := p.elements(int64(width), uintptr(width))
	if err != nil {
		return nil, err
	}
	b, err := p.take(n * width)
	if err != nil {
		return nil, err
	}
	return plainArray(kind, n, b)
}

// elements reads the length of an array whose elements take at least inFile
// bytes in the file and inMemory bytes in a slice.
func (p *ggufReader) elements(inFile int64, inMemory uintptr) (int, error) {
	n, err := p.count("elements of an array", inFile)
	if err != nil {
		return 0, err
	}
	if int64(n) > (p.size+allocationMargin)/int64(inMemory) {
		return 0, failf("", "an array of %d elements in a file of %d bytes would take more memory than the file", n, p.size)
	}
	return n, nil
}

// stringArray reads strings that share one copy of their bytes.
func (p *ggufReader) stringArray() ([]string, error) {
	n, err := p.elements(8, unsafe.Sizeof(""))
	if err != nil {
		return nil, err
	}
	start, total := p.at, 0
	for range n {
		length, err := p.length()
		if err != nil {
			return nil, err
		}
		if _, err := p.take(length); err != nil {
			return nil, err
		}
		total += length
	}
	var text strings.Builder
	text.Grow(total)
	for at := start; at < p.at; {
		length := int(binary.LittleEndian.Uint64(p.b[at:]))
		text.Write(p.b[at+8 : at+8+length])
		at += 8 + length
	}
	list := make([]string, n)
	rest, at := text.String(), start
	for i := range list {
		length := int(binary.LittleEndian.Uint64(p.b[at:]))
		list[i], rest = rest[:length], rest[length:]
		at += 8 + length
	}
	return list, nil
}

// plainArray converts n elements of a fixed width.
func plainArray(kind uint32, n int, b []byte) (any, error) {
	le := binary.LittleEndian
	switch kind {
	case ggufUint8:
		return append(make([]uint8, 0, n), b...), nil
	case ggufInt8:
		return fill(n, func(i int) int8 { return int8(b[i]) }), nil
	case ggufUint16:
		return fill(n, func(i int) uint16 { return le.Uint16(b[2*i:]) }), nil
	case ggufInt16:
		return fill(n, func(i int) int16 { return int16(le.Uint16(b[2*i:])) }), nil
	case ggufUint32:
		return fill(n, func(i int) uint32 { return le.Uint32(b[4*i:]) }), nil
	case ggufInt32:
		return fill(n, func(i int) int32 { return int32(le.Uint32(b[4*i:])) }), nil
	case ggufFloat32:
		return fill(n, func(i int) float32 { return math.Float32frombits(le.Uint32(b[4*i:])) }), nil
	case ggufUint64:
		return fill(n, func(i int) uint64 { return le.Uint64(b[8*i:]) }), nil
	case ggufInt64:
		return fill(n, func(i int) int64 { return int64(le.Uint64(b[8*i:])) }), nil
	case ggufFloat64:
		return fill(n, func(i int) float64 { return math.Float64frombits(le.Uint64(b[8*i:])) }), nil
	default: // ggufBool
		for i, v := range b {
			if v > 1 {
				return nil, failf("", "bool %d of an array is %d", i, v)
			}
		}
		return fill(n, func(i int) bool { return b[i] == 1 }), nil
	}
}

// fill makes a slice of n elements.
func fill[T any](n int, at func(int) T) []T {
	list := make([]T, n)
	for i := range list {
		list[i] = at(i)
	}
	return list
}
