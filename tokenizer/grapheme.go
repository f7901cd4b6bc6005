// Extended grapheme clusters (UAX #29, Unicode 17.0), as far as SentencePiece's
// precompiled charsmap needs them: where does the cluster that starts here end.

package tokenizer

import "unicode/utf8"

// Values of graphemeTable: a class in the low four bits, two flags above.
const (
	gbCR = iota + 1
	gbLF
	gbControl
	gbExtend
	gbPictographic
	gbConsonant // InCB=Consonant
	gbL
	gbLV
	gbLVT
	gbV
	gbT
	gbPrepend
	gbRegional
	gbSpacingMark
	gbZWJ

	gbClass      = 15
	gbInCBExtend = 16
	gbInCBLinker = 32
)

// clusterEnd returns the end of the grapheme cluster that starts at s[i].
func clusterEnd(s string, i int) int {
	r, size := utf8.DecodeRuneInString(s[i:])
	end := i + size
	before := graphemeTable.get(r)
	state := clusterState{}
	state.see(before)
	for end < len(s) {
		r, size = utf8.DecodeRuneInString(s[end:])
		after := graphemeTable.get(r)
		if state.breaks(before&gbClass, after&gbClass) {
			break
		}
		state.see(after)
		before = after
		end += size
	}
	return end
}

// clusterState is what the rules that look further back than one character need.
type clusterState struct {
	regional  int  // regional indicators in a row
	picture   bool // Extended_Pictographic Extend*
	joined    bool // … ZWJ
	consonant bool // InCB=Consonant [Extend Linker]*
	linked    bool // … with a Linker among them
}

func (c *clusterState) see(v uint16) {
	class := v & gbClass
	if class == gbRegional {
		c.regional++
	} else {
		c.regional = 0
	}
	c.joined = c.picture && class == gbZWJ
	c.picture = class == gbPictographic || c.picture && class == gbExtend
	switch {
	case class == gbConsonant:
		c.consonant, c.linked = true, false
	case v&gbInCBLinker != 0:
		c.linked = c.consonant
	case v&gbInCBExtend == 0:
		c.consonant, c.linked = false, false
	}
}

// breaks applies GB3 to GB13 in order.
func (c *clusterState) breaks(before, after uint16) bool {
	switch {
	case before == gbCR && after == gbLF:
		return false
	case before == gbControl || before == gbCR || before == gbLF:
		return true
	case after == gbControl || after == gbCR || after == gbLF:
		return true
	case before == gbL && (after == gbL || after == gbV || after == gbLV || after == gbLVT):
		return false
	case (before == gbLV || before == gbV) && (after == gbV || after == gbT):
		return false
	case (before == gbLVT || before == gbT) && after == gbT:
		return false
	case after == gbExtend || after == gbZWJ || after == gbSpacingMark || before == gbPrepend:
		return false
	case after == gbConsonant:
		return !c.consonant || !c.linked
	case before == gbZWJ && after == gbPictographic:
		return !c.joined
	case before == gbRegional && after == gbRegional:
		return c.regional%2 == 0
	}
	return true
}
