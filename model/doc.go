// Package model runs checkpoints: it knows the families, one file each, and
// nothing else in the module does.
//
// Describe reads a configuration, Load binds and loads the weights. A Model
// turns a Batch of tokens into hidden states, and hidden states into logits;
// decoders keep keys and values in a Cache.
//
// Adding a family is one file: a config struct with the names of config.json,
// a struct for a block, a constructor over a weights.Scope, Forward, Logits, and
// a row in families.
package model
