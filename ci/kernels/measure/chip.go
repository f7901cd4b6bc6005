package measure

// Chips, and the time that a kernel takes on one at best.

import "github.com/godwit-ml/godwit/ptx"

// Chip is what a GPU can do in a second.
type Chip struct {
	Name      string
	SMs       int
	Hertz     float64 // boost clock
	Bandwidth float64 // of its memory, bytes a second
	L2        int     // bytes that all SMs read of it in a clock
	FMAs      int     // FP32, an SM and clock
}

// FLOPs is the peak of FP32 without tensor cores.
func (c Chip) FLOPs() float64 { return 2 * float64(c.SMs*c.FMAs) * c.Hertz }

// What an SM of each of them starts in a clock.
const (
	issueSlots = 4 // warp instructions
	wavefronts = 1 // of shared memory, 128 bytes
)

// Chips are those of which docs/kernels.md speaks: NVIDIA's white papers of GA100 and GH100, and the data sheet of H200. The
// L2 of GH100 is not specified there; it is taken as GA100's.
var Chips = []Chip{
	{"A100", 108, 1.410e9, 1.555e12, 5120, 64}, // 40 GB, SXM
	{"H100", 132, 1.980e9, 3.352e12, 5120, 128},
	{"H200", 132, 1.980e9, 4.800e12, 5120, 128},
}

// Limit is what a kernel waits for.
type Limit string

// The limits.
const (
	Memory Limit = "memory" // every byte once
	L2     Limit = "L2"     // every sector that is asked for
	FP32   Limit = "FP32"
	Issue  Limit = "issue"
	Shared Limit = "shared"
)

// Prediction is the least time of a launch: the largest of what its limits allow, where all SMs share the work evenly and
// nothing waits for anything else. It compares kernels; a real launch takes longer.
type Prediction struct {
	Seconds float64
	By      Limit
}

// Sectors is how many sectors of 32 bytes of global memory a launch asked for.
func Sectors(n *ptx.Counts) int64 { return n.GlobalLoads.Sectors + n.GlobalStores.Sectors }

// MainLoop is the passes over the banks of shared memory in the main loop, and what they would be without conflicts: of the
// instructions that run at least half as often as the one that runs most.
func MainLoop(n *ptx.Counts) (wavefronts, ideal int64) {
	most := int64(0)
	for i := range n.Lines {
		most = max(most, n.Lines[i].Issues)
	}
	for i := range n.Lines {
		if l := &n.Lines[i]; l.Issues*2 >= most {
			wavefronts += l.Wavefronts()
			ideal += l.IdealWavefronts()
		}
	}
	return wavefronts, ideal
}

// Predict gives the prediction. Without counts it is that of bytes and FLOPs alone.
func (c Chip) Predict(r Result) Prediction {
	sms := float64(c.SMs) * c.Hertz
	p := Prediction{float64(r.Cost.Bytes) / c.Bandwidth, Memory}
	worse := func(seconds float64, by Limit) {
		if seconds > p.Seconds {
			p = Prediction{seconds, by}
		}
	}
	worse(float64(r.Cost.FLOPs)/c.FLOPs(), FP32)
	if n := r.Counts; n != nil {
		worse(32*float64(Sectors(n))/(float64(c.L2)*c.Hertz), L2)
		worse(float64(n.Issues)/(issueSlots*sms), Issue)
		worse(float64(n.Wavefronts())/(wavefronts*sms), Shared)
	}
	return p
}
