package nn

// The tables of RoPE against formulas written down once more, in float64, and
// against angles reduced with 300 bits.

import (
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/runtime"
)

// wanted is the frequencies and the factor on cosines and sines, from the
// definitions of transformers' modeling_rope_utils.
func wanted(r Rope) (inv []float64, factor float64) {
	factor = 1
	for i := 0; i < r.Dim; i += 2 {
		inv = append(inv, math.Exp(-math.Log(r.Theta)*float64(i)/float64(r.Dim)))
	}
	L := float64(r.Original)
	switch r.Scaling {
	case "linear":
		for i := range inv {
			inv[i] = inv[i] / r.Factor
		}
	case "llama3":
		for i, f := range inv {
			turns := L * f / (2 * math.Pi) // over the original context
			smooth := (turns - r.LowFreqFactor) / (r.HighFreqFactor - r.LowFreqFactor)
			smooth = math.Max(0, math.Min(1, smooth))
			inv[i] = f * (smooth + (1-smooth)/r.Factor)
		}
	case "yarn":
		fast, slow := 32.0, 1.0
		if r.BetaFast != 0 {
			fast = r.BetaFast
		}
		if r.BetaSlow != 0 {
			slow = r.BetaSlow
		}
		correction := func(turns float64) float64 {
			return float64(r.Dim) * math.Log(L/(turns*2*math.Pi)) / (2 * math.Log(r.Theta))
		}
		lo, hi := correction(fast), correction(slow)
		if !r.NoTruncate {
			lo, hi = math.Floor(lo), math.Ceil(hi)
		}
		lo, hi = math.Max(lo, 0), math.Min(hi, float64(r.Dim-1))
		if lo == hi {
			hi += 0.001
		}
		for i, f := range inv {
			extrapolate := 1 - math.Max(0, math.Min(1, (float64(i)-lo)/(hi-lo)))
			inv[i] = f/r.Factor*(1-extrapolate) + f*extrapolate
		}
		mscale := func(m float64) float64 {
			if r.Factor <= 1 {
				return 1
			}
			return 0.1*m*math.Log(r.Factor) + 1
		}
		switch factor = mscale(1); {
		case r.AttentionFactor != 0:
			factor = r.AttentionFactor
		case r.MScale != 0 && r.MScaleAll != 0:
			factor = mscale(r.MScale) / mscale(r.MScaleAll)
		}
	}
	if r.Scaling == "longrope" {
		for i, d := range r.Short {
			inv[i] /= d
		}
		switch {
		case r.AttentionFactor != 0:
			factor = r.AttentionFactor
		case r.Factor > 1:
			factor = math.Sqrt(1 + math.Log(r.Factor)/math.Log(L))
		}
	}
	if r.Divisors != nil {
		for i, d := range r.Divisors {
			inv[i] /= float64(d)
		}
	}
	return inv, factor
}

