"""pipelines.py writes testdata/pipelines: two small BERT checkpoints of random weights, a question answerer and a token
classifier, and what transformers' pipelines make of 40 texts with them.

  pip install 'transformers>=4.50,<5' torch        # 5 has no pipeline for questions any more
  python3 ci/pipelines.py [FIXTURES]

The tokenizer is the fixtures' small-wordpiece. Offsets are stored in bytes.
"""
import json
import os
import shutil
import sys
import warnings

import torch
from transformers import (BertConfig, BertForQuestionAnswering, BertForTokenClassification, PreTrainedTokenizerFast,
                          pipeline)

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC", "B-X-Y", "S-X-Y"]
GROUPS = ("none", "simple", "first", "average", "max")
ASKED = (dict(top_k=1), dict(top_k=3), dict(top_k=1, handle_impossible_answer=True),
         dict(top_k=2, handle_impossible_answer=True, max_answer_len=4))
POSITIONS = 96  # long contexts are read in windows

TEXTS = [
    "Ada Lovelace wrote to Charles Babbage from London.",
    "The Danube flows through Vienna, Bratislava and Budapest.",
    "In 1969, two people walked on the Moon; a third stayed in orbit.",
    "My sister's dog, Rex, was born in Rome-on-the-Hill.",
    "café crème, naïve résumé, Zürich und Øresund",
    "Die Straße nach Köln führt über Groß-Gerau.",
    "Москва и Санкт-Петербург — большие города.",
    "東京と京都は日本の都市です。",
    "Smile 😀 and wave 👋🏽 at the O'Neill family!",
    "e\u0301cole and a\u030angstro\u0308m are spelled with combining marks.",
    "tabs\tand\nnew lines\r\nand   many   spaces",
    "(Brackets) [and] {braces}; \"quotes\" 'too' - all of them?",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "A",
    "!?",
    "x1y2z3 4.5e-6 0x7f 3,141,592 1/2 50%",
    "The quick brown fox jumps over the lazy dog while Maria and Juan watch from the old bridge near Toledo.",
    "http://example.org/a?b=c&d=e#f, mail@example.org",
    "UPPER lower MiXeD cAsE iPhone eBay",
    "Mount Kilimanjaro is 5,895 metres high and lies in Tanzania; Mount Kenya is 5,199 metres high.",
    "नमस्ते दुनिया, مرحبا بالعالم, שלום עולם",
    "She said: \u201cWe\u2019ll meet at St. John\u2019s at 5 p.m.\u201d\u2026",
    "Zoë lives at 12 rue de l'Église, 75015 Paris.",
    "aaaa aaaa aaaa aaaa aaaa aaaa",
    "word " * 60,
    "The museum was founded in 1881 by a group of teachers. It moved to its present building in 1925. The building was "
    "designed by Elsa Berg, who also planned the harbour. After the fire of 1951 the collection was shown in a school "
    "for three years. Today the museum has four floors, a garden and a small library, and it is closed on Mondays.",
    "Bread is made of flour, water, salt and yeast. The dough rests for an hour. Then it is shaped, rests again, and is "
    "baked at 230 degrees for thirty minutes. A good crust needs steam. Rye bread wants more time, and wheat bread less.",
    "Rivers carry sand to the sea. The sea carries sand to the shore. The wind carries sand to the dunes. The dunes hold "
    "the land. The land feeds the rivers. So the sand goes round. It takes a long time, and nobody sees it happen.",
    "North, south, east, west. " * 12,
    "Der Zug fährt um 8:15 Uhr von Gleis 3 ab und kommt um 12:40 Uhr in Wien an. Die Fahrt dauert also etwas länger als "
    "vier Stunden. In Linz steigen viele Leute aus.",
    "Lions hunt at dusk.",
    "The first edition had 300 pages; the second, 412; the third was never printed.",
    "Dr. Nora O\u2019Brien-Smith (born 1974) teaches at the University of Ghent.",
    "one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve",
    "If it rains, the match is moved to Saturday; if it snows, to Sunday.",
    "\u00a0non-breaking\u00a0spaces\u00a0and\u2003wide ones",
    "Ｆｕｌｌ ｗｉｄｔｈ ａｎｄ ﬁne ligatures",
    "the THE The tHe",
    "Nothing here is capitalised, and nothing here has a name.",
    "Iceland has about 130 volcanoes. Hekla, Katla and Grímsvötn are among the best known of them.",
]
QUESTIONS = ["Who wrote it?", "Where is it?", "How many are there, and of what kind?", "When?", "What does the sand do?"]


