// Package nn has the layers models are written with: Linear, Embedding, Norm,
// Attention, MLP and the tables of RoPE and ALiBi.
//
// A layer has two halves. Read… binds host tensors from a weights.Scope, where
// they may still be stacked, permuted or transposed; Load… puts them on the
// device. A missing tensor leaves an absent one: the scope reports it, and the
// constructor of the model asks the scope before anything runs.
//
// Applying a layer only adds operations to the stream of a Step: no errors, no
// allocation. Scratch comes from the stream's arena.
package nn
