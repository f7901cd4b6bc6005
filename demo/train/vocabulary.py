"""The three tokenizers, as tokenizer.json: byte-level BPE, WordPiece, Unigram. All come from the world's own text."""
import collections
import random

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from talk import EVERYDAY, coined

END = "<|end|>"  # ends a text and each turn of a conversation
LETTERS = [chr(c) for c in range(0x21, 0x7F)]


def common_parts(words, most, letters=(2, 3, 4)):
    """The substrings that spell the most of the words, commonest first: what unknown words are cut into."""
    count = collections.Counter()
    for w in words:
        for n in letters:
            for i in range(len(w) - n + 1):
                count[w[i:i + n]] += n - 1
    return [part for part, _ in sorted(count.items(), key=lambda kv: (-kv[1], kv[0]))[:most]]


def unknown_words():
    rng = random.Random(11)
    return EVERYDAY + [coined(rng) for _ in range(3000)]


def byte_level_bpe(texts, size):
    """GPT-2's kind, for the language model."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=[END], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    t.train_from_iterator(texts, trainer)
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    return t


def wordpiece(words):
    """BERT's kind, cased, for the masked model: every word of the world, and letters for others."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    parts = common_parts(unknown_words(), 150)
    pieces = special + LETTERS + ["##" + c for c in LETTERS] + ["##" + p for p in parts]
    pieces += [w for w in words if len(w) > 1]
    t = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.add_special_tokens(special)
    t.post_processor = processors.BertProcessing(("[SEP]", special.index("[SEP]")), ("[CLS]", special.index("[CLS]")))
    return t


def unigram(words):
    """T5's kind, for the rewriting model: every word of the world with its space, in small letters and in capitals too,
    and parts of words for others.

    The scores only rank: a whole word is better than two parts, and fewer parts are better than more. They all differ, so
    that no two ways to cut a word are equal.
    """
    special = ["<pad>", "</s>", "<unk>"]
    cases = words + [w.lower() for w in words] + [w.upper() for w in words]
    groups = ((-7.0, ["▁" + w for w in cases]), (-9.0, common_parts(unknown_words(), 250)), (-12.0, ["▁"] + LETTERS))
    scores = dict.fromkeys(special, 0.0)
    for base, pieces in groups:
        for i, p in enumerate(pieces):
            scores.setdefault(p, round(base - 0.0005 * i, 4))
    t = Tokenizer(models.Unigram(list(scores.items()), unk_id=special.index("<unk>")))
    t.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents()])
    space = {"replacement": "▁", "prepend_scheme": "always"}
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(**space)])
    t.decoder = decoders.Metaspace(**space)
    t.add_special_tokens(special)
    t.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>",
                                                     special_tokens=[("</s>", special.index("</s>"))])
    return t
