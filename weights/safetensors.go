package weights

// The safetensors format: 8 bytes with the length of a JSON header, the header,
// the data. Format and limits: github.com/huggingface/safetensors, README.

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/godwit-ml/godwit/quant"
)

const (
	// maxSafetensorsHeader is the limit of the reference implementation.
	maxSafetensorsHeader = 100_000_000
	// maxRank is beyond what PyTorch checkpoints have.
	maxRank = 8
)

// openSafetensors reads and checks the header of a source. The tensors lie end
// to end and fill the data section, as the format demands.
func openSafetensors(s *source) (map[string]*entry, map[string]any, error) {
	b, err := s.front(8)
	if err != nil {
		return nil, nil, err
	}
	if len(b) < 8 {
		return nil, nil, failf("header", "the file has %d bytes, too short for the length of a safetensors header", len(b))
	}
	length := binary.LittleEndian.Uint64(b)
	if length > uint64(s.size-8) {
		return nil, nil, failf("header", "header length %d, but only %d bytes follow: not a safetensors file, or a truncated one", length, s.size-8)
	}
	if length > maxSafetensorsHeader {
		return nil, nil, failf("header", "header length %d, more than the format's limit of %d", length, maxSafetensorsHeader)
	}
	if b, err = s.front(8 + int64(length)); err != nil {
		return nil, nil, err
	}
	tensors, metadata, err := parseSafetensors(string(b[8:]))
	if err != nil {
		return nil, nil, err
	}
	data := 8 + int64(length)
	if err := checkLayout(tensors, s.size-data); err != nil {
		return nil, nil, err
	}
	for _, e := range tensors {
		e.source, e.offset = s, e.offset+data
	}
	return tensors, metadata, nil
}

// parseSafetensors reads the header. Offsets are from the start of the data.
func parseSafetensors(text string) (map[string]*entry, map[string]any, error) {
	notJSON := func(err error) error {
		return &Error{Field: "header", Reason: "the safetensors header is not the JSON it should be", Err: err}
	}
	tensors := map[string]*entry{}
	var metadata map[string]any
	p := &jsonText{text: text}
	if !utf8.ValidString(text) {
		return nil, nil, failf("header", "the safetensors header is not JSON: not UTF-8")
	}
	var own *Error // set by members, whose errors name more than a position
	err := p.object(func(name string) error {
		if name == "__metadata__" {
			if metadata != nil {
				own = failf("header", "the safetensors header has __metadata__ twice")
				return own
			}
			metadata = map[string]any{}
			return p.object(func(key string) error {
				value, err := p.str()
				if err != nil {
					return err
				}
				if _, twice := metadata[key]; twice {
					own = failf("header", "__metadata__ has key %s twice", show(key))
					return own
				}
				metadata[key] = value
				return nil
			})
		}
		if _, twice := tensors[name]; twice {
			own = tensorFailf(name, "header", "twice in the header")
			return own
		}
		e, err := p.tensor(name)
		if err != nil {
			own = err
			return err
		}
		tensors[name] = e
		return nil
	})
	if own != nil {
		return nil, nil, own
	}
	if err == nil {
		err = p.end()
	}
	if err != nil {
		return nil, nil, notJSON(err)
	}
	return tensors, metadata, nil
}

// tensor reads the entry of one tensor and checks it on its own.
func (p *jsonText) tensor(name string) (*entry, *Error) {
	e := &entry{Info: Info{Name: name}}
	var dtype string
	var end int64
	fields := [...]string{"dtype", "shape", "data_offsets"}
	var seen [len(fields)]bool
	err := p.object(func(field string) (err error) {
		i := slices.Index(fields[:], field)
		if i < 0 { // the reference implementation ignores what it does not know
			return p.skip(maxDepth)
		}
		if seen[i] {
			return p.failf("%s twice", field)
		}
		seen[i] = true
		switch field {
		case "dtype":
			dtype, err = p.str()
		case "shape":
			e.Shape, err = p.shape()
		case "data_offsets":
			e.offset, end, err = p.pair()
		}
		return err
	})
	if err != nil {
		return nil, &Error{Tensor: name, Field: "header", Reason: "tensor " + show(name) + ": its entry in the header is not the JSON it should be", Err: err}
	}
	for i, field := range fields {
		if !seen[i] {
			return nil, tensorFailf(name, field, "no %s in the header", field)
		}
	}
	if e.offset > end {
		return nil, tensorFailf(name, "data_offsets", "data_offsets [%d %d] end before they begin", e.offset, end)
	}
	e.Bytes = end - e.offset
	return e, e.setType(dtype)
}