var ropes = map[string]Rope{
	"plain":                {Theta: 10000, Dim: 12},
	"one pair":             {Theta: 10000, Dim: 2, Scaling: "default"},
	"large base":           {Theta: 1e6, Dim: 128},
	"linear":               {Theta: 10000, Dim: 64, Scaling: "linear", Factor: 4},
	"llama3":               {Theta: 500000, Dim: 128, Scaling: "llama3", Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, Original: 8192},
	"llama3, tiny":         {Theta: 10000, Dim: 16, Scaling: "llama3", Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, Original: 64},
	"yarn":                 {Theta: 10000, Dim: 16, Scaling: "yarn", Factor: 4, Original: 32},
	"yarn, wide":           {Theta: 1e6, Dim: 128, Scaling: "yarn", Factor: 4, Original: 32768},
	"yarn, betas":          {Theta: 150000, Dim: 64, Scaling: "yarn", Factor: 32, Original: 4096, BetaFast: 16, BetaSlow: 2},
	"yarn, real range":     {Theta: 150000, Dim: 64, Scaling: "yarn", Factor: 32, Original: 4096, NoTruncate: true},
	"yarn, attention":      {Theta: 10000, Dim: 64, Scaling: "yarn", Factor: 16, Original: 4096, AttentionFactor: 1.5},
	"yarn, mscale":         {Theta: 10000, Dim: 64, Scaling: "yarn", Factor: 40, Original: 4096, MScale: 1, MScaleAll: 0.5},
	"yarn, one mscale":     {Theta: 10000, Dim: 64, Scaling: "yarn", Factor: 40, Original: 4096, MScale: 0.7},
	"yarn, shrinking":      {Theta: 10000, Dim: 64, Scaling: "yarn", Factor: 0.5, Original: 4096},
	"yarn, one point":      {Theta: 10000, Dim: 8, Scaling: "yarn", Factor: 4, Original: 1, BetaFast: 1, BetaSlow: 0.5},
	"yarn, equal betas":    {Theta: 10000, Dim: 64, Scaling: "yarn", Factor: 4, Original: 4096, BetaFast: 4, BetaSlow: 4, NoTruncate: true},
	"yarn, past the pairs": {Theta: 100, Dim: 16, Scaling: "yarn", Factor: 4, Original: 4096},
	"yarn, past the head":  {Theta: 20, Dim: 16, Scaling: "yarn", Factor: 4, Original: 1000000, BetaFast: 100000},
	"dynamic":              {Theta: 10000, Dim: 64, Scaling: "dynamic", Factor: 4},
	"longrope":             {Theta: 10000, Dim: 8, Scaling: "longrope", Factor: 4, Original: 32, Short: []float64{1, 1.1, 1.2, 1.3}, Long: []float64{1.5, 2.2, 2.9, 3.6}},
	"longrope, attention":  {Theta: 10000, Dim: 4, Scaling: "longrope", Factor: 4, Original: 32, AttentionFactor: 1.25, Short: []float64{1, 1.1}, Long: []float64{1, 2}},
	"longrope, shrinking":  {Theta: 10000, Dim: 4, Scaling: "longrope", Factor: 0.5, Original: 32, Short: []float64{1, 1.1}, Long: []float64{1, 2}},
	"divisors":             {Theta: 500000, Dim: 8, Divisors: []float32{1, 1, 3.5, 8}},
}

func TestRopeFrequencies(t *testing.T) {
	for name, r := range ropes {
		inv, factor, err := r.Frequencies()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want, wantFactor := wanted(r)
		if math.Abs(factor-wantFactor) > 1e-14 {
			t.Errorf("%s: factor %v, want %v", name, factor, wantFactor)
		}
		for i := range want {
			if math.Abs(inv[i]-want[i]) > 1e-13*want[i] {
				t.Errorf("%s: frequency %d is %v, want %v", name, i, inv[i], want[i])
			}
		}
	}
}

// TestRopeScalingsDiffer guards the rows above: each scaling has to change
// something, at both ends and between.
func TestRopeScalingsDiffer(t *testing.T) {
	changed := func(name string) (same, scaled, between int) {
		r := ropes[name]
		got, _ := wanted(r)
		plain, _ := wanted(Rope{Theta: r.Theta, Dim: r.Dim})
		for i := range got {
			switch q := plain[i] / got[i]; {
			case math.Abs(q-1) < 1e-12:
				same++
			case math.Abs(q-r.Factor) < 1e-9:
				scaled++
			default:
				between++
			}
		}
		return same, scaled, between
	}
	for _, name := range []string{"llama3", "llama3, tiny", "yarn", "yarn, wide", "yarn, betas", "yarn, real range"} {
		if a, b, c := changed(name); a == 0 || b == 0 || c == 0 {
			t.Errorf("%s: %d frequencies as they were, %d scaled, %d between: want some of each", name, a, b, c)
		}
	}
}

// pi to 300 bits; OEIS A000796.
var pi, _ = new(big.Float).SetPrec(300).SetString("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651")

