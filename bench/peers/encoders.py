"""What the encoder peers share: texts to token batches, mean pooling, and the two works, embed and sentence.

An encoder is a function (ids, mask) → hidden, int64 [b, t] twice → float32 [b, t, d]; one that takes several batches at
once has the method many([(ids, mask), …]) → [hidden, …].
"""
import os
import time

import numpy as np
from tokenizers import Tokenizer

from serve import median, repeat, scratch, chosen

MAX_TOKENS = 256  # MiniLM's own limit.


class Texts:
    """The tokenizer of a Hugging Face folder."""

    def __init__(self, folder):
        self.tk = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        self.tk.no_padding()
        self.tk.enable_truncation(MAX_TOKENS)

    def batch(self, texts):
        """ids and mask, padded to the longest of these texts."""
        enc = self.tk.encode_batch(texts) if len(texts) > 1 else [self.tk.encode(texts[0])]
        longest = max(len(e.ids) for e in enc)
        ids = np.zeros((len(enc), longest), np.int64)
        mask = np.zeros((len(enc), longest), np.int64)
        for r, e in enumerate(enc):
            ids[r, : len(e.ids)] = e.ids
            mask[r, : len(e.ids)] = 1
        return ids, mask

    def lengths(self, texts):
        return [len(e.ids) for e in self.tk.encode_batch(texts)]


def pool(hidden, mask):
    """Mean over the tokens that are there, divided by its length: [b, d]."""
    v = np.matmul(mask[:, None, :].astype(np.float32), hidden)[:, 0]
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def embed_all(texts, encoder, seq, batch):
    """All of seq from text to vectors, in batches."""
    parts = [seq[o : o + batch] for o in range(0, len(seq), batch)]
    if hasattr(encoder, "many"):
        inputs = [texts.batch(p) for p in parts]
        return np.concatenate([pool(h, m) for h, (_, m) in zip(encoder.many(inputs), inputs)])
    out = []
    for p in parts:
        ids, mask = texts.batch(p)
        out.append(pool(encoder(ids, mask), mask))
    return np.concatenate(out)


class Works:
    """embed and sentence over the encoders that make(folder, setting) builds; each is built once and kept."""

    def __init__(self, peer, settings, make):
        self.peer, self.settings, self.make = peer, settings, make
        self.tokenizers, self.encoders, self.warm = {}, {}, set()

    def model(self, q):
        folder, s = q["model"], chosen(q, self.settings)
        if folder not in self.tokenizers:
            self.tokenizers[folder] = Texts(folder)
        if (folder, s) not in self.encoders:
            self.encoders[folder, s] = self.make(folder, s)
        return self.tokenizers[folder], self.encoders[folder, s], s

    def embed(self, q):
        """Sequences a second from text to vectors, one pass. The vectors go to a file, in the order of the texts.

        Sorting, when asked for, is by token count, longest first, and is not in the time.
        """
        texts, encoder, s = self.model(q)
        lines, batch = q.get("texts"), int(q.get("batch", 32))
        if lines is None:
            with open(q["file"], encoding="utf-8") as f:
                lines = f.read().splitlines()
        if not lines or batch < 1:
            raise ValueError("embed needs texts (or a file of them, one a line) and a batch of at least 1")
        order = list(range(len(lines)))
        if q.get("sorted"):
            n = texts.lengths(lines)
            order.sort(key=lambda i: -n[i])
        seq = [lines[i] for i in order]
        # The first pass over these shapes compiles, plans and allocates; later ones need only a short warm-up.
        key = (q["model"], s, batch, tuple(seq))
        embed_all(texts, encoder, seq if key not in self.warm else seq[: 2 * batch], batch)
        self.warm.add(key)
        t = time.perf_counter()
        v = embed_all(texts, encoder, seq, batch)
        seconds = time.perf_counter() - t
        back = np.empty_like(v, dtype=np.float32)
        back[order] = v
        path = scratch("vectors", "%s-%s.f32" % (self.peer, s))
        back.astype("<f4").tofile(path)
        a = {"seq_s": len(lines) / seconds, "sequences": len(lines), "seconds": seconds,
             "vectors_file": path, "count": back.shape[0], "dim": back.shape[1]}
        if q.get("reference"):
            ref = np.fromfile(q["reference"], "<f4").reshape(back.shape)
            a["cosine_min"] = float(((back * ref).sum(1) / np.linalg.norm(ref, axis=1) / np.linalg.norm(back, axis=1)).min())
        return a

    def sentence(self, q):
        """Milliseconds of one text by itself, from text to vector."""
        texts, encoder, _ = self.model(q)

        def once():
            ids, mask = texts.batch([q["text"]])
            return pool(encoder(ids, mask), mask)

        repeat(once, 0.3, least=10)
        ts = [t * 1e3 for t in repeat(once, 1.5, least=20, most=400)]
        return {"p50_ms": median(ts), "p99_ms": sorted(ts)[int(0.99 * (len(ts) - 1))], "calls": len(ts),
                "tokens": texts.lengths([q["text"]])[0]}
