package model

// Mixtures of experts: how configurations and checkpoints describe them.

import (
	"strconv"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// checkExperts checks that there are tensors for n experts in each of so many
// layers, and that a token can choose top of them.
func (k *checker) checkExperts(n, top, layers int) {
	tensors := len(k.ck.Names())
	k.contradicts(n < 1 || n > 1<<16, "num_experts", "is %d, want 1 to %d", n, 1<<16)
	k.contradicts(top < 1 || top > n, "num_experts_per_tok", "is %d of %d experts", top, n)
	if _, stacked := k.src.GGUF["general.architecture"]; !stacked {
		k.contradicts(k.err == nil && n*layers > tensors, "num_experts", "is %d experts in %d layers, but the checkpoint has %d tensors", n, layers, tensors)
	}
}

// readExperts binds the matrices of n experts below a scope: experts.E.gate, up
// and down, whose names differ by family, or those of all experts in one, which
// GGUF files and newer checkpoints have.
func readExperts(sc *weights.Scope, gate, up, down string, n, hidden, inner int) nn.Experts {
	at := sc.Sub("experts")
	switch {
	case at.Has("gate_up_proj"):
		return nn.Experts{Gated: at.Tensor("gate_up_proj", n*2*inner, hidden), Down: at.Tensor("down_proj", n*hidden, inner)}
	case at.Has("gate_up.weight"):
		return nn.Experts{Gated: at.Tensor("gate_up.weight", n*2*inner, hidden), Down: at.Tensor(down+".weight", n*hidden, inner)}
	case at.Has(gate+".weight") || sc.Checkpoint().Format() == weights.GGUF: // where they are never apart
		return nn.Experts{
			Gate: at.Tensor(gate+".weight", n*inner, hidden),
			Up:   at.Tensor(up+".weight", n*inner, hidden),
			Down: at.Tensor(down+".weight", n*hidden, inner),
		}
	}
	var gates, ups, downs []runtime.Tensor
	for e := range n {
		at := sc.Sub("experts").Sub(strconv.Itoa(e))
		gates = append(gates, at.Tensor(gate+".weight", inner, hidden))
		ups = append(ups, at.Tensor(up+".weight", inner, hidden))
		downs = append(downs, at.Tensor(down+".weight", hidden, inner))
	}
	return nn.StackExperts(gates, ups, downs)
}
