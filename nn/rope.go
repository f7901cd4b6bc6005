package nn

// Rotary position embeddings: the tables, with every scaling, in float64.

import (
	"fmt"
	"math"

	"github.com/godwit-ml/godwit/runtime"
)

// Rope describes rotary position embeddings as config.json does.
type Rope struct {
	Theta   float64 // base of the frequencies
	Dim     int     // features a head that rotate, even
	Scaling string  // "", "default", "linear", "dynamic", "llama3", "yarn", "longrope"
	Factor  float64 // of the scaling

	LowFreqFactor, HighFreqFactor float64 // llama3
	Original                      int     // context before scaling: llama3, yarn, longrope
	BetaFast, BetaSlow            float64 // yarn; 0: 32 and 1
	NoTruncate                    bool    // yarn: no floor and ceil of the range
	AttentionFactor               float64 // yarn, longrope; 0: from Factor
	MScale, MScaleAll             float64 // yarn, DeepSeek's form of the attention factor

	Short, Long []float64 // longrope: Dim/2 divisors of the frequencies, of sequences of up to Original tokens and of longer ones
	Divisors    []float32 // Dim/2 further divisors of the frequencies, as GGUF's rope_freqs
}

// Frequencies are the Dim/2 angles a position adds, in radians, and the factor
// on cosines and sines; of longrope, in sequences of up to Original tokens.
// Sources: Su et al., 2021 (RoPE); Peng et al., 2023 (YaRN); Ding et al., 2024
// (LongRoPE); the Llama 3.1 model card's code for llama3.
func (r Rope) Frequencies() (inv []float64, factor float64, err error) {
	if r.Dim <= 0 || r.Dim%2 != 0 || !(r.Theta > 0) {
		return nil, 0, fmt.Errorf("rope: theta %v and %d rotated features: want a positive base and an even number", r.Theta, r.Dim)
	}
	n := r.Dim / 2
	inv = make([]float64, n)
	for i := range inv {
		inv[i] = math.Pow(r.Theta, -2*float64(i)/float64(r.Dim))
	}
	factor = 1
	if r.Scaling != "" && r.Scaling != "default" && !(r.Factor > 0) {
		return nil, 0, fmt.Errorf("rope: scaling %q with factor %v: want a positive factor", r.Scaling, r.Factor)
	}
	switch r.Scaling {
	case "", "default", "dynamic": // dynamic only changes the base beyond the model's context, which no sequence leaves
	case "linear":
		for i := range inv {
			inv[i] /= r.Factor
		}
	case "llama3":
		err = r.llama3(inv)
	case "yarn":
		factor, err = r.yarn(inv)
	case "longrope":
		factor, err = r.longrope(inv)
	default:
		err = fmt.Errorf("rope: scaling %q is not supported: want default, linear, dynamic, llama3, yarn or longrope", r.Scaling)
	}
	if err != nil {
		return nil, 0, err
	}
	if r.Divisors != nil {
		if len(r.Divisors) != n {
			return nil, 0, fmt.Errorf("rope: %d frequency divisors, want %d", len(r.Divisors), n)
		}
		for i, d := range r.Divisors {
			if !(d > 0) {
				return nil, 0, fmt.Errorf("rope: frequency divisor %d is %v", i, d)
			}
			inv[i] /= float64(d)
		}
	}
	return inv, factor, nil
}

func (r Rope) llama3(inv []float64) error {
	low, high, orig := r.LowFreqFactor, r.HighFreqFactor, float64(r.Original)
	if !(low > 0) || !(high > low) || r.Original <= 0 {
		return fmt.Errorf("rope: llama3 scaling wants 0 < low_freq_factor < high_freq_factor and original_max_position_embeddings, has %v, %v and %d", low, high, r.Original)
	}
	for i, f := range inv {
		wave := 2 * math.Pi / f
		switch {
		case wave > orig/low:
			inv[i] = f / r.Factor
		case wave < orig/high:
		default:
			s := (orig/wave - low) / (high - low)
			inv[i] = (1-s)*f/r.Factor + s*f
		}
	}
	return nil
}

