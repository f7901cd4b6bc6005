package engine

// Stop strings over streamed text: what may be shown now, what must wait, and
// where the text ends.

import (
	"fmt"
	"unicode/utf8"
)

// Limits of NewStopSet, for requests of strangers.
const (
	MaxStops     = 10_000  // stop strings
	MaxStopBytes = 1 << 18 // bytes of all together
)

// StopSet is a set of stop strings made ready for searching (Aho and Corasick
// 1975): a byte of text costs about the same with one stop string and with ten
// thousand. It does not change, and any number of scanners may share it.
//
// The stop that is complete first ends the text. Of several that are complete at
// the same byte the longest counts, which is the one that begins first, and of
// equal strings the first in the list. So the result depends on the text alone,
// not on how it came in pieces: a rule that preferred a longer stop still open
// would have to wait for text that may never be generated.
type StopSet struct {
	stops []string
	root  [256]int32 // children of the root: node 0
	nodes []stopNode
}

// stopNode is a prefix of one or more stops.
type stopNode struct {
	child, sibling int32 // first child, next child of the same parent; 0: none
	fail           int32 // the longest proper suffix that is a node too
	depth          int32 // length of the prefix
	stop           int32 // the longest stop that is a suffix of it, or -1
	b              byte  // its last byte
}

// NewStopSet compiles stop strings. A *[ParamError] for Stop says which is empty
// or not UTF-8, or that they are too many or too long.
func NewStopSet(stops []string) (*StopSet, error) {
	if len(stops) > MaxStops {
		return nil, &ParamError{"Stop", fmt.Sprintf("a list of %d", len(stops)), fmt.Sprintf("at most %d stop strings are possible", MaxStops)}
	}
	size := 0
	for i, s := range stops {
		field := fmt.Sprintf("Stop[%d]", i)
		switch size += len(s); {
		case s == "":
			return nil, &ParamError{field, `""`, "an empty string would stop everything"}
		case size > MaxStopBytes:
			return nil, &ParamError{field, fmt.Sprintf("a string of %d bytes", len(s)), fmt.Sprintf("all stop strings together have at most %d bytes", MaxStopBytes)}
		case !utf8.ValidString(s):
			return nil, &ParamError{field, fmt.Sprintf("%q", s), "must be UTF-8: text is"}
		}
	}
	set := &StopSet{stops: append([]string(nil), stops...), nodes: make([]stopNode, 1, size+1)}
	set.nodes[0].stop = -1
	for i, s := range stops {
		set.insert(s, int32(i))
	}
	set.link()
	return set, nil
}

// insert adds the path of stop i.
func (set *StopSet) insert(s string, i int32) {
	at := int32(0)
	for j := range len(s) {
		next := set.child(at, s[j])
		if next == 0 {
			next = int32(len(set.nodes))
			n := stopNode{b: s[j], depth: int32(j + 1), stop: -1}
			if at == 0 {
				set.root[s[j]] = next
			} else {
				n.sibling, set.nodes[at].child = set.nodes[at].child, next
			}
			set.nodes = append(set.nodes, n)
		}
		at = next
	}
	if set.nodes[at].stop < 0 {
		set.nodes[at].stop = i
	}
}

// link sets fail and the stops of suffixes, breadth first: a suffix is shorter.
func (set *StopSet) link() {
	queue := make([]int32, 0, len(set.nodes))
	for _, n := range set.root {
		if n != 0 {
			queue = append(queue, n)
		}
	}
	for i := 0; i < len(queue); i++ {
		at := queue[i]
		for n := set.nodes[at].child; n != 0; n = set.nodes[n].sibling {
			node := &set.nodes[n]
			node.fail = set.step(set.nodes[at].fail, node.b)
			if node.stop < 0 {
				node.stop = set.nodes[node.fail].stop
			}
			queue = append(queue, n)
		}
	}
}

// child returns the child of a node by a byte, 0 if there is none.
func (set *StopSet) child(at int32, b byte) int32 {
	if at == 0 {
		return set.root[b]
	}
	for n := set.nodes[at].child; n != 0; n = set.nodes[n].sibling {
		if set.nodes[n].b == b {
			return n
		}
	}
	return 0
}

// step returns the longest node that is a suffix of a node's prefix and a byte.
func (set *StopSet) step(at int32, b byte) int32 {
	for at != 0 {
		if n := set.child(at, b); n != 0 {
			return n
		}
		at = set.nodes[at].fail
	}
	return set.root[b]
}

// StopScanner searches one text as it comes. The zero value has no stops and lets
// everything through. Not safe for concurrent use.
type StopScanner struct {
	set  *StopSet
	at   int32  // node: the longest end of the text that begins a stop
	held []byte // that end, not shown yet
	stop int    // 1 + index of the stop that was found; 0: none yet
}

// NewStopScanner returns a scanner for a text from its start. A nil set has no stops.
func NewStopScanner(set *StopSet) *StopScanner {
	return &StopScanner{set: set}
}

// Push takes the next piece of text and returns what can be shown: all but the
// shortest end of the text that may turn out to begin a stop. Pieces of whole
// characters give whole characters. When a stop is found, the text before it is
// returned, and after that nothing more.
func (s *StopScanner) Push(piece string) string {
	switch {
	case s.stop > 0:
		return ""
	case s.set == nil:
		return piece
	}
	for i := range len(piece) {
		s.at = s.set.step(s.at, piece[i])
		if stop := s.set.nodes[s.at].stop; stop >= 0 {
			s.stop = int(stop) + 1
			text := s.cut(piece[:i+1], len(s.set.stops[stop]))
			s.held = s.held[:0]
			return text
		}
	}
	return s.cut(piece, int(s.set.nodes[s.at].depth))
}

// cut returns the held text and piece but for their last n bytes, which it holds.
func (s *StopScanner) cut(piece string, n int) string {
	if n <= len(piece) {
		show := piece[:len(piece)-n]
		if len(s.held) > 0 {
			show = string(s.held) + show
		}
		s.held = append(s.held[:0], piece[len(piece)-n:]...)
		return show
	}
	first := len(s.held) + len(piece) - n
	show := string(s.held[:first])
	s.held = append(s.held[:copy(s.held, s.held[first:])], piece...)
	return show
}

// Flush returns what was held back, at the end of a text that no stop ended.
func (s *StopScanner) Flush() string {
	text := string(s.held)
	s.held, s.at = s.held[:0], 0
	return text
}

// Stopped reports whether a stop was found, and which: its index in the list
// given to NewStopSet, and itself.
func (s *StopScanner) Stopped() (index int, stop string, ok bool) {
	if s.stop == 0 {
		return 0, "", false
	}
	return s.stop - 1, s.set.stops[s.stop-1], true
}