// turned is the angle p·f less whole turns, in [0, 2π).
func turned(p int, f float64) float64 {
	full := new(big.Float).SetPrec(300).Add(pi, pi)
	angle := new(big.Float).SetPrec(300).Mul(big.NewFloat(f), new(big.Float).SetInt64(int64(p)))
	turns, _ := new(big.Float).SetPrec(300).Quo(angle, full).Int(nil)
	rest := new(big.Float).SetPrec(300).Sub(angle, new(big.Float).SetPrec(300).Mul(full, new(big.Float).SetPrec(300).SetInt(turns)))
	x, _ := rest.Float64()
	return x
}

// TestRopeTables goes to position 1,000,000, where an angle kept in float32 is off
// by up to 0.03 radians.
func TestRopeTables(t *testing.T) {
	const last = 1_000_000
	for name, r := range ropes {
		positions := 4100
		if name == "plain" || name == "divisors" {
			positions = last + 1
		}
		cos, sin, err := r.Tables(positions)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		inv, factor := wanted(r)
		limit := r.Limit()
		long, _ := wanted(Rope{Theta: r.Theta, Dim: r.Dim, Scaling: r.Scaling, Original: r.Original, Short: r.Long})
		if cos.Rows != positions+limit || cos.Cols != len(inv) || sin.Rows != positions+limit || sin.Cols != len(inv) {
			t.Errorf("%s: tables %v, %v", name, cos, sin)
			continue
		}
		for _, row := range []int{0, 1, 2, 31, 32, 33, 63, 64, 1000, 4095, 4131, 65536, 131071, 999_999, last} {
			if row >= positions+limit {
				continue
			}
			c, s, p := cos.F32Row(row), sin.F32Row(row), row
			if limit > 0 && row >= limit {
				p, inv = row-limit, long
			}
			for i, f := range inv {
				angle := turned(p, f)
				wantC, wantS := math.Cos(angle)*factor, math.Sin(angle)*factor
				if math.Abs(float64(c[i])-wantC) > 7e-8*factor || math.Abs(float64(s[i])-wantS) > 7e-8*factor {
					t.Errorf("%s: position %d, pair %d: cos %v sin %v, want %v %v", name, p, i, c[i], s[i], wantC, wantS)
				}
			}
		}
	}
}

func TestRopeErrors(t *testing.T) {
	llama3, longrope := ropes["llama3"], ropes["longrope"]
	with := func(r Rope, change func(*Rope)) Rope { change(&r); return r }
	for _, row := range []struct {
		r    Rope
		want string
	}{
		{Rope{Theta: 10000, Dim: 7}, "even"},
		{Rope{Theta: 10000, Dim: 0}, "even"},
		{Rope{Theta: 10000, Dim: -2}, "even"},
		{Rope{Theta: 0, Dim: 8}, "positive base"},
		{Rope{Theta: math.NaN(), Dim: 8}, "positive base"},
		{Rope{Theta: 10000, Dim: 8, Scaling: "axial", Factor: 2}, `"axial" is not supported: want default, linear, dynamic, llama3, yarn or longrope`},
		{Rope{Theta: 10000, Dim: 8, Scaling: "dynamic"}, "positive factor"},
		{Rope{Theta: 10000, Dim: 8, Scaling: "linear"}, "positive factor"},
		{Rope{Theta: 10000, Dim: 8, Scaling: "linear", Factor: math.NaN()}, "positive factor"},
		{Rope{Theta: 10000, Dim: 8, Scaling: "yarn", Factor: 2}, "original_max_position_embeddings"},
		{Rope{Theta: 1, Dim: 8, Scaling: "yarn", Factor: 2, Original: 32}, "yarn"},
		{Rope{Theta: 10000, Dim: 8, Scaling: "yarn", Factor: 2, Original: 32, BetaFast: -1}, "beta_fast"},
		{with(longrope, func(r *Rope) { r.Short = r.Short[1:] }), "has 3, 4"},
		{with(longrope, func(r *Rope) { r.Long = nil }), "has 4, 0"},
		{with(longrope, func(r *Rope) { r.Short = []float64{1, 1, 0, 1} }), "divides frequency 2 by 0"},
		{with(longrope, func(r *Rope) { r.Long = []float64{1, 1, 1, math.NaN()} }), "divides frequency 3 by"},
		{with(longrope, func(r *Rope) { r.Original = 1 }), "original_max_position_embeddings above 1"},
		{with(llama3, func(r *Rope) { r.Original = 0 }), "original_max_position_embeddings"},
		{with(llama3, func(r *Rope) { r.LowFreqFactor = 0 }), "low_freq_factor"},
		{with(llama3, func(r *Rope) { r.HighFreqFactor = r.LowFreqFactor }), "high_freq_factor"},
		{Rope{Theta: 10000, Dim: 8, Divisors: []float32{1, 1, 1}}, "3 frequency divisors, want 4"},
		{Rope{Theta: 10000, Dim: 8, Divisors: []float32{1, 1, 0, 1}}, "divisor 2 is 0"},
	} {
		_, _, err := row.r.Frequencies()
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%+v: error %v, want one that says %q", row.r, err, row.want)
		}
		if _, _, err := row.r.Tables(4); err == nil {
			t.Errorf("%+v: Tables gives no error", row.r)
		}
	}
}

