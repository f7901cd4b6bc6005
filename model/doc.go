// Package model runs checkpoints: it knows the families, one file each, and
// nothing else in the module does.
//
// Describe reads a configuration, Load binds and loads the weights. A Model
// turns a Batch of tokens into hidden states, and hidden states into logits;
// decoders keep keys and values in a Cache.
//
// Adding a family is one file: a config struct with the names of config.json,
// checks of it, a load that binds a weights.Scope, and a row in families. Blocks
// (blocks.go) and what is around them (decoder.go, encoder.go) are shared; what
// they lack, such as a scaled head, the family has itself. For tests it needs its
// golden in testdata, a row of random sizes in plain_test.go, and a mutant.
package model
