package godwit

// From wishes to resolved sampling.

import (
	"errors"
	"maps"

	"github.com/godwit-ml/godwit/engine"
)

// mergeSampling is a with b where a is silent.
func mergeSampling(a, b Sampling) Sampling {
	first := func(x, y *float64) *float64 {
		if x != nil {
			return x
		}
		return y
	}
	m := Sampling{
		Temperature: first(a.Temperature, b.Temperature), TopP: first(a.TopP, b.TopP), MinP: first(a.MinP, b.MinP), TypicalP: first(a.TypicalP, b.TypicalP),
		RepetitionPenalty: first(a.RepetitionPenalty, b.RepetitionPenalty), FrequencyPenalty: first(a.FrequencyPenalty, b.FrequencyPenalty),
		PresencePenalty: first(a.PresencePenalty, b.PresencePenalty), TopK: a.TopK, LogitBias: a.LogitBias, Seed: a.Seed,
	}
	if m.TopK == nil {
		m.TopK = b.TopK
	}
	if m.LogitBias == nil {
		m.LogitBias = b.LogitBias
	}
	if m.Seed == 0 {
		m.Seed = b.Seed
	}
	return m
}

// resolveSampling merges a request's wishes with defaults, and checks them. A
// filter without a temperature would be an option that does nothing: an error.
func resolveSampling(wish, defaults Sampling, vocab int) (engine.Sampling, Sampling, error) {
	w := mergeSampling(wish, defaults)
	s := engine.Greedy()
	for _, f := range []struct {
		from *float64
		to   *float64
	}{{w.Temperature, &s.Temperature}, {w.TopP, &s.TopP}, {w.MinP, &s.MinP}, {w.TypicalP, &s.TypicalP},
		{w.RepetitionPenalty, &s.RepetitionPenalty}, {w.FrequencyPenalty, &s.FrequencyPenalty}, {w.PresencePenalty, &s.PresencePenalty}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if w.TopK != nil {
		s.TopK = *w.TopK
	}
	s.LogitBias, s.Seed = maps.Clone(w.LogitBias), w.Seed
	if err := s.Check(vocab); err != nil {
		return s, w, samplingError(err)
	}
	return s, w, nil
}

// samplingError names a field as the request has it.
func samplingError(err error) error {
	var p *engine.ParamError
	if errors.As(err, &p) {
		return &ParamError{Field: "Sampling." + p.Field, Value: p.Value, Reason: p.Reason}
	}
	return err
}
