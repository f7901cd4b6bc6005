"""Writes what tokenizers 0.23.3 (PyPI) makes of many texts: goldens.jsonl.gz with whole tokenizers, steps.jsonl.gz
with single normalizers and pre-tokenizers, bases.json.gz with the tokenizer.json files both start from.

A line of goldens is one tokenizer: "base" names a file of bases.json.gz, "set" replaces components of it ("@base" inside
keeps the base's value), "rows" are texts with ids, tokens, offsets (code points) and decoded texts. Rows with
"truncation" or "padding" were made with the library's own settings of that name. A line of steps is one component with
rows of a text and what becomes of it: the normalized text, or the code points at which the parts begin and end.

usage: makegoldens.py FIXTURES [SEED [ROWS [FOLDER]]]; with FOLDER the lines become folders with
tokenizer.json and golden.jsonl there, and nothing else is written.
"""
import copy
import gzip
import json
import os
import random
import sys

from tokenizers import Tokenizer

FIXTURES = sys.argv[1]
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
ROWS = int(sys.argv[3]) if len(sys.argv) > 3 else 24
FOLDER = sys.argv[4] if len(sys.argv) > 4 else None
HERE = os.path.dirname(os.path.abspath(__file__))
rnd = random.Random(SEED)

BASES = {n: json.load(open(f"{FIXTURES}/tokenizers/{n}/tokenizer.json")) for n in
         ["small-bbpe-gpt2", "small-roberta", "small-wordpiece", "small-unigram-t5", "small-spbpe-llama"]}
GPT2, ROBERTA, BERT, T5, LLAMA = BASES.values()

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
LOWER = r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
SLASH = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL
WORDS = r"|[^\r\n\p{L}\p{N}]?\p{L}+"
PUNCT = r"| ?[^\s\p{L}\p{N}]+[\r\n]*"


def split(regex, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}


def split_text(text, behavior="Isolated"):
    return {"type": "Split", "pattern": {"String": text}, "behavior": behavior, "invert": False}


def replace(text, content, kind="String"):
    return {"type": "Replace", "pattern": {kind: text}, "content": content}


