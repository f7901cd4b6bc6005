// Package weights turns model files into named tensors: safetensors, alone or
// sharded behind an index, and GGUF version 2 and 3.
//
//	c, err := weights.Open("models/gpt2")        // a Hugging Face directory, a .gguf or a .safetensors file
//	s := c.Scope(weights.ScopeConfig{Strip: []string{"transformer."}})
//	wte := s.Tensor("transformer.wte.weight", vocab, hidden)
//	up := s.Sub("transformer.h").Layer(3).Tensor("mlp.c_fc.weight", hidden, 4*hidden)
//	if err := s.Err(); err != nil { ... }        // every missing, misshapen and unused name at once
//
// # Memory
//
// Files are mapped where the system can, so opening takes milliseconds and
// copies nothing: a tensor is a view of the mapped file. A tensor whose bytes
// do not lie at a multiple of its element's width is copied to aligned memory
// when it is first asked for. Where files are not mapped (Windows, the build
// tag portable, files of an fs.FS that are not *os.File) a tensor is read when
// it is first asked for. Memory counts both.
//
// Views end with Close. Whoever opened the checkpoint closes it, after the last
// use of every tensor taken from it: reading a view after Close crashes the
// program, as does, outside Guard, reading one whose file has been cut short by
// somebody else. Guard turns the latter into an error.
//
// # Shapes
//
// Shapes are written outermost first, as in PyTorch; GGUF stores them the other
// way around and is turned. A tensor is given as rows and columns of consecutive
// elements: a vector [n] is 1 × n, a scalar 1 × 1, and all but the last
// dimension of a higher rank are multiplied into the rows.
//
// # Hostile files
//
// A header is checked in full before a tensor is handed out: lengths, counts,
// nesting, duplicate names, shapes against bytes, overlaps and gaps. Opening
// makes no single allocation larger than the file and 1 MiB. Pickle files are
// never read. Errors are of type *Error.
//
// The files of a directory must lie in it. A link among them may lead to a file
// inside the directory or to a blob of a Hugging Face cache
// (models--OWNER--NAME/blobs/…: snapshots there consist of such links); other
// links, and shard names with separators, are refused. A file that the caller
// names may be a link to anywhere, and so may the directory itself. In an fs.FS
// the file system decides: os.Root.FS keeps links inside.
package weights
