#!/usr/bin/env python3
"""Prints the texts of the encoder rows: 256 lines of 5 to 200 WordPiece tokens, [CLS] and [SEP] counted, the same each time.

Lengths are uniform and in no order. Every word below is one piece of BERT's uncased vocabulary, so a line of k words and a
full stop has k + 3 tokens. The generator is written out here, so that no library's version changes the texts.
"""
WORDS = """the of and to in is it was for on are as with his they at be this from have or by one had not but what all were when
we there can an your which their said if do will each about how up out them then she many some so these would other into has
more her two like him see time could no make than first been its who now people my made over did down only way find use may
water long little very after words called just where most know get through back much before go good new write our used me man
too any day same right look think also around another came come work three word must because does part even place well such
here take why things help put years different away again off went old number great tell men say small every found still
between name should home big give air line set own under read last never us left end along while might next sound below saw
something thought both few those always looked show large often together asked house world going want""".split()

COUNT, SHORTEST, LONGEST = 256, 5, 200


class Draw:
    """Knuth's 64-bit linear congruential generator (MMIX); the high bits are used."""

    def __init__(self, seed):
        self.x = seed

    def below(self, n):
        self.x = (self.x * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.x >> 33) * n >> 31


def sentences(count=COUNT, seed=7):
    draw, out = Draw(seed), []
    for _ in range(count):
        words = SHORTEST + draw.below(LONGEST - SHORTEST + 1) - 3
        out.append(" ".join(WORDS[draw.below(len(WORDS))] for _ in range(words)) + ".")
    return out


if __name__ == "__main__":
    print("\n".join(sentences()))
