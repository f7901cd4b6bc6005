package godwit

// The history of language models, and which of them run here.

import (
	"slices"

	"github.com/godwit-ml/godwit/model"
)

// Milestone is one model of the history of Transformers. Positions, Attention,
// Norm, Activation and Proof are given for those that run here.
type Milestone struct {
	Name       string   `json:"name"`                 // as its authors call it: "GPT-3"
	Kind       string   `json:"kind"`                 // its branch: "decoder", "encoder", "encoder-decoder"
	Year       int      `json:"year"`                 // of the first version of the paper, or of the release
	Month      int      `json:"month"`                //
	Open       bool     `json:"open"`                 // its weights can be downloaded
	Paper      string   `json:"paper"`                // authors, title
	Families   []string `json:"families,omitempty"`   // Info.Family of what runs it; of a closed one, of its open replicas
	Positions  string   `json:"positions,omitempty"`  // how it tells positions apart
	Attention  string   `json:"attention,omitempty"`  // heads and masks
	Norm       string   `json:"norm,omitempty"`       // kind and place
	Activation string   `json:"activation,omitempty"` // of the feed-forward layer
	Proof      []string `json:"proof,omitempty"`      // checkpoints of the fixtures that are held against PyTorch
}

// History lists the milestones of the three branches, decoders, encoders and
// encoder-decoders, each by date.
func History() []Milestone {
	var all []Milestone
	for _, m := range model.History() {
		all = append(all, Milestone{
			Name: m.Name, Kind: string(m.Kind), Year: m.Year, Month: m.Month, Open: m.Open, Paper: m.Paper, Families: slices.Clone(m.Families),
			Positions: m.Positions, Attention: m.Attention, Norm: m.Norm, Activation: m.Activation, Proof: slices.Clone(m.Proof),
		})
	}
	return all
}
