package simd

// Ceilings: loops that do one thing as fast as a core can, to measure others
// against. Nothing in the CPU device calls them.

import "encoding/binary"

// Ceiling is a loop of one kind of work in registers.
type Ceiling struct {
	// Name is "f32", "bf16" or "int8", products with sums on vectors; "tile bf16" or
	// "tile int8", the same on tiles; or "exp".
	Name string
	Ops  int              // of a round: a product with its sum is two, an exponential one
	Run  func(rounds int) // rounds ≥ 1; it cannot be interrupted: keep calls under a millisecond
}

// Ceilings are what a path can do at most.
type Ceilings struct {
	Path    Path
	Compute []Ceiling
	// Read are ways to read memory, of which the fastest counts: from one end to the
	// other, and at four places in turn. They read all of b but the last kilobyte or
	// less.
	Read []func(b []byte)
}

// CeilingsOf gives the ceilings of an available path.
func CeilingsOf(p Path) Ceilings {
	if !p.Available() {
		panic("simd: a path that is not available")
	}
	c := ceilings(p)
	c.Path = p
	return c
}

// ceilingSink keeps what plain Go computes alive.
var ceilingSink struct {
	f float32
	u uint64
}

func portableCeilings() Ceilings {
	return Ceilings{
		Compute: []Ceiling{{Name: "f32", Ops: 16, Run: ceilingScalars}},
		Read:    []func([]byte){readWords},
	}
}

// ceilingScalars multiplies and adds eight numbers a round.
func ceilingScalars(rounds int) {
	var a, b, c, d, e, f, g, h float32
	x, y := float32(0.0079), float32(0.0078)
	for range rounds {
		a += x * y
		b += x * y
		c += x * y
		d += x * y
		e += x * y
		f += x * y
		g += x * y
		h += x * y
		x, y = y, x
	}
	ceilingSink.f = a + b + c + d + e + f + g + h
}

func readWords(b []byte) {
	var s [4]uint64
	for ; len(b) >= 32; b = b[32:] {
		for i := range s {
			s[i] |= binary.LittleEndian.Uint64(b[8*i:])
		}
	}
	ceilingSink.u = s[0] | s[1] | s[2] | s[3]
}