def byte_level(regex=False, prefix=False, trim=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": trim, "use_regex": regex}


def metaspace(scheme="always", cut=True):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": cut}


def pre(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def norm(*steps):
    return {"type": "Sequence", "normalizers": list(steps)}


def dec(*steps):
    return {"type": "Sequence", "decoders": list(steps)}


def token(content, special=False, **settings):
    return dict(dict(id=0, content=content, single_word=False, lstrip=False, rstrip=False, normalized=not special, special=special), **settings)


def variant(base, added=(), model=None, **components):
    """A copy of base with components replaced, model settings changed and tokens added."""
    j = copy.deepcopy(base)
    j.update(components)
    j["model"].update(model or {})
    next_id = max([len(j["model"]["vocab"]) - 1] + [a["id"] for a in j["added_tokens"]]) + 1
    for t in added:
        j["added_tokens"].append(dict(t, id=next_id))
        next_id += 1
    return j


def byte_level_variants(v):
    def split_as(regex):
        return variant(GPT2, pre_tokenizer=pre(split(regex), byte_level()))
    v["llama3"] = variant(GPT2, [token("<|begin_of_text|>", True)], {"ignore_merges": True}, pre_tokenizer=pre(split(CONTRACTIONS + WORDS + r"|\p{N}{1,3}" + PUNCT + TAIL), byte_level()))
    v["cl100k"] = split_as(r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+")
    v["qwen2"] = dict(split_as(CONTRACTIONS + WORDS + r"|\p{N}" + PUNCT + TAIL), normalizer={"type": "NFC"})
    v["qwen3.5"] = split_as(CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + TAIL)
    v["o200k"] = split_as(UPPER + CONTRACTIONS + "?" + LOWER + CONTRACTIONS + r"?|\p{N}{1,3}" + SLASH)
    v["tekken"] = split_as(UPPER + LOWER + r"|\p{N}" + SLASH)
    v["tekken-3"] = split_as(UPPER + LOWER + r"|\p{N}{1,3}" + SLASH)
    v["deepseek-v3"] = variant(GPT2, pre_tokenizer=pre(split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*" + TAIL.replace(r"\r\n", "\r\n")), byte_level()))
    v["deepseek-v2"] = variant(GPT2, pre_tokenizer=pre(split("[\r\n]"), split(r"\s?[A-Za-zµÀ-ÖØ-öø-ƺ]+"), split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"), split(r"\s+$"),
                                                       split("[一-龥ࠀ-一가-퟿]+"), {"type": "Digits", "individual_digits": True}, byte_level()))
    v["line-ends"] = variant(GPT2, pre_tokenizer=pre(split(r"\s+$"), split("[ a]?[a-e]+", "Removed"), byte_level()))
    v["bloom"] = split_as(" ?[^(\\s|[.,!?…。，、।۔،])]+")
    v["falcon"] = variant(GPT2, pre_tokenizer=pre({"type": "Punctuation", "behavior": "Contiguous"}, byte_level(True),
                                                  {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]")))
    v["digits"] = variant(GPT2, pre_tokenizer=pre({"type": "Digits", "individual_digits": True}, byte_level(True)))
    v["prefix-space"] = variant(GPT2, pre_tokenizer=byte_level(True, True), post_processor=byte_level(True, True))
    v["digits-prefix-space"] = variant(GPT2, pre_tokenizer=pre({"type": "Digits", "individual_digits": True}, byte_level(True, True)), post_processor=byte_level(True))
    v["roberta-prefix-space"] = variant(ROBERTA, pre_tokenizer=byte_level(True, True), post_processor=dict(ROBERTA["post_processor"], add_prefix_space=True))
    v["byte-normalizer"] = variant(GPT2, normalizer={"type": "ByteLevel"}, pre_tokenizer=split_text("Ġ", "MergedWithNext"))
    v["class-splits"] = variant(GPT2, pre_tokenizer=pre(split(r"\s+", "Removed"), split(r"\d{1,2}", "MergedWithNext"), split("[a-f]+", "Contiguous"), byte_level()))
    v["inverted"] = variant(GPT2, pre_tokenizer=pre(split(r"[^aeiou\s]+", "MergedWithPrevious", True), byte_level()))
    v["added"] = variant(GPT2, [token("  "), token("   "), token("\t\t", normalized=False), token("<|eot|>", True, rstrip=True), token("é"), token("<a>", True, single_word=True, lstrip=True)])
    v["added-nfc"] = variant(v["qwen2"], [token("Å"), token("é"), token("e\u0301x")])
    v["legacy-merges"] = variant(GPT2, model={"merges": [" ".join(m) for m in GPT2["model"]["merges"]]})
    v["missing-bytes"] = thinned(GPT2, lambda t: len(t) > 1 or t.isascii() or ord(t) % 7)
    v["clip"] = clip()


def thinned(base, keep):
    """Without the tokens that keep refuses, and the merges that need them."""
    j = copy.deepcopy(base)
    m = j["model"]
    kept = [t for t, _ in sorted(m["vocab"].items(), key=lambda x: x[1]) if keep(t)]
    m["vocab"] = {t: i for i, t in enumerate(kept)}
    m["merges"] = [p for p in m["merges"] if all(x in m["vocab"] for x in (p[0], p[1], p[0] + p[1]))]
    return j


def clip():
    j = variant(GPT2, normalizer=norm({"type": "NFC"}, replace(r"\s+", " ", "Regex"), {"type": "Lowercase"}), pre_tokenizer=pre(
        split("'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+", "Removed", True), byte_level()),
        model={"end_of_word_suffix": "</w>", "unk_token": "<|endoftext|>"})
    m = j["model"]
    for t in [t for t in m["vocab"] if len(t) == 1]:
        m["vocab"][t + "</w>"] = len(m["vocab"])
    m["merges"] = [p for p in m["merges"] if "Ġ" not in p[0] + p[1]]
    for a, b in list(m["merges"]):
        if b + "</w>" in m["vocab"]:
            m["vocab"].setdefault(a + b + "</w>", len(m["vocab"]))
            m["merges"].append([a, b + "</w>"])
    return j


def sentencepiece_variants(v):
    v["llama-first"] = variant(LLAMA, normalizer=None, pre_tokenizer=metaspace("first", False))
    v["llama-first-cut"] = variant(LLAMA, normalizer=None, pre_tokenizer=metaspace("first"))
    v["llama-always"] = variant(LLAMA, normalizer=None, pre_tokenizer=metaspace())
    v["llama-never"] = variant(LLAMA, normalizer=None, pre_tokenizer=metaspace("never", False), decoder=metaspace("never"))
    v["llama-added"] = variant(LLAMA, [token("<mask>", True, lstrip=True), token("hello"), token("foo bar", single_word=True), token("XX", True, rstrip=True), token("▁▁▁"),
                                       token("[W]", normalized=False, single_word=True, lstrip=True, rstrip=True)])
    v["gemma"] = variant(LLAMA, [token("\n" * i, normalized=False) for i in range(1, 5)] + [token("▁" * i, normalized=False) for i in range(2, 5)] + [token("<start_of_turn>", True)],
                         normalizer=replace(" ", "▁"), pre_tokenizer=split_text(" ", "MergedWithPrevious"), decoder=dec(replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"}))
    v["no-fallback"] = variant(LLAMA, model={"byte_fallback": False})
    v["no-fuse"] = variant(LLAMA, model={"byte_fallback": False, "fuse_unk": False})
    v["no-unk"] = variant(LLAMA, model={"byte_fallback": False, "unk_token": None})
    v["some-bytes"] = thinned(LLAMA, lambda t: t not in ("<0xE4>", "<0xF0>", "<0xC3>"))
    v["ignore-merges"] = variant(LLAMA, model={"ignore_merges": True}, normalizer=None, pre_tokenizer=metaspace("first"))
    v["byte-merges"] = merged("byte-merges", "<0xC3>", "<0xA9>")
    v["unk-merges"] = merged("unk-merges", "<unk>", "▁", byte_fallback=False)
    for name, prefix, suffix in ("bpe-prefix", "##", None), ("bpe-suffix", None, "</w>"):
        v[name] = affixed(prefix, suffix)


def merged(name, left, right, **settings):
    """Llama's vocabulary with a merge of tokens that are not text."""
    vocab = dict(LLAMA["model"]["vocab"])
    vocab[left + right] = len(vocab)
    return variant(LLAMA, model=dict(settings, vocab=vocab, merges=LLAMA["model"]["merges"] + [[left, right]]))


def affixed(prefix, suffix):
    letters = "abcdefghijklmnopqrstuvwxyz.,"
    vocab = ["[UNK]"] + list(letters) + [(prefix or "") + c + (suffix or "") for c in letters]
    merges = []
    for a, b in ("th", "he"), ("in", "ng"), ("an", "nd"), ("er", "r"), ("aa", "aaaa"):
        pairs = [(a[0], (prefix or "") + a[1]), (a, (prefix or "") + b[1:] + (suffix or ""))] if len(a) == 2 else []
        for x, y in pairs:
            joined = x + y[len(prefix or ""):]
            if x in vocab and y in vocab:
                vocab += [joined] if joined not in vocab else []
                merges.append([x, y])
    model = {"type": "BPE", "dropout": None, "unk_token": "[UNK]", "continuing_subword_prefix": prefix, "end_of_word_suffix": suffix, "fuse_unk": bool(suffix),
             "byte_fallback": False, "ignore_merges": False, "vocab": {t: i for i, t in enumerate(vocab)}, "merges": merges}
    return dict(copy.deepcopy(BERT), model=model, added_tokens=[token("[UNK]", True)], post_processor=None,
                decoder={"type": "BPEDecoder", "suffix": suffix} if suffix else {"type": "WordPiece", "prefix": prefix, "cleanup": False})


def wordpiece_variants(v):
    def normalizer(**settings):
        return variant(BERT, normalizer=dict(BERT["normalizer"], **settings))
    v["bert-cased"] = normalizer(lowercase=False)
    v["bert-accents"] = normalizer(lowercase=False, strip_accents=True)
    v["bert-no-accents"] = normalizer(strip_accents=False)
    v["bert-no-chinese"] = normalizer(handle_chinese_chars=False)
    v["bert-no-clean"] = normalizer(clean_text=False)
    v["bert-words"] = variant(BERT, pre_tokenizer={"type": "Whitespace"})
    for b in "Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous":
        v["bert-punct-" + b] = variant(BERT, pre_tokenizer=pre({"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": b}))
    v["bert-delimiter"] = variant(BERT, pre_tokenizer={"type": "CharDelimiterSplit", "delimiter": " "})
    v["bert-fixed"] = variant(BERT, pre_tokenizer={"type": "FixedLength", "length": 3})
    v["bert-max"] = variant(BERT, model={"max_input_chars_per_word": 5})
    v["bert-added"] = variant(BERT, [token("Hello"), token("café"), token("##x"), token("[X]", True, lstrip=True, rstrip=True), token("single", single_word=True), token("ÀÉ", True, normalized=True)])
    v["bert-processing"] = variant(BERT, post_processor={"type": "BertProcessing", "sep": ["[SEP]", 4], "cls": ["[CLS]", 2]})
    v["bert-no-decoder"] = variant(BERT, decoder=None)
    v["wordlevel"] = variant(BERT, model={"type": "WordLevel"}, pre_tokenizer={"type": "Whitespace"}, normalizer={"type": "Lowercase"})
    for k in "continuing_subword_prefix", "max_input_chars_per_word":
        del v["wordlevel"]["model"][k]


def unigram_variants(v):
    charsmap = next(n for n in T5["normalizer"].get("normalizers", [T5["normalizer"]]) if n["type"] == "Precompiled")
    strip = {"type": "Strip", "strip_left": True, "strip_right": True}
    v["xlm-r"] = variant(T5, normalizer=charsmap, pre_tokenizer=pre({"type": "WhitespaceSplit"}, metaspace()))
    v["xlm-r-first"] = variant(T5, normalizer=charsmap, pre_tokenizer=pre({"type": "WhitespaceSplit"}, metaspace("first")))
    v["t5-strip"] = variant(T5, normalizer=norm(charsmap, dict(strip, strip_left=False), replace(" {2,}", "▁", "Regex")), pre_tokenizer=metaspace("first"))
    v["deberta"] = variant(T5, normalizer=norm(strip, charsmap, replace(" {2,}", " ", "Regex")), pre_tokenizer=metaspace("first"))
    v["albert"] = variant(T5, normalizer=norm(replace("``", '"'), replace("''", '"'), {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, charsmap, replace(" {2,}", " ", "Regex")))
    v["nmt"] = variant(T5, normalizer=norm({"type": "Nmt"}, {"type": "NFKC"}))
    for form in "NFC", "NFD", "NFKC", "NFKD":
        v[form.lower()] = variant(T5, normalizer={"type": form})
    v["no-normalizer"] = variant(T5, normalizer=None, pre_tokenizer=metaspace(cut=False))
    v["no-pre-tokenizer"] = variant(T5, pre_tokenizer=None)
    pieces = T5["model"]["vocab"]
    bytes_ = [["<0x%02X>" % b, -20.0] for b in range(256)]
    v["unigram-bytes"] = variant(T5, model={"byte_fallback": True, "vocab": pieces + bytes_}, decoder=dec({"type": "ByteFallback"}, metaspace()))
    v["unigram-some-bytes"] = variant(T5, model={"byte_fallback": True, "vocab": pieces + bytes_[:128]})
    v["unigram-twice"] = variant(T5, model={"vocab": pieces + [["▁the", -1.0], ["▁a", -30.0], ["xy", -3.0]]})
    v["extra-ids"] = variant(T5, [token("<extra_id_0>", True), token("<extra_id_1>", True, rstrip=True), token(" two "), token("x y", single_word=True)])


WORD_LIST = """the hello world and of to in is it's don't we're they've I'm she'll he'd 'S 'T 'RE 'LL can't THE Hello World HELLO hELLO iPhone camelCase
snake_case foo.bar 3.14 1,234,567 12345 0x1F http://x.y/z?a=b user@mail.com C++ #tag $5 50% a/b//c \\n tab null None def return""".split()
BLOCKS = [(0x20, 0x7E)] * 6 + [(0, 0x1F), (0x7F, 0xFF), (0x100, 0x24F), (0x250, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x531, 0x5FF), (0x600, 0x6FF), (0x700, 0x8FF), (0x900, 0xDFF),
                               (0xE00, 0x109F), (0x10A0, 0x11FF), (0x1200, 0x17FF), (0x1800, 0x1CFF), (0x1D00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x218F), (0x2190, 0x2BFF),
                               (0x2C00, 0x2FFF), (0x3000, 0x30FF), (0x3100, 0x33FF), (0x4E00, 0x9FFF), (0xA000, 0xABFF), (0xAC00, 0xD7A3), (0xD7B0, 0xD7FF), (0xF900, 0xFAFF),
                               (0xFB00, 0xFDFF), (0xFE00, 0xFFEF), (0xFFF0, 0xFFFF), (0x10000, 0x10FFF), (0x11000, 0x12FFF), (0x16000, 0x1BFFF), (0x1D000, 0x1DFFF),
                               (0x1E000, 0x1EFFF), (0x1F000, 0x1FAFF), (0x20000, 0x2FFFF), (0xE0000, 0xE01FF)]
MARKS = "\u0300\u0301\u0302\u0308\u0327\u0323\u0338\u0345\u05b0\u064b\u0670\u093c\u094d\u09be\u0e31\u1161\u11a8\u200d\u200c\ufe0f\u20e3\u3099\u302a\U0001d165\u0897\u1ad0\u08e1"
ODD = ["e\u0301", "a\u0323\u0308", "\u1e9b\u0323", "\u212b", "ﬁ", "ﬃ", "½", "①", "㎏", "Å", "ǆ", "İ", "ß", "ẞ", "Σ", "ς", "ſ", "'ſ", "K", "가", "각", "\u1100\u1161\u11a8", "क्षि", "\u09a1\u09bc",
       "👨‍👩‍👧‍👦", "🇩🇪🇫", "👍🏽", "é\u0301", "ệ", "ஸ்ரீ", "ไม่ได้", "\r\n", "\u0958", "\u0344", "\ufb2c", "\u2126", "カ\u3099", "ﷺ"]
SPACES = [" ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", "\r", " \n ", "\u00a0", "\u3000", "\u2003", "\u200b", "\u2028", "\x0b", "\x0c", "\x85", "\u1680", "\ufeff", "    \n"]
LITERALS = ["Ġ", "▁", "##", "</w>", "<0x41>", "<unk>", "``", "''", "<|", "[UNK"]


def character():
    while True:
        c = rnd.randint(*rnd.choice(BLOCKS))
        if not 0xD800 <= c <= 0xDFFF:
            return chr(c)


def text(specials):
    kinds = [lambda: rnd.choice(WORD_LIST)] * 17 + [lambda: rnd.choice(SPACES)] * 8 + [character] * 6 + [lambda: character() + rnd.choice(MARKS) * rnd.choice([1, 1, 2]) + rnd.choice(MARKS)] * 3
    kinds += [lambda: rnd.choice(ODD)] * 4 + [lambda: rnd.choice(specials)] * 2 + [lambda: rnd.choice(specials) + rnd.choice(SPACES + ["", "é"]) + rnd.choice(specials)] * 2 + [lambda: "".join(rnd.choice("abcxyzABCäöü'.,!? \n0123456789-_/()") for _ in range(rnd.randint(1, 12)))] * 2
    kinds += [lambda: "".join(character() for _ in range(rnd.randint(1, 6)))] * 2 + [lambda: rnd.choice("ab0.!▁_") * rnd.randint(1, 60)] + [lambda: rnd.choice(LITERALS)]
    out = ""
    for _ in range(rnd.choice([1, 2, 3, 5, 8, 13, 30])):
        out += rnd.choice(kinds)() + (" " if rnd.random() < .45 else "")
    return out


LIMITS = [{"truncation": t, "padding": p} for t in (
    None, {"max_length": 8, "strategy": "longest_first"}, {"max_length": 9, "strategy": "longest_first", "direction": "left"}, {"max_length": 12, "strategy": "only_first"},
    {"max_length": 13, "strategy": "only_second", "direction": "left"})
    for p in (None, {"length": 20}, {"direction": "left", "pad_to_multiple_of": 8, "pad_id": 1, "pad_token": "[PAD]", "pad_type_id": 1})]


def rows(j, count):
    t = Tokenizer.from_str(json.dumps(j))
    t.no_truncation()
    t.no_padding()
    specials = [a["content"] for a in j["added_tokens"]]
    out = []
    for i in range(count):
        s = text(specials)
        if i % 12 == 11:
            b = text(specials)
            e = t.encode(s, b)
            out.append(dict(text=s, pair=b, ids_special=e.ids, type_ids=e.type_ids, tokens=e.tokens, offsets=e.offsets))
            continue
        e, special = t.encode(s, add_special_tokens=False), t.encode(s)
        out.append(dict(text=s, ids=e.ids, tokens=e.tokens, offsets=e.offsets, ids_special=special.ids, decoded=t.decode(e.ids, skip_special_tokens=False),
                        decoded_skip=t.decode(special.ids, skip_special_tokens=True)))
    return out


def limit_rows(j, count):
    t = Tokenizer.from_str(json.dumps(j))
    out = []
    for limits in LIMITS:
        t.no_truncation()
        t.no_padding()
        if limits["truncation"]:
            t.enable_truncation(**limits["truncation"])
        if limits["padding"]:
            t.enable_padding(**limits["padding"])
        settings = {k: json.loads(t.to_str())[k] for k in limits}
        for i in range(count):
            s, b = text(["x"]), text(["y"]) if i % 2 else None
            try:
                e = t.encode(s, b) if b is not None else t.encode(s)
            except Exception:  # nothing is left to cut
                continue
            out.append(dict(settings, text=s, ids_special=e.ids, type_ids=e.type_ids, tokens=e.tokens, offsets=e.offsets, attention_mask=e.attention_mask, **({"pair": b} if b is not None else {})))
    return out


def tight():
    """Text of few kinds of characters, where the alternatives of a pattern meet."""
    alphabet = rnd.choice(["aA'sStTlLvVeErRdDmMſ ", "'s'ſ'SaA ", "/.-\\n/ \\r", "aBc\u0301\u0345\u02b0\u01c5\u4e00'S ./", "1234567\u0661\u00b2\U00011de3a ", " \n\r\t\u00a0\u3000a.", "/.,!\n\r -a(|)…。",
                           "aé\u0301$5_#x\n ", "一あア。k1 ", "\u0d4d\u0d15\u0d3eA\u0301 z9", "a ،۔،b .", "(|)!é 12"])
    return "".join(rnd.choice(alphabet) for _ in range(rnd.randint(2, 24)))


def marked():
    """Letters with marks that reorder, compose and block each other."""
    letters = "\U0002b825\U0002b925aeoAqΑαωᾳぁかハ가ᄀᆨ각क\u0915ড\u09a1ו\u05d0ﬁÅǆ½\u1e9b\u212b\u0958\u0344ﷺ\U0001d15e\r\nA\u0600\u200d👍🇩क्"
    marks = MARKS + "\u0313\u0315\u0314\u0306\u0304\u0307\u0316\u0321\u0342\u0300\u0301\u0338\u3099\u309a\u1161\u11a8\u09be\u09d7\u1dce\u0c55\U0001e8d0\U0001f3fd"
    return "".join(rnd.choice(letters) + "".join(rnd.choice(marks) for _ in range(rnd.choice([0, 1, 1, 2, 3]))) for _ in range(rnd.randint(1, 6)))


def steps(v):
    """Every normalizer and pre-tokenizer of the variants, alone."""
    seen = {}

    def see(kind, c):
        if c is None:
            return
        for sub in c.get("normalizers", c.get("pretokenizers", [c])):
            seen.setdefault((kind, json.dumps(sub, ensure_ascii=False)), sub)
    for j in v.values():
        see("normalizer", j["normalizer"])
        see("pre_tokenizer", j["pre_tokenizer"])
    for (kind, _), c in seen.items():
        t = Tokenizer.from_str(json.dumps(dict(BERT, **dict({"normalizer": None, "pre_tokenizer": None}, **{kind: c}), post_processor=None, decoder=None, added_tokens=[])))
        out = []
        splits = c["type"] == "Split"
        for i in range(160 if splits else 60):
            s = [tight, tight if splits else marked, lambda: text([" ", "'s"])][i % 3]()
            if kind == "normalizer":
                out.append([s, t.normalizer.normalize_str(s)])
            else:
                out.append([s, [x for _, at in t.pre_tokenizer.pre_tokenize_str(s) for x in at]])
        yield {"kind": kind, "step": c, "rows": out}


def main():
    v = dict(BASES)
    for part in byte_level_variants, sentencepiece_variants, wordpiece_variants, unigram_variants:
        part(v)
    if FOLDER:
        for name, j in v.items():
            os.makedirs(f"{FOLDER}/{name}", exist_ok=True)
            json.dump(j, open(f"{FOLDER}/{name}/tokenizer.json", "w"), ensure_ascii=rnd.random() < .5)
            with open(f"{FOLDER}/{name}/golden.jsonl", "w") as f:
                f.writelines(json.dumps(r) + "\n" for r in rows(j, ROWS))
        return
    with gzip.GzipFile(f"{HERE}/bases.json.gz", "wb", mtime=0) as f:
        f.write(json.dumps(BASES, ensure_ascii=False).encode())
    with gzip.GzipFile(f"{HERE}/steps.jsonl.gz", "wb", mtime=0) as f:
        for line in steps(v):
            f.write(json.dumps(line, ensure_ascii=False).replace(charsmap_text(), "@charsmap").encode() + b"\n")
    with gzip.GzipFile(f"{HERE}/goldens.jsonl.gz", "wb", mtime=0) as f:
        for name, j in v.items():
            base = next((n for n, b in BASES.items() if b["model"]["vocab"] == j["model"]["vocab"]), None) or next(
                n for n, b in BASES.items() if b["model"]["type"] == j["model"]["type"] and list(b["model"]["vocab"])[:40] == list(j["model"]["vocab"])[:40] or n == "small-wordpiece")
            b = BASES[base]
            changed = {k: x for k, x in j.items() if k != "model" and x != b[k]}
            if j["model"] != b["model"]:
                changed["model"] = {k: "@base" if x == b["model"].get(k) else x for k, x in j["model"].items()}
            line = {"name": name, "base": base, "set": changed, "rows": rows(j, ROWS)}
            if name in ("small-wordpiece", "small-roberta", "bert-processing"):
                line["rows"] += limit_rows(j, 3)
            f.write(json.dumps(line, ensure_ascii=False).replace(charsmap_text(), "@charsmap").encode() + b"\n")


def charsmap_text():
    return next(n for n in T5["normalizer"].get("normalizers", [T5["normalizer"]]) if n["type"] == "Precompiled")["precompiled_charsmap"]


main()
