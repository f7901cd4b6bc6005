package engine

// Beam search on the model: the books are Beam's, here beams get keys and values.

// search goes on by one token: the rows of logits are those of g.seqs, which are
// the running beams in order.
func (g *generation) search() (done bool, err error) {
	vocab := g.e.info.Vocab
	rows := make([][]float32, len(g.ready))
	for i := range rows {
		rows[i] = g.logits[i*vocab : (i+1)*vocab]
		if err := g.e.logprobs.LogSoftmax(rows[i], rows[i]); err != nil {
			return false, err
		}
	}
	branches, err := g.beam.Step(rows)
	if err != nil {
		return false, err
	}
	if g.beam.Done() {
		g.deliver()
		return true, nil
	}
	tables, parents := make([]BlockTable, len(g.seqs)), make([]int, len(branches))
	for i, q := range g.seqs {
		tables[i], q.table = q.table, BlockTable{}
	}
	next := make([]*sequence, len(branches))
	for i, b := range branches {
		parent := g.seqs[b.Parent]
		tokens := append(make([]int32, 0, cap(parent.tokens)), parent.tokens...)
		next[i], parents[i] = &sequence{tokens: append(tokens, b.Token), prompt: parent.prompt, source: parent.source, long: parent.long}, b.Parent
	}
	for i, t := range g.e.pool.Reorder(tables, parents) {
		next[i].table = t
	}
	g.seqs = next
	return false, nil
}

// deliver puts the finished answers, best first, token by token.
func (g *generation) deliver() {
	var out []Token
	for i, h := range g.beam.Results() {
		q := g.sequence(0)
		for k, id := range h.IDs {
			t := Token{Seq: i, ID: id}
			g.accept(q, &t)
			if k == len(h.IDs)-1 {
				t.Score = h.Score
			}
			out = append(out, t)
		}
	}
	if len(out) > 0 {
		out[len(out)-1].Last = true
	}
	g.run.put(out...)
}
