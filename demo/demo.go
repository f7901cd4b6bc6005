// Package demo holds three tiny Transformers of all three shapes, trained for
// this repository and embedded: real models for a first look and for tests,
// without a download. They are Hugging Face directories, so every program that
// reads those reads these:
//
//	m, err := godwit.OpenFS(ctx, demo.FS, "lm", godwit.Config{})
//
// They know a small world: about 125 fields from NLP to knitting, each a part of
// a broader one, and the people who love them. README.md describes it, with the
// figures on held-out sentences and how to train them anew.
//
// A program that does not import this package does not carry its weights.
package demo

import (
	"embed"
	"io/fs"
)

//go:embed lm masked rewrite
var folders embed.FS

// FS has a directory for each model:
//
//   - lm, a decoder (LlamaForCausalLM): "I love" goes on "NLP …", a token at a
//     time; with a chat template.
//   - masked, an encoder (BertForMaskedLM): "I love [MASK] learning." has
//     "machine" at its mask.
//   - rewrite, an encoder-decoder (T5ForConditionalGeneration): "I love NLP."
//     becomes the same about the broader field, "I love machine learning.".
//
// Each has config.json, model.safetensors (float16), tokenizer.json and
// tokenizer_config.json, and the two that generate have generation_config.json.
var FS fs.FS = folders