def loud(model, seed):
    """Gives a model random weights that make its outputs differ from token to token."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "LayerNorm.weight" in name:
                p.copy_(1 + 0.1 * torch.randn_like(p))
            elif p.dim() == 1:
                p.copy_(0.1 * torch.randn_like(p))
            else:
                p.copy_(torch.randn_like(p) * (1.2 / p.shape[-1] ** 0.5 if "embeddings" not in name else 0.5))
    return model.eval()


def balance(models, tok):
    """Makes every label win somewhere, most often the one for outside, and no answer win in some texts."""
    classifier, asked = models["entities"].classifier, models["questions"].qa_outputs
    tokens, firsts, others = [], [], []
    with torch.no_grad():
        for text in TEXTS:
            ids = tok(text, return_tensors="pt", truncation=True)
            hidden = models["entities"].bert(**ids).last_hidden_state[0, 1:-1]
            tokens.append(classifier(hidden))
            hidden = models["questions"].bert(**ids).last_hidden_state[0]
            firsts.append(hidden[0])
            others.append(hidden[1:])
        logits = torch.cat(tokens)
        classifier.weight *= (2 / logits.std(0)).unsqueeze(1)
        classifier.bias.copy_(-(logits - classifier.bias).mean(0) * 2 / logits.std(0))
        classifier.bias[0] += 1
        apart = torch.stack(firsts).mean(0) - torch.cat(others).mean(0)
        asked.weight *= 2
        asked.weight += 4 * apart / apart.dot(apart)


def bytes_of(text, start, end):
    return [len(text[:start].encode()), len(text[:end].encode())]


def number(x):
    return float(f"{float(x):.7g}")


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    fixtures = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(root), "shared", "fixtures")
    target = os.path.join(root, "testdata", "pipelines")
    source = os.path.join(fixtures, "tokenizers", "small-wordpiece", "tokenizer.json")
    tok = PreTrainedTokenizerFast(tokenizer_file=source, model_max_length=POSITIONS, unk_token="[UNK]", cls_token="[CLS]",
                                  sep_token="[SEP]", pad_token="[PAD]", mask_token="[MASK]")
    sizes = dict(vocab_size=len(tok), hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
                 max_position_embeddings=POSITIONS, type_vocab_size=2, layer_norm_eps=1e-5)
    names = dict(enumerate(LABELS))
    models = {
        "questions": loud(BertForQuestionAnswering(BertConfig(**sizes)), 11),
        "entities": loud(BertForTokenClassification(BertConfig(**sizes, id2label=names, label2id={v: k for k, v in names.items()})), 12),
    }
    balance(models, tok)
    for folder, model in models.items():
        model.save_pretrained(os.path.join(target, folder))
        shutil.copyfile(source, os.path.join(target, folder, "tokenizer.json"))
        with open(os.path.join(target, folder, "tokenizer_config.json"), "w", encoding="utf-8") as f:
            json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": POSITIONS, "unk_token": "[UNK]", "cls_token": "[CLS]",
                       "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]"}, f, indent=1)
    warnings.simplefilter("ignore")
    asks = pipeline("question-answering", model=models["questions"], tokenizer=tok)
    tags = pipeline("token-classification", model=models["entities"], tokenizer=tok)
    assert len(TEXTS) == 40
    rows = []
    for i, text in enumerate(TEXTS):
        row = {"text": text, "question": QUESTIONS[i % len(QUESTIONS)], "entities": {}, "answers": []}
        for group in GROUPS:
            found = tags(text, aggregation_strategy=group)
            row["entities"][group] = [[e.get("entity_group", e.get("entity")), *bytes_of(text, e["start"], e["end"]), number(e["score"])]
                                      for e in found]
        for how in ASKED:
            found = asks(question=row["question"], context=text, **how)
            found = found if isinstance(found, list) else [found]
            row["answers"].append({"how": how, "spans": [[*bytes_of(text, a["start"], a["end"]), number(a["score"])] for a in found]})
        rows.append(row)
    with open(os.path.join(target, "golden.json"), "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(r, ensure_ascii=False, separators=(",", ":")) for r in rows) + "\n]\n")
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(target) for f in files)
    print(f"{target}: {size / 1e3:.0f} kB, {len(rows)} texts")


if __name__ == "__main__":
    main()
