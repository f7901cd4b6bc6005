// Package engine turns a model's logits into answers: it samples or searches
// beams, watches for stop strings and keeps the books of the paged KV cache.
//
// What decides a token is pure bookkeeping over numbers and knows no device:
// [Sampler] and [Sampling], [Beam], [Logprobs], [StopSet], [BlockPool]. Nothing
// in it reads a clock, a running counter or another sequence, so an answer
// depends on its own request alone, whatever runs beside it.
package engine