// shape reads a list of dimensions.
func (p *jsonText) shape() ([]int, error) {
	shape := []int{}
	err := p.list('[', ']', func() error {
		n, err := p.integer()
		switch {
		case err != nil:
			return err
		case n > math.MaxInt:
			return p.failf("number too large")
		case len(shape) == maxRank:
			return p.failf("more than %d dimensions", maxRank)
		}
		shape = append(shape, int(n))
		return nil
	})
	return shape, err
}

// pair reads a list of two numbers.
func (p *jsonText) pair() (first, second int64, err error) {
	if err = p.take('['); err != nil {
		return 0, 0, err
	}
	if first, err = p.integer(); err != nil {
		return 0, 0, err
	}
	if err = p.take(','); err != nil {
		return 0, 0, err
	}
	if second, err = p.integer(); err != nil {
		return 0, 0, err
	}
	return first, second, p.take(']')
}

// setType checks the dtype and that the shape takes the bytes there are.
func (e *entry) setType(dtype string) *Error {
	t, err := quant.ParseType(dtype)
	switch {
	case strings.HasPrefix(dtype, "F8_"):
		return tensorFailf(e.Name, "dtype", "an FP8 checkpoint (dtype %s), which is not supported: take the F16 or BF16 checkpoint it was made from, or a GGUF of it", show(dtype))
	case err != nil || t.BlockSize() != 1 || t.String() != dtype:
		return tensorFailf(e.Name, "dtype", "dtype %s is not supported, only %s", show(dtype), strings.Join(safetensorsTypes(), " "))
	}
	e.DType = t
	n := elements(e.Shape)
	if n < 0 {
		return tensorFailf(e.Name, "shape", "shape %v has more elements than can be counted", e.Shape)
	}
	if want := t.Bytes(n); want < 0 || int64(want) != e.Bytes {
		return tensorFailf(e.Name, "shape", "shape %v of %v does not take the %d bytes of its data_offsets", e.Shape, t, e.Bytes)
	}
	return nil
}

// safetensorsTypes lists the dtypes a safetensors file may have here.
func safetensorsTypes() []string {
	var names []string
	for _, t := range quant.Types() {
		if t.BlockSize() == 1 {
			names = append(names, t.String())
		}
	}
	return names
}

// checkLayout checks that the tensors fill size bytes without overlap or gap.
func checkLayout(tensors map[string]*entry, size int64) error {
	order := byOffset(tensors)
	var at int64
	for _, e := range order {
		switch {
		case e.offset+e.Bytes > size:
			return tensorFailf(e.Name, "data_offsets", "its data end at byte %d, past the %d bytes of data in the file: the file is truncated", e.offset+e.Bytes, size)
		case e.offset < at:
			return tensorFailf(e.Name, "data_offsets", "its data begin at byte %d, inside those of another tensor, which end at %d", e.offset, at)
		case e.offset > at:
			return tensorFailf(e.Name, "data_offsets", "its data begin at byte %d, leaving a gap after byte %d", e.offset, at)
		}
		at = e.offset + e.Bytes
	}
	if at != size {
		return failf("header", "the tensors take %d bytes of data, but the file has %d", at, size)
	}
	return nil
}

// byOffset sorts entries by their place in the file, empty ones first.
func byOffset(tensors map[string]*entry) []*entry {
	order := make([]*entry, 0, len(tensors))
	for _, e := range tensors {
		order = append(order, e)
	}
	slices.SortFunc(order, func(a, b *entry) int {
		switch {
		case a.offset != b.offset:
			return cmp.Compare(a.offset, b.offset)
		case a.Bytes != b.Bytes:
			return cmp.Compare(a.Bytes, b.Bytes)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return order
}
