"""Writes sentencepiece.jsonl.gz: what sentencepiece 0.2.3 (PyPI, with protobuf) makes of many texts with many models.

A line is one model: "model" is the .model file in base64, "nfkc" that it lacks the charsmap of small-unigram-t5 in
bases.json.gz, "rows" are texts with their ids and decoded text, "decoded" ids with their text.

usage: makesentencepiece.py [SEED [ROWS]]
"""
import base64
import gzip
import io
import json
import os
import pydoc_data.topics
import random
import sys
import tempfile

import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as pb

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 1
ROWS = int(sys.argv[2]) if len(sys.argv) > 2 else 60
HERE = os.path.dirname(os.path.abspath(__file__))
NFKC = base64.b64decode(json.load(gzip.open(os.path.join(HERE, "bases.json.gz")))["small-unigram-t5"]["normalizer"]["normalizers"][0]["precompiled_charsmap"])
rnd = random.Random(SEED)
CORPUS = [line for topic in pydoc_data.topics.topics.values() for line in topic.splitlines() if line.strip()][:4000]
CORPUS += ["naïve café Straße", "Привет, мир", "日本語のテキスト", "ﬁne ﬂow ½ ①", "AB<sep>CD", "x  y   z"] * 20


def train(**options):
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS), model_writer=out, vocab_size=options.pop("vocab_size", 420),
                                   minloglevel=2, num_threads=1, hard_vocab_limit=False, **options)
    m = pb.ModelProto()
    m.ParseFromString(out.getvalue())
    return m


def rules():
    """A charsmap of a few rules: prefixes of each other, deletions, spaces, characters that grow."""
    pairs = {"a": "b", "ab": "xyz", "abc": "", "é": "e", "é": "E", "ß": "ss", "　": " ", "\t": " ", "①": "(1) ", "d": " d", "\u200b": "", "j": "  "}
    path = os.path.join(tempfile.mkdtemp(), "rules.tsv")
    with open(path, "w") as f:
        for old, new in pairs.items():
            f.write(" ".join("%X" % ord(c) for c in old) + "\t" + " ".join("%X" % ord(c) for c in new) + "\n")
    return path


def edit(m, f):
    f(m)
    return m


def unused(m):
    for i, p in enumerate(m.pieces):
        if p.type == 1 and len(p.piece) > 1 and i % 3 == 0:
            p.type = 5


def ties(m):
    for p in m.pieces:
        if p.type == 1:
            p.score = round(p.score / 40) * 40 if m.trainer_spec.model_type == 2 else round(p.score)


def no_letters(m):  # pieces whose characters are no pieces: they still merge
    keep = [p for p in m.pieces if not (p.type == 1 and len(p.piece) == 1 and p.piece in "eaton")]
    del m.pieces[:]
    m.pieces.extend(keep)


def no_escape(m):
    m.normalizer_spec.escape_whitespaces = False


BPE = dict(model_type="bpe")
UNI = dict(model_type="unigram")
PLAIN = dict(normalization_rule_name="identity", remove_extra_whitespaces=False)
MODELS = {
    "bpe-bytes-defined": lambda: train(**BPE, **PLAIN, byte_fallback=True, split_digits=True, vocab_size=620, user_defined_symbols=["<sep>", "AB", "▁▁", "ABC"]),
    "bpe-rules": lambda: train(**BPE, normalization_rule_tsv=rules()),
    "bpe-suffix": lambda: train(**BPE, normalization_rule_name="identity", treat_whitespace_as_suffix=True),
    "bpe-no-prefix": lambda: train(**BPE, **PLAIN, add_dummy_prefix=False, control_symbols=["<ctl>"], unk_piece="[UNK]", unk_surface="??", bos_piece="[B]", eos_piece="[E]"),
    "bpe-unused": lambda: edit(train(**BPE, **PLAIN), unused),
    "bpe-ties": lambda: edit(train(**BPE, **PLAIN, byte_fallback=True, vocab_size=620), ties),
    "bpe-no-letters": lambda: edit(train(**BPE, **PLAIN), no_letters),
    "bpe-no-letters-bytes": lambda: edit(train(**BPE, **PLAIN, byte_fallback=True, vocab_size=620), no_letters),
    "unigram-bytes-defined": lambda: train(**UNI, **PLAIN, byte_fallback=True, vocab_size=620, user_defined_symbols=["<sep>", "AB", "▁▁", "ABC"]),
    "unigram-nfkc": lambda: train(**UNI, normalization_rule_name="nmt_nfkc", bos_id=-1, pad_id=3),
    "unigram-rules-defined": lambda: train(**UNI, normalization_rule_tsv=rules(), remove_extra_whitespaces=False, user_defined_symbols=["abd", "é", "x y"]),
    "unigram-suffix": lambda: train(**UNI, normalization_rule_name="identity", treat_whitespace_as_suffix=True),
    "unigram-no-prefix": lambda: train(**UNI, normalization_rule_name="identity", add_dummy_prefix=False),
    "unigram-unused": lambda: edit(train(**UNI, **PLAIN), unused),
    "unigram-ties": lambda: edit(train(**UNI, **PLAIN), ties),
    "unigram-no-escape": lambda: edit(train(**UNI, **PLAIN), no_escape),
}

ALPHABET = list("abcdefghij  ABCDE  012 .,<>/-_") + ["<sep>", "AB", "ABC", "  ", "   ", "▁", "▁▁", "\n", "\t", "é", "е", "ß", "日", "ﬁ", "½", "①", "　", "\u00a0",
            "😀", "e\u0301", "\u200b", "\ufeff", "\x00", "\x7f", "ｱﾞ", "한", "<s>", "</s>", "<unk>", "[UNK]", "<ctl>", "<0x41>", "the ", "function ", "return", "abd", "abc", "x y"]


def text():
    kind = rnd.random()
    if kind < 0.35:
        line = rnd.choice(CORPUS)
        start = rnd.randrange(len(line))
        return line[start:start + rnd.randrange(1, 80)]
    return "".join(rnd.choice(ALPHABET) for _ in range(rnd.randrange(0, 24 if kind < 0.95 else 300)))


def main():
    with gzip.GzipFile(os.path.join(HERE, "sentencepiece.jsonl.gz"), "wb", mtime=0) as out:
        for name, make in MODELS.items():
            m = make()
            for field in ("input", "model_prefix"):
                m.trainer_spec.ClearField(field)
            sp = spm.SentencePieceProcessor(model_proto=m.SerializeToString())
            rows = [{"text": t, "sp_ids": sp.encode(t), "sp_decoded": sp.decode(sp.encode(t))} for t in (text() for _ in range(ROWS))]
            inside = [i for i in range(len(m.pieces)) if m.pieces[i].type != 3]
            decoded = []
            for _ in range(ROWS // 2):
                ids = [rnd.choice(inside) for _ in range(rnd.randrange(0, 12))]
                decoded.append({"sp_ids": ids, "sp_decoded": sp.decode(ids)})
            line = {"name": name, "nfkc": m.normalizer_spec.name == "nmt_nfkc", "rows": rows, "decoded": decoded}
            if line["nfkc"]:
                assert m.normalizer_spec.precompiled_charsmap == NFKC
                m.normalizer_spec.ClearField("precompiled_charsmap")
            line["model"] = base64.b64encode(m.SerializeToString()).decode()
            out.write((json.dumps(line, ensure_ascii=False) + "\n").encode())


main()
