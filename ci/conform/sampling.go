package main

// The distributions of the sampler.

import (
	"fmt"

	"github.com/godwit-ml/godwit/ci/golden"
	"github.com/godwit-ml/godwit/engine"
	"github.com/godwit-ml/godwit/weights"
)

// samplingCase is one case of sampling.json; absent fields are off.
type samplingCase struct {
	ID          int      `json:"id"`
	Row         string   `json:"row"`
	History     []int32  `json:"history"`
	Temperature *float64 `json:"temperature"`
	TopK        int      `json:"top_k"`
	TopP        *float64 `json:"top_p"`
	MinP        float64  `json:"min_p"`
	TypicalP    *float64 `json:"typical_p"`
	Repetition  *float64 `json:"repetition_penalty"`
	Frequency   float64  `json:"frequency_penalty"`
	Presence    float64  `json:"presence_penalty"`
}

func (c *samplingCase) sampling() engine.Sampling {
	p := engine.Greedy()
	p.Temperature = 1
	p.TopK, p.MinP, p.FrequencyPenalty, p.PresencePenalty = c.TopK, c.MinP, c.Frequency, c.Presence
	for to, from := range map[*float64]*float64{&p.Temperature: c.Temperature, &p.TopP: c.TopP, &p.TypicalP: c.TypicalP, &p.RepetitionPenalty: c.Repetition} {
		if from != nil {
			*to = *from
		}
	}
	return p
}

func runSampling(s *session, name string) error {
	var file struct {
		Vocab int            `json:"vocab"`
		Cases []samplingCase `json:"cases"`
	}
	if err := golden.ReadJSON(s.path("sampling", "sampling.json"), &file); err != nil {
		return err
	}
	ck, err := weights.Open(s.path("sampling", "logits.safetensors"))
	if err != nil {
		return err
	}
	defer ck.Close() //nolint:errcheck // only read
	sampler := engine.NewSampler(file.Vocab)
	for i := range file.Cases {
		c := &file.Cases[i]
		probs, err := distribution(sampler, ck, c)
		if err == nil {
			err = s.out.add(entry{"kind": "sampling", "id": c.ID, "probs": probs})
		}
		if err != nil {
			s.leftOut(fmt.Sprintf("%s %d", name, c.ID), err)
		}
	}
	return nil
}

func distribution(sampler *engine.Sampler, ck *weights.Checkpoint, c *samplingCase) ([]float64, error) {
	logits, err := ck.Tensor("logits." + c.Row)
	if err != nil {
		return nil, err
	}
	p := c.sampling()
	if err := p.Check(logits.Rows * logits.Cols); err != nil {
		return nil, err
	}
	var h engine.History
	for _, id := range c.History {
		h.Add(id)
	}
	return sampler.Distribution(nil, &p, logits.F32s(), &h)
}
