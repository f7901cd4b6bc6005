"""Training pairs of the rewriting model: a sentence, the same about the broader field, and which piece comes from which.

Besides plain sentences there are loosely typed ones, and ones with words that the world does not have, which are copied.
"""
from talk import EVERYDAY, unknown_field, unknown_subject, unknown_word
from vocabulary import LETTERS
from world import Word, capital, origin


class Rewriting:
    def __init__(self, world, tokenizer):
        self.world, self.tokenizer = world, tokenizer
        self.learnable = [f for f in world.fields.values() if f.parent]
        names = {w.lower() for f in world.fields.values() for w in f.name.split()}
        self.fillers = [w for w in world.vocabulary() if w.islower() and w not in names]

    def pair(self, rng, everyday=EVERYDAY):
        """Source words, target words, the alignment of the target's words, and whether their capitals can be known."""
        kind = rng.random()
        if kind < 0.2:
            return self.anything(rng, everyday)
        if kind > 0.94:
            return self.two(rng)
        subject = unknown_subject(rng, everyday) if 0.2 < kind < 0.35 else None
        field = unknown_field(rng, everyday) if 0.3 < kind < 0.4 else None
        while True:
            s = self.world.sentence(rng, field=field, subject=subject)
            if s and s.frame != "part":  # "NLP is a part of machine learning." has no broader sentence
                target, alignment, _ = s.rewritten()
                return s.words, target, alignment, not subject or subject.text.islower()

    def two(self, rng):
        """Two sentences."""
        source, target, alignment, lowers = [], [], [], True
        for _ in range(2):
            more = self.pair(rng)
            alignment += [len(source) + i for i in more[2]]
            source, target, lowers = source + list(more[0]), target + list(more[1]), lowers and more[3]
        return source, target, alignment, lowers

    def anything(self, rng, everyday):
        """Words in any order, known or not, in which up to two fields become broader: sentences of no frame."""
        source, target, alignment = [], [], []
        length, capitals = rng.randint(1, 10), False
        at = rng.sample(range(length), min(length, rng.choices((0, 1, 2), (4, 5, 1))[0]))
        for i in range(length):
            after = "," if rng.random() < 0.08 else ""
            if i in at:
                field = rng.choice(self.learnable)
                names = field.name.split(), field.parent.split()
                words = [[Word(w, after if k == len(n) - 1 else "", "F", k) for k, w in enumerate(n)] for n in names]
                alignment += [len(source) + origin(*names, k) for k in range(len(names[1]))]
            else:
                text = unknown_word(rng, everyday) if rng.random() < 0.5 else rng.choice(self.fillers)
                if rng.random() < 0.1:
                    text = str(rng.randrange(10 ** rng.randint(1, 4)))
                elif rng.random() < 0.05:
                    text = "".join(rng.choice(LETTERS) for _ in range(rng.randint(1, 6)))
                if i > 0 and rng.random() < 0.04:
                    text, capitals = capital(text), True
                words = [[Word(text, after, "", 0)]] * 2
                alignment.append(len(source))
            source += words[0]
            target += words[1]
        end = rng.choice("....!?")
        for words in (source, target):
            words[0] = words[0]._replace(text=capital(words[0].text))
            words[-1] = words[-1]._replace(after=end)
        return source, target, alignment, not capitals

    def example(self, rng):
        """Ids of the source, ids of the target, and for each of these the source pieces it should come from."""
        source, target, alignment, lowers = self.pair(rng)
        source, target = list(source), list(target)
        kind = rng.random()
        if kind < 0.06:  # no period
            source[-1] = source[-1]._replace(after="")
        elif kind < 0.08:
            source[-1], target[-1] = source[-1]._replace(after="!"), target[-1]._replace(after="!")
        if lowers and (kind < 0.03 or 0.1 < kind < 0.15):
            source = [w._replace(text=w.text.lower()) for w in source]
        elif lowers and 0.15 < kind < 0.2:
            source = [w._replace(text=w.text.upper()) for w in source]
        return self.encode(source, target, alignment)

    def encode(self, source, target, alignment):
        ids, cores, marks = self.pieces(source)
        end = len(ids) - 1
        out, where = [], []
        target_ids, target_cores, target_marks = self.pieces(target)
        by_piece = {}
        for k in range(len(target)):
            here, there = target_cores[k], cores[alignment[k]]
            copied = [target_ids[p] for p in here] == [ids[p] for p in there]
            for n, p in enumerate(here):
                by_piece[p] = there[n:n + 1] if copied else there
            for p in target_marks[k]:
                by_piece[p] = marks[alignment[k]] or (end,)
        by_piece[len(target_ids) - 1] = (end,)
        for p, i in enumerate(target_ids):
            out.append(i)
            where.append(by_piece[p])
        return ids, out, where

    def pieces(self, words):
        """The ids of a text with its end, and by word the places of the word's pieces and of its punctuation's."""
        ids, cores, marks = [], [], []
        for w in words:
            e = self.tokenizer.encode(w.text + w.after, add_special_tokens=False)
            at = [tuple(len(ids) + k for k, (start, _) in enumerate(e.offsets) if (start < len(w.text)) == core)
                  for core in (True, False)]
            cores.append(at[0])
            marks.append(at[1])
            ids += e.ids
        return ids + [self.tokenizer.token_to_id("</s>")], cores, marks
