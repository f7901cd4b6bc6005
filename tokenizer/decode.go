// Decoding: the tokens of the ids go through a chain of stages that work as the
// tokens come. Decode and Decoder are the same chain, so that their texts are equal.

package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// decodeKind is a decoder of tokenizer.json.
type decodeKind uint8

const (
	decodeReplace decodeKind = iota
	decodeByteLevel
	decodeWordPiece
	decodeMetaspace
	decodeByteFallback
	decodeFuse
	decodeStrip
	decodeBPE
	decodeSpaces // no decoder: tokens joined with spaces
	decodeSentencePiece
)

// decodeStep is one decoder with its settings.
type decodeStep struct {
	kind        decodeKind
	pattern     pattern // replace
	text        string  // replace: content; wordpiece: prefix; metaspace: replacement; strip: content; bpe: suffix
	start, stop int     // strip
	cleanup     bool    // wordpiece
	keepFirst   bool    // metaspace: spaces of the first token stay
	whole       bool    // strip: after Fuse, on the whole text
	pieces      *pieceDecoder
}

// decodePlan is the chain of a tokenizer.
type decodePlan []decodeStep

// Decode returns the text of ids. Ids that have no token are left out, as are special
// tokens with skipSpecial; bytes that do not make up UTF-8 become U+FFFD.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	d := t.NewDecoder(skipSpecial)
	for _, id := range ids {
		d.push(id)
	}
	d.end()
	return d.out.String()
}

// Decoder decodes a stream of ids: the texts of all Push calls and of Flush, joined, are
// what Decode makes of all ids. It gives out whole characters only, and holds back what a
// later token could still change. It is for one goroutine.
type Decoder struct {
	t      *Tokenizer
	skip   bool
	stages []stage
	out    strings.Builder
}

// NewDecoder starts a stream.
func (t *Tokenizer) NewDecoder(skipSpecial bool) *Decoder {
	return &Decoder{t: t, skip: skipSpecial, stages: make([]stage, len(t.decode))}
}

// Push takes the next id and returns the text that became final with it, maybe none.
func (d *Decoder) Push(id int32) string {
	d.push(id)
	return d.take()
}

// Flush ends the stream and returns what was held back. The Decoder can be used anew.
func (d *Decoder) Flush() string {
	d.end()
	return d.take()
}

func (d *Decoder) take() string {
	s := d.out.String()
	d.out.Reset()
	return s
}

func (d *Decoder) push(id int32) {
	text, special, ok := d.t.decodeText(id)
	if !ok || special && d.skip {
		return
	}
	d.feed(0, text)
}

// decodeText is the text that decoding starts from.
func (t *Tokenizer) decodeText(id int32) (text string, special, ok bool) {
	if a := t.addedByID[id]; a != nil {
		// A special token that is matched in a normalized form does not count as special here.
		return a.text, a.special && a.text == a.content, true
	}
	text, ok = t.vocab.token(id)
	return text, false, ok
}

func (d *Decoder) end() {
	for k := range d.t.decode {
		d.t.decode[k].end(d, k)
	}
	clear(d.stages)
}

// stage is what a step remembers between tokens.
type stage struct {
	started bool   // a token has been seen
	bytes   []byte // held back: an unfinished character, a run of byte tokens
	text    string // held back: a token, the end of the text
	cut     int    // strip: characters cut so far
	full    bool   // strip: another character was seen
}

// feed hands a token to the k-th step; behind the last it is output.
func (d *Decoder) feed(k int, text string) {
	if k == len(d.t.decode) {
		d.out.WriteString(text)
		return
	}
	d.t.decode[k].push(d, k, text)
}

func (s *decodeStep) push(d *Decoder, k int, text string) {
	st := &d.stages[k]
	first := !st.started
	st.started = true
	switch s.kind {
	case decodeReplace:
		d.feed(k+1, s.replaced(text))
	case decodeByteLevel:
		st.bytes = appendMapped(st.bytes, text)
		if ready := wholeCharacters(st.bytes); ready > 0 {
			d.feed(k+1, mendBytes(st.bytes[:ready]))
			st.bytes = append(st.bytes[:0], st.bytes[ready:]...)
		}
	case decodeWordPiece:
		if !first {
			if inner, ok := strings.CutPrefix(text, s.text); ok {
				text = inner
			} else {
				text = " " + text
			}
		}
		if s.cleanup {
			text = cleanup(text)
		}
		d.feed(k+1, text)
	case decodeMetaspace:
		space := " "
		if first && !s.keepFirst {
			space = ""
		}
		d.feed(k+1, strings.ReplaceAll(text, s.text, space))
	case decodeByteFallback:
		if b, ok := byteToken(text); ok {
			st.bytes = append(st.bytes, b)
			return
		}
		st.flushBytes(d, k)
		d.feed(k+1, text)
	case decodeFuse:
		d.feed(k+1, text)
	case decodeStrip:
		s.strip(d, k, text)
	case decodeBPE:
		if !first {
			d.feed(k+1, strings.ReplaceAll(st.text, s.text, " "))
		}
		st.text = text
	case decodeSpaces:
		if !first {
			d.feed(k+1, " ")
		}
		d.feed(k+1, text)
	case decodeSentencePiece:
		s.pieces.push(d, k, st, text)
	}
}

// end gives out what a step held back.
func (s *decodeStep) end(d *Decoder, k int) {
	st := &d.stages[k]
	switch s.kind {
	case decodeByteLevel:
		d.feed(k+1, mendBytes(st.bytes))
		st.bytes = nil
	case decodeByteFallback:
		st.flushBytes(d, k)
	case decodeBPE:
		if st.started {
			d.feed(k+1, strings.ReplaceAll(st.text, s.text, ""))
		}
	case decodeStrip:
		if s.whole && st.started {
			d.feed(k+1, s.trimEnd(st.text))
		}
	case decodeSentencePiece:
		s.pieces.characters(d, k, st, true)
	}
}

