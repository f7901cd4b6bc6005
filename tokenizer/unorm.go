// NFC, NFD, NFKC and NFKD as of Unicode 9.0, character by character with changes,
// over the properties of golang.org/x/text: what an edition assigns never changes.

package tokenizer

import (
	"slices"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Hangul arithmetic, Unicode 9.0 section 3.12.
const (
	hangulS, hangulL, hangulV, hangulT = 0xAC00, 0x1100, 0x1161, 0x11A7
	hangulLN, hangulVN, hangulTN       = 19, 21, 28
	hangulSN                           = hangulLN * hangulVN * hangulTN
)

// compositions maps a pair of characters to the one that NFC puts in their place.
var compositions map[[2]rune]rune

// loadCompositions derives the pairs: a character that its own decomposition composes
// to again is not excluded, and its pair is the composition of all but the last, and the last.
func loadCompositions() {
	compositions = make(map[[2]rune]rune, 1000)
	for page, index := range normTable.index {
		if index == normTable.index[utf8.MaxRune>>8] || page >= hangulS>>8 && page < (hangulS+hangulSN)>>8 {
			continue // nothing here, or Hangul, which is arithmetic
		}
		for r := rune(page) << 8; r < rune(page+1)<<8; r++ {
			if normTable.get(r) == 0 || r >= hangulS && r < hangulS+hangulSN {
				continue
			}
			d := []rune(string(norm.NFD.PropertiesString(string(r)).Decomposition()))
			if len(d) < 2 || norm.NFC.String(string(d)) != string(r) {
				continue
			}
			if first := []rune(norm.NFC.String(string(d[:len(d)-1]))); len(first) == 1 {
				compositions[[2]rune{first[0], d[len(d)-1]}] = r
			}
		}
	}
}

func compose(a, b rune) (rune, bool) {
	if a >= hangulL && a < hangulL+hangulLN && b >= hangulV && b < hangulV+hangulVN {
		return hangulS + ((a-hangulL)*hangulVN+(b-hangulV))*hangulTN, true
	}
	if a >= hangulS && a < hangulS+hangulSN && (a-hangulS)%hangulTN == 0 && b > hangulT && b < hangulT+hangulTN {
		return a + b - hangulT, true
	}
	r, ok := compositions[[2]rune{a, b}]
	return r, ok
}

// changed is a character with its change (see rewriter) and combining class.
type changed struct {
	r      rune
	change int
	class  uint8
}

// unicodeForm is one of the four normalization forms.
type unicodeForm struct {
	form    norm.Form // NFC or NFKC: compose; NFD or NFKD: leave decomposed
	compose bool
}

func (f unicodeForm) normalize(p piece, st *state) piece {
	if asciiLen(p.s) == len(p.s) || f.form.QuickSpanString(p.s) == len(p.s) {
		return p
	}
	w := newRewriter(p, st.spare(), st.track)
	d := decomposer{form: f.form}
	if f.compose {
		c := composer{out: w.put}
		d.ordered = c.see
		d.run(p.s)
		c.flush()
	} else {
		d.ordered = func(c changed) { w.put(c.r, c.change) }
		d.run(p.s)
	}
	return w.piece()
}

// decomposer decomposes and puts marks in canonical order.
type decomposer struct {
	form    norm.Form
	ordered func(changed)
	pending []changed
}

func (d *decomposer) run(s string) {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case normTable.get(r) == 0:
			d.see(changed{r: r})
		case r >= hangulS && r < hangulS+hangulSN:
			k := r - hangulS
			d.see(changed{r: hangulL + k/(hangulVN*hangulTN)})
			d.see(changed{r: hangulV + k%(hangulVN*hangulTN)/hangulTN, change: 1})
			if t := k % hangulTN; t > 0 {
				d.see(changed{r: hangulT + t, change: 1})
			}
		default:
			props := d.form.PropertiesString(s[i:])
			if parts := props.Decomposition(); len(parts) > 0 {
				change := 0
				for len(parts) > 0 {
					r, n := utf8.DecodeRune(parts)
					d.see(changed{r: r, change: change, class: d.form.Properties(parts).CCC()})
					parts = parts[n:]
					change = 1
				}
			} else {
				d.see(changed{r: r, class: props.CCC()})
			}
		}
		i += size
	}
	d.flush()
}

func (d *decomposer) see(c changed) {
	if c.class == 0 {
		d.flush()
		d.ordered(c)
		return
	}
	d.pending = append(d.pending, c)
}

func (d *decomposer) flush() {
	if len(d.pending) > 1 {
		slices.SortStableFunc(d.pending, func(a, b changed) int { return int(a.class) - int(b.class) })
	}
	for _, c := range d.pending {
		d.ordered(c)
	}
	d.pending = d.pending[:0]
}

// composer joins a starter with the marks that follow it, unless one of the same or a
// higher class stands between.
type composer struct {
	out     func(rune, int)
	starter changed
	have    bool
	marks   []changed
}

func (c *composer) see(next changed) {
	if !c.have {
		if next.class != 0 {
			c.out(next.r, next.change)
			return
		}
		c.starter, c.have = next, true
		return
	}
	blocked := len(c.marks) > 0 && c.marks[len(c.marks)-1].class >= next.class
	if !blocked {
		if r, ok := compose(c.starter.r, next.r); ok {
			c.starter.r = r
			c.starter.change += next.change - 1
			return
		}
	}
	if next.class == 0 {
		c.flush()
		c.starter, c.have = next, true
		return
	}
	c.marks = append(c.marks, next)
}

func (c *composer) flush() {
	if c.have {
		c.out(c.starter.r, c.starter.change)
	}
	for _, m := range c.marks {
		c.out(m.r, m.change)
	}
	c.marks = c.marks[:0]
	c.have = false
}
