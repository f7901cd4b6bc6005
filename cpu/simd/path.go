package simd

// Paths: sets of instructions, chosen at run time.

import "strings"

// Path is a set of instructions that kernels are written for.
type Path uint8

// The paths, each with what the one before it has.
const (
	Portable Path = iota // plain Go
	AVX2                 // AVX2, FMA and F16C
	AVX512               // AVX-512 F, BW, DQ and VL
	VNNI                 // AVX-512 VNNI and BF16
	AMX                  // tiles of int8 and bf16, for products of many rows
	numPaths
)

var pathNames = [...]string{"portable", "avx2", "avx512", "vnni", "amx"}

// String is the name of the path, as in a device's "cpu:avx2".
func (p Path) String() string {
	if p < numPaths {
		return pathNames[p]
	}
	return "path?"
}

// ParsePath is the path of a name.
func ParsePath(name string) (Path, bool) {
	for p, s := range pathNames {
		if s == name {
			return Path(p), true
		}
	}
	return 0, false
}

// Panel is the number of outputs of a panel.
const Panel = 32

// Available reports whether this build and this processor have the path.
func (p Path) Available() bool { return p <= Best() }

// Best is the last path there is here.
func Best() Path { return best() }

// Names lists the paths that are available, the best first.
func Names() string {
	var names []string
	for p := int(Best()); p >= 0; p-- {
		names = append(names, Path(p).String())
	}
	return strings.Join(names, ", ")
}

// Kernels are the functions of a path, by what they work on.
type Kernels struct {
	Path Path
	Products
	Blocks
	Vectors
	Scores
	Tiles
}

// For gives the kernels of an available path.
func For(p Path) *Kernels {
	if !p.Available() {
		panic("simd: a path that is not available")
	}
	return &Kernels{Path: p, Products: products(p), Blocks: blocks(p), Vectors: vectors(p), Scores: scores(p), Tiles: tiles(p)}
}
