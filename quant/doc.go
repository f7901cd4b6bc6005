// Package quant knows the element types of model files: the block formats of
// GGUF, the half-width floats and the plain types, and converts each to and
// from float32.
//
// A row of a tensor is a sequence of blocks. A block holds a fixed number of
// consecutive elements (Type.BlockSize) in a fixed number of bytes
// (Type.TypeSize), in the byte layout of GGUF, always little endian:
//
//	Q4_0, 32 elements in 18 bytes
//	┌────────┬─────────────────────────────────┐
//	│ d  f16 │ qs: 16 bytes, two elements each │   x[j]    = d*(qs[j]&15 - 8)
//	└────────┴─────────────────────────────────┘   x[j+16] = d*(qs[j]>>4 - 8)
//
// Decode expands whole rows, Encode packs them. Both work on any number of
// whole blocks, allocate nothing and depend on nothing but the standard
// library, so the package is of use without the rest of the module.
//
// Sources: the structs of ggml-common.h and the reference decoders of
// llama.cpp's ggml-quants.c define the layouts; the OCP Microscaling Formats
// (MX) specification v1.0 defines E2M1, E8M0 and E4M3.
package quant
