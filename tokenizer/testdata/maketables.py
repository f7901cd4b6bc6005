"""Writes tables.go: the Unicode classes that Hugging Face tokenizers 0.23.3 uses, frozen.

Each class is asked of the library itself (PyPI tokenizers==0.23.3), one code point at a time,
because its parts follow four editions of Unicode: Oniguruma 15.1 (split patterns), the Rust
standard library and regex crate 16 or 17, unicode_categories 8.0 (BERT, Punctuation) and
unicode-normalization-alignments 9.0. Grapheme classes come from the crate unicode-segmentation
1.13.3 (Unicode 17.0), the edition of the normalization properties from
unicode-normalization-alignments 0.1.12.

usage: maketables.py SEGMENTATION_TABLES_RS NORMALIZATION_TABLES_RS > ../tables.go
"""
import re
import sys

from tokenizers import Regex, normalizers as N, pre_tokenizers as P

CPS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def vanish(pre):
    """The code points a pre-tokenizer that removes its matches takes away."""
    out = set()
    for lo in range(0, len(CPS), 4096):
        block = CPS[lo:lo + 4096]
        kept = set()
        for _, (a, b) in pre.pre_tokenize_str("".join(map(chr, block))):
            kept.update(range(a, b))
        out.update(c for i, c in enumerate(block) if i not in kept)
    return out


def regex(pattern):
    return vanish(P.Split(Regex(pattern), "removed"))


def numeric():
    out, pre = set(), P.Digits(individual_digits=True)
    for lo in range(0, len(CPS), 4096):
        block = CPS[lo:lo + 4096]
        for _, (a, b) in pre.pre_tokenize_str("a".join(map(chr, block))):
            if b - a == 1 and a % 2 == 0:
                out.add(block[a // 2])
    return out


def word():
    out, pre = set(), P.Whitespace()
    for lo in range(0, len(CPS), 2048):
        for t, (a, b) in pre.pre_tokenize_str(" ".join("a" + chr(c) + "a" for c in CPS[lo:lo + 2048])):
            if b - a == 3:
                out.add(ord(t[1]))
    return out


def dropped(norm):
    return {c for c in CPS if norm.normalize_str("a" + chr(c) + "b") == "ab"}


CLASSES = [  # bit, set
    regex(r"[\p{Lu}\p{Lt}]"), regex(r"\p{Ll}"), regex(r"[\p{Lm}\p{Lo}]"), regex(r"\p{M}"), regex(r"\p{N}"),
    regex(r"\p{P}"), regex(r"\p{S}"), vanish(P.WhitespaceSplit()), numeric(), word(), vanish(P.Punctuation("removed")),
    dropped(N.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)),
    dropped(N.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)),
    regex(r"\p{Han}"), dropped(N.StripAccents()), regex(r"\d"),
]
assert regex(r"\s") == CLASSES[7]

GCB = {"CR": 1, "LF": 2, "Control": 3, "Extend": 4, "Extended_Pictographic": 5, "InCB_Consonant": 6, "L": 7, "LV": 8, "LVT": 9,
       "V": 10, "T": 11, "Prepend": 12, "Regional_Indicator": 13, "SpacingMark": 14, "ZWJ": 15}


def chars(text):
    return [int(x, 16) for x in re.findall(r"\\u\{([0-9a-fA-F]+)\}", text)]


def graphemes(path):
    source = open(path).read()
    table = source[source.index("grapheme_cat_table: "):]
    value = {}
    for lo, hi, name in re.findall(r"'\\u\{([0-9a-f]+)\}',\s*'\\u\{([0-9a-f]+)\}',\s*GC_(\w+)\)", table):
        for c in range(int(lo, 16), int(hi, 16) + 1):
            value[c] = GCB[name]
    extend = source[source.index("InCB_Extend_table: "):]
    bounds = chars(extend[:extend.index("];")])
    for lo, hi in zip(bounds[::2], bounds[1::2]):
        for c in range(lo, hi + 1):
            value[c] = value.get(c, 0) | 16
    linker = source[source.index("fn is_incb_linker"):]
    for c in chars(linker[:linker.index("}\n\n")]):
        value[c] = value.get(c, 0) | 32
    return value


def old_norm(path):
    """The code points with a combining class or a decomposition in the crate's edition."""
    source = open(path).read()

    def part(name):
        text = source[source.index(name + ": "):]
        return text[:text.index("];\n")]
    out = {int(x, 16) >> 8 for x in re.findall(r"0x([0-9A-Fa-f]+)", part("CANONICAL_COMBINING_CLASS_KV"))}
    for name in "CANONICAL_DECOMPOSED_KV", "COMPATIBILITY_DECOMPOSED_KV":
        out |= {int(x, 16) for x in re.findall(r"\(0x([0-9a-f]+), &", part(name))}
    return out | set(range(0xAC00, 0xD7A4))


def runs(value):
    out = []
    for c in sorted(value):
        if value[c] == 0:
            continue
        if out and out[-1][1] == c - 1 and out[-1][2] == value[c]:
            out[-1][1] = c
        else:
            out.append([c, c, value[c]])
    return out


def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out + bytes([n]))


def emit(name, comment, rows):
    blob, prev = b"", 0
    for lo, hi, v in rows:
        blob += varint(lo - prev) + varint(hi - lo) + varint(v)
        prev = hi
    print(f"\n// {comment}\nconst {name} = \"\" +")
    lines = [blob[i:i + 32] for i in range(0, len(blob), 32)]
    for i, line in enumerate(lines):
        print('\t"' + "".join("\\x%02x" % b for b in line) + ('" +' if i + 1 < len(lines) else '"'))


def main():
    classes = {}
    for bit, members in enumerate(CLASSES):
        for c in members:
            classes[c] = classes.get(c, 0) | 1 << bit
    lower = N.Lowercase()
    odd = {}
    for c in CPS:
        got = lower.normalize_str(chr(c))
        if len(got) == 1 and ord(got) != c:
            odd[c] = ord(got)
    old = old_norm(sys.argv[2])
    print("// Code generated by testdata/maketables.py from tokenizers 0.23.3; DO NOT EDIT.\n")
    print("package tokenizer")
    print("\n// Each table is a list of (gap, length-1, value) as unsigned varints: gap counts from the last code point of the run before.")
    emit("classRuns", "classRuns holds the class bits of unicode.go.", runs(classes))
    emit("graphemeRuns", "graphemeRuns holds the grapheme cluster classes of grapheme.go (Unicode 17.0).", runs(graphemes(sys.argv[1])))
    emit("lowerRuns", "lowerRuns holds code point XOR lower case, for the code points whose lower case is one other code point.",
         runs({c: c ^ v for c, v in odd.items()}))
    emit("normRuns", "normRuns holds 1 for the code points that normalization changes or orders in Unicode 9.0.", runs({c: 1 for c in old}))


main()