// TestRopeLimit: without positions beyond the limit there is one table.
func TestRopeLimit(t *testing.T) {
	r := ropes["longrope"]
	for positions, want := range map[int]int{31: 31, 32: 32, 33: 65} {
		if cos, _, err := r.Tables(positions); err != nil || cos.Rows != want {
			t.Errorf("tables of %d positions: %d rows, want %d (%v)", positions, cos.Rows, want, err)
		}
	}
	if r.Limit() != 32 || ropes["yarn"].Limit() != 0 {
		t.Errorf("limits %d and %d, want 32 and 0", r.Limit(), ropes["yarn"].Limit())
	}
}

// TestRotary rotates both pairings of a partly rotated head by hand.
func TestRotary(t *testing.T) {
	s := stream(t)
	r := Rope{Theta: 100, Dim: 4}
	inv, _ := wanted(r)
	const headDim, heads = 6, 2
	rows := []int32{5, 0, 3}
	for _, interleaved := range []bool{false, true} {
		rotary := LoadRotary(s, r, 8, interleaved)
		x := random(3, heads*headDim)
		got := upload(s, x)
		ids := s.ScratchI32(1, 3)
		s.UploadI32(ids, rows)
		rotary.Apply(&Step{S: s, Tokens: 3, Rows: ids}, got, headDim)
		want := make([]float32, len(x.F32s()))
		copy(want, x.F32s())
		for tok, p := range rows {
			for h := range heads {
				for i, f := range inv {
					a, b := i, i+2
					if interleaved {
						a, b = 2*i, 2*i+1
					}
					a, b = tok*heads*headDim+h*headDim+a, tok*heads*headDim+h*headDim+b
					sin, cos := math.Sincos(float64(p) * f)
					u, v := float64(x.F32s()[a]), float64(x.F32s()[b])
					want[a], want[b] = float32(u*cos-v*sin), float32(u*sin+v*cos)
				}
			}
		}
		equal(t, download(t, s, got), want, 1e-6)
	}
	if LoadRotary(s, Rope{Theta: 100, Dim: 3}, 8, false); s.Err() == nil {
		t.Error("an odd number of features gives no error")
	}
}

// stream is a stream on a reference device, closed with the test.
func stream(t testing.TB) *runtime.Stream {
	d := cpu.NewReference(cpu.Config{Threads: 1})
	s := runtime.NewStream(d, nil)
	t.Cleanup(func() {
		s.Close()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