func (s *decodeStep) replaced(text string) string {
	start, end := s.pattern.find(text, 0)
	if start < 0 {
		return text
	}
	var b strings.Builder
	done := 0
	for start >= 0 {
		b.WriteString(text[done:start])
		b.WriteString(s.text)
		done = end
		start, end = s.pattern.find(text, end)
	}
	b.WriteString(text[done:])
	return b.String()
}

// strip cuts up to start characters from the front and up to stop from the end of a token,
// or of the whole text, in which case the end is held back.
func (s *decodeStep) strip(d *Decoder, k int, text string) {
	if !s.whole {
		for n := 0; n < s.start && strings.HasPrefix(text, s.text); n++ {
			text = text[len(s.text):]
		}
		d.feed(k+1, s.trimEnd(text))
		return
	}
	st := &d.stages[k]
	for !st.full && st.cut < s.start && strings.HasPrefix(text, s.text) {
		text = text[len(s.text):]
		st.cut++
	}
	if text == "" {
		return
	}
	st.full = true
	text = st.text + text
	keep := len(text) - len(s.trimEnd(text))
	st.text = text[len(text)-keep:]
	d.feed(k+1, text[:len(text)-keep])
}

func (s *decodeStep) trimEnd(text string) string {
	for n := 0; n < s.stop && strings.HasSuffix(text, s.text); n++ {
		text = text[:len(text)-len(s.text)]
	}
	return text
}

// byteToken reads <0xAB>.
func byteToken(text string) (byte, bool) {
	if len(text) != 6 || text[:3] != "<0x" || text[5] != '>' {
		return 0, false
	}
	hi, lo := hexDigit(text[3]), hexDigit(text[4])
	if lo < 0 || hi < 0 && text[3] != '+' {
		return 0, false
	}
	return byte(max(hi, 0)<<4 | lo), true // Rust reads a sign: <0x+A> is 10
}

func hexDigit(b byte) int {
	switch {
	case b >= '0' && b <= '9':
		return int(b - '0')
	case b >= 'a' && b <= 'f':
		return int(b-'a') + 10
	case b >= 'A' && b <= 'F':
		return int(b-'A') + 10
	}
	return -1
}

// flushBytes gives out a run of byte tokens: their text if it is UTF-8, else U+FFFD for each.
func (st *stage) flushBytes(d *Decoder, k int) {
	if len(st.bytes) == 0 {
		return
	}
	if utf8.Valid(st.bytes) {
		d.feed(k+1, string(st.bytes))
	} else {
		for range st.bytes {
			d.feed(k+1, string(utf8.RuneError))
		}
	}
	st.bytes = st.bytes[:0]
}

// appendMapped appends the bytes that the printable stand-ins of a token mean, or the
// token itself if it has other characters.
func appendMapped(dst []byte, text string) []byte {
	n := len(dst)
	dst, ok := unmapText(dst, text)
	if !ok {
		dst = append(dst[:n], text...)
	}
	return dst
}

// wholeCharacters is the length of b without a character at the end that more bytes could finish.
func wholeCharacters(b []byte) int {
	for back := 1; back <= min(3, len(b)); back++ {
		i := len(b) - back
		if !utf8.RuneStart(b[i]) {
			continue
		}
		if b[i] >= utf8.RuneSelf && !utf8.FullRune(b[i:]) {
			return i
		}
		break
	}
	return len(b)
}

// mendBytes is the bytes as text; each maximal part of a broken character becomes one
// U+FFFD, as Unicode recommends and Rust does.
func mendBytes(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			n = brokenLen(b)
		}
		out.WriteRune(r)
		b = b[n:]
	}
	return out.String()
}

// brokenLen is how many bytes at the start of b begin a character that is not finished.
func brokenLen(b []byte) int {
	n := 1
	for n < len(b) && !utf8.FullRune(b[:n]) {
		// b[:n] can still become a character: does b[n] go on?
		if utf8.FullRune(b[:n+1]) {
			break
		}
		n++
	}
	return n
}

// cleanup undoes the spaces that word splitting put before punctuation, token by token.
func cleanup(text string) string {
	if !strings.Contains(text, " ") {
		return text
	}
	for _, r := range [...][2]string{{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"}, {" 'm", "'m"},
		{" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}} {
		text = strings.ReplaceAll(text, r[0], r[1])
	}
	return text
}

// Piece returns the bytes that a token stands for inside a text, maybe half a character;
// the spaces that decoding puts between words are not part of them. nil: no such id.
func (t *Tokenizer) Piece(id int32) []byte {
	text, _, ok := t.decodeText(id)
	if !ok {
		return nil
	}
	for i := range t.decode {
		s := &t.decode[i]
		switch s.kind {
		case decodeReplace:
			text = s.replaced(text)
		case decodeByteLevel:
			return appendMapped(nil, text)
		case decodeWordPiece:
			text = strings.TrimPrefix(text, s.text)
		case decodeMetaspace:
			text = strings.ReplaceAll(text, s.text, " ")
		case decodeByteFallback:
			if b, ok := byteToken(text); ok {
				return []byte{b}
			}
		case decodeBPE:
			text = strings.ReplaceAll(text, s.text, " ")
		case decodeSentencePiece:
			return s.pieces.piece(text)
		}
	}
	return []byte(text)
}