func (r Rope) yarn(inv []float64) (factor float64, err error) {
	fast, slow := r.BetaFast, r.BetaSlow
	if fast == 0 {
		fast = 32
	}
	if slow == 0 {
		slow = 1
	}
	if r.Original <= 0 || !(r.Theta > 1) || !(fast > 0) || !(slow > 0) {
		return 0, fmt.Errorf("rope: yarn scaling wants original_max_position_embeddings and positive beta_fast and beta_slow, has %d, %v and %v", r.Original, fast, slow)
	}
	dim := float64(r.Dim)
	turns := func(n float64) float64 { // the feature that turns n times over the original context
		return dim * math.Log(float64(r.Original)/(2*math.Pi*n)) / (2 * math.Log(r.Theta))
	}
	lo, hi := turns(fast), turns(slow)
	if !r.NoTruncate {
		lo, hi = math.Floor(lo), math.Ceil(hi)
	}
	lo, hi = max(lo, 0), min(hi, dim-1)
	if lo == hi {
		hi += 0.001
	}
	for i, f := range inv {
		ramp := min(max((float64(i)-lo)/(hi-lo), 0), 1)
		inv[i] = f * ((1 - ramp) + ramp/r.Factor)
	}
	switch m := func(scale float64) float64 {
		if r.Factor <= 1 {
			return 1
		}
		return 0.1*scale*math.Log(r.Factor) + 1
	}; {
	case r.AttentionFactor != 0:
		return r.AttentionFactor, nil
	case r.MScale != 0 && r.MScaleAll != 0:
		return m(r.MScale) / m(r.MScaleAll), nil
	default:
		return m(1), nil
	}
}

// longrope divides the frequencies of short sequences.
func (r Rope) longrope(inv []float64) (factor float64, err error) {
	if len(r.Short) != len(inv) || len(r.Long) != len(inv) || r.Original < 2 {
		return 0, fmt.Errorf("rope: longrope scaling wants %d numbers in each of short_factor and long_factor, and original_max_position_embeddings above 1; has %d, %d and %d",
			len(inv), len(r.Short), len(r.Long), r.Original)
	}
	for i := range inv {
		if !(r.Short[i] > 0) || !(r.Long[i] > 0) {
			return 0, fmt.Errorf("rope: longrope divides frequency %d by %v and %v: want positive numbers", i, r.Short[i], r.Long[i])
		}
		inv[i] /= r.Short[i]
	}
	switch {
	case r.AttentionFactor != 0:
		return r.AttentionFactor, nil
	case r.Factor <= 1:
		return 1, nil
	}
	return math.Sqrt(1 + math.Log(r.Factor)/math.Log(float64(r.Original))), nil
}

// Limit is the most tokens of a sequence for which the first rows of Tables are
// right. Longer ones have theirs from row Limit on, for all their positions, those
// below Limit too. 0: the rows of a position are the same in all sequences.
func (r Rope) Limit() int {
	if r.Scaling == "longrope" {
		return r.Original
	}
	return 0
}

// Tables are the cosines and sines of positions 0 … positions-1, each F32
// [positions, Dim/2], times the attention factor. Angles are computed in
// float64: in float32 an angle of 100,000 radians is off by up to 4e-3. With
// more positions than a Limit there are Limit rows for sequences up to it, and
// below them positions rows for longer ones.
func (r Rope) Tables(positions int) (cos, sin runtime.Tensor, err error) {
	inv, factor, err := r.Frequencies()
	if err != nil {
		return cos, sin, err
	}
	first, n := positions, positions // rows before those of long sequences, and all
	if limit := r.Limit(); limit > 0 && positions > limit {
		first, n = limit, limit+positions
	}
	c, s := make([]float32, 0, n*len(inv)), make([]float32, 0, n*len(inv))
	for row := range n {
		p := row
		if row >= first {
			p -= first
		}
		if row == first {
			r.Short = r.Long
			if inv, factor, err = r.Frequencies(); err != nil {
				return cos, sin, err
			}
		}
		for _, f := range inv {
			sn, cs := math.Sincos(float64(p) * f)
			c, s = append(c, float32(cs*factor)), append(s, float32(sn*factor))
		}
	}
	return runtime.HostF32(n, len(inv), c), runtime.HostF32(n, len(inv), s), nil
}

// Rotary is the tables on the device.
type Rotary struct {
	Cos, Sin    runtime.Tensor // [rows, rot/2]
	Interleaved bool           // pairs are neighbours, not halves of a head
}

// LoadRotary puts the tables of positions 0 … positions-1 on the device. A
// mistake in the description sticks to the stream.
func LoadRotary(s *runtime.Stream, r Rope, positions int, interleaved bool) *Rotary {
	cos, sin, err := r.Tables(positions)
	if err != nil {
		s.Fail(err)
		return &Rotary{}
	}
	return &Rotary{
		Cos:         s.LoadWeight(cos, runtime.UseVector),
		Sin:         s.LoadWeight(sin, runtime.UseVector),
		Interleaved: interleaved,
	}
}

// Apply rotates the heads of x [T, heads·headDim] in place.
func (r *Rotary) Apply(st *Step, x runtime.Tensor, headDim int) {
	st.S.RoPE(runtime.RoPE{X: x, Cos: r.Cos, Sin: r.Sin, Rows: st.Rows, HeadDim: headDim, Interleaved: r.Interleaved})
}
