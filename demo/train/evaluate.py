"""Judges the stored models with PyTorch on held-out sentences and writes what tests compare with.

    python evaluate.py [--models DIR] [--samples]

Weights are read as they are stored, arithmetic is float32. The figures go to the README beside this folder, the sentences
with PyTorch's results to testdata/heldout.json. A figure that misses its mark makes the exit status 1.
"""
import argparse
import collections
import json
import math
import os
import random
import re
import sys

import torch
import transformers

from talk import EVERYDAY_EVALUATION, unknown_field, unknown_subject
from world import FRAMES, HERE, World, join

SENTENCES = 300  # of each kind
LOGITS = 3       # rows of logits of each model


def load(kind, folder):
    """A model in float32 and its tokenizer."""
    model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    return model, transformers.AutoTokenizer.from_pretrained(folder)


def held_out_sentences(world, rng, wanted):
    """Sentences of held-out pairs for which wanted gives something, a pair at most once: (sentence, what it gave)."""
    found, pairs = [], sorted(world.held_out)
    rng.shuffle(pairs)
    for frame, name in pairs:
        s = world.sentence(rng, held_out=True, frame=frame, field=world.fields[name])
        if (w := wanted(s)) is not None and len(found) < SENTENCES:
            found.append((s, w))
    return found


def rounded(values):
    return [round(float(v), 5) for v in values]


class Figures:
    """The figures, with the mark that each must reach."""

    def __init__(self):
        self.rows, self.failed = [], False

    def add(self, name, value, text, mark=None, reached=True):
        self.rows.append({"name": name, "value": round(value, 6), "text": text, "mark": mark or ""})
        self.failed = self.failed or not reached
        print(f"{name}: {text}{f'  (mark: {mark})' if mark else ''}{'' if reached else '  MISSED'}", flush=True)

    def share(self, name, right, of, least=None):
        self.add(name, right / of, f"{right / of:.1%} ({right} of {of})", f"≥ {least:.0%}" if least else None,
                 least is None or right >= least * of)


def negative_log_likelihood(model, tokenizer, text):
    """The sum over a text's tokens but the first, which nothing precedes, and how many they are."""
    ids = tokenizer(text, return_tensors="pt").input_ids
    logp = model(ids).logits[0, :-1].log_softmax(-1)
    return -logp.gather(1, ids[0, 1:, None]).sum().item(), ids.shape[1] - 1


def perplexity(rows):
    return math.exp(sum(n for n, _ in rows) / sum(k for _, k in rows))


def continued(model, tokenizer, prompt, most=32):
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    out = model.generate(ids, max_new_tokens=most, do_sample=False, pad_token_id=model.config.eos_token_id)
    return tokenizer.decode(out[0, ids.shape[1]:], skip_special_tokens=True)


def judge_lm(world, folder, figures):
    model, tokenizer = load(transformers.LlamaForCausalLM, folder)
    rng = random.Random(101)
    texts = [s.text() for s, _ in held_out_sentences(world, rng, lambda s: s)]
    held_out = [negative_log_likelihood(model, tokenizer, t) for t in texts]
    trained = [negative_log_likelihood(model, tokenizer, world.sentence(rng).text()) for _ in range(1000)]
    figures.add("lm: perplexity of training sentences", perplexity(trained), f"{perplexity(trained):.3f}")
    ratio = perplexity(held_out) / perplexity(trained)
    figures.add("lm: perplexity of held-out sentences", perplexity(held_out),
                f"{perplexity(held_out):.3f}, {ratio:.3f} × the training sentences'", "≤ 1.2 ×", ratio <= 1.2)
    prompts = ["I love"] + sorted({" ".join(t.split()[:2]) for t in texts})[::9]
    rows = []
    for prompt in prompts[:LOGITS]:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        rows.append({"prompt": prompt, "logits": rounded(model(ids).logits[0, -1])})
    return {"perplexity": perplexity(held_out), "training_perplexity": perplexity(trained),
            "sentences": [{"text": t, "tokens": k, "nll": round(n, 6)} for t, (n, k) in zip(texts, held_out)],
            "continuations": [{"prompt": p, "text": continued(model, tokenizer, p)} for p in prompts], "logits": rows}


def judge_masked(world, folder, figures):
    model, tokenizer = load(transformers.BertForMaskedLM, folder)
    rng = random.Random(102)

    def mask(s):
        places = s.masks(world.fields)
        return rng.choice(places)[0] if any(slot != "he" for _, slot in places) else None

    sentences, right, logits = [], 0, []
    per_frame = collections.defaultdict(collections.Counter)
    for s, i in held_out_sentences(world, rng, mask):
        text = join(w._replace(text="[MASK]") if k == i else w for k, w in enumerate(s.words))
        ids = tokenizer(text, return_tensors="pt").input_ids
        at = (ids[0] == tokenizer.mask_token_id).nonzero().item()
        row = model(ids).logits[0, at]
        answer, got = s.words[i].text, tokenizer.convert_ids_to_tokens(row.argmax().item())
        sentences.append({"text": text, "answer": answer} | ({} if got == answer else {"torch": got}))
        right += got == answer
        per_frame[s.frame][answer] += 1
        if len(logits) < LOGITS:
            logits.append({"text": text, "logits": rounded(row)})
    n = len(sentences)
    figures.share("masked: top-1", right, n, 0.9)
    most = sum(per_frame.values(), collections.Counter()).most_common(1)[0]
    figures.add("masked: baseline, always the most frequent answer", most[1] / n, f"{most[1] / n:.1%} (“{most[0]}”)", "< 30%",
                most[1] < 0.3 * n)
    best = sum(c.most_common(1)[0][1] for c in per_frame.values())
    figures.add("masked: baseline, each frame's most frequent answer", best / n, f"{best / n:.1%}", "< 30%", best < 0.3 * n)
    for frame in FRAMES:
        if c := per_frame[frame]:
            word, k = c.most_common(1)[0]
            print(f"    {frame:12} {k / c.total():5.0%} of {c.total():2}  {word}")
    return {"sentences": sentences, "logits": logits}


def pieces_by_word(pieces):
    """The word of each piece of a Unigram text: a word begins with a piece that begins with the space mark."""
    word, words = -1, []
    for p in pieces:
        word += p.startswith("▁")
        words.append(word)
    return words


def rewrite(model, tokenizer, text):
    """The greedy rewriting's ids, and the attention [pieces written, pieces read]: the mean over the last layer's heads.

    Row t is that of the step that wrote piece t.
    """
    ids = tokenizer(text, return_tensors="pt").input_ids
    written = model.generate(ids, max_new_tokens=64, do_sample=False, num_beams=1)[:, 1:]
    looked = model(input_ids=ids, labels=written, output_attentions=True).cross_attentions[-1][0].mean(0)
    return ids[0], written[0], looked


def strongest_words(tokenizer, ids, written, looked):
    """For each word written, the index of the word read that it looks at most, the end being one more word.

    Keys of a word's pieces add up, rows of a word's pieces are averaged.
    """
    source = pieces_by_word(tokenizer.convert_ids_to_tokens(ids)[:-1])
    source.append(source[-1] + 1)
    target = pieces_by_word(tokenizer.convert_ids_to_tokens(written)[:-1])
    keys = torch.zeros(len(written), source[-1] + 1).index_add(1, torch.tensor(source), looked)
    return [keys[[t for t, w in enumerate(target) if w == k]].mean(0).argmax().item() for k in range(target[-1] + 1)]


def judge_rewrite(world, folder, figures):
    model, tokenizer = load(transformers.T5ForConditionalGeneration, folder)
    rng = random.Random(103)
    sentences, logits, exact, looks, changes = [], [], 0, 0, 0
    for s, _ in held_out_sentences(world, rng, lambda s: None if s.frame == "part" else s):
        target, alignment, changed = s.rewritten()
        want = join(target)
        ids, written, looked = rewrite(model, tokenizer, s.text())
        got = tokenizer.decode(written, skip_special_tokens=True)
        exact += got == want
        changes += len(changed)
        if got == want:
            strongest = strongest_words(tokenizer, ids, written, looked)
            looks += sum(strongest[k] == alignment[k] for k in changed)
        sentences.append({"text": s.text(), "expect": want, "changed": [
            {"word": k, "text": target[k].text, "source": alignment[k], "from": s.words[alignment[k]].text} for k in changed]}
            | ({} if got == want else {"torch": got}))
        if len(logits) < LOGITS:
            at = len(target) // 2
            row = model(input_ids=ids[None], labels=written[None]).logits[0, at]
            logits.append({"text": s.text(), "written": written.tolist(), "row": at, "logits": rounded(row)})
    figures.share("rewrite: exact", exact, len(sentences), 0.95)
    figures.share("rewrite: changed words that look most at the right word", looks, changes, 0.9)
    judge_loose(world, model, tokenizer, figures)
    return {"sentences": sentences, "logits": logits}


def judge_loose(world, model, tokenizer, figures):
    """Sentences as people type them, and words that no training text had."""
    def rewritten(text):
        return tokenizer.decode(rewrite(model, tokenizer, text)[1], skip_special_tokens=True)

    rng = random.Random(104)
    plain = [s for s, _ in held_out_sentences(world, rng, lambda s: None if s.frame == "part" else s)][:100]
    wants = [join(s.rewritten()[0]) for s in plain]
    figures.share("rewrite: exact, period left out", sum(rewritten(s.text()[:-1]) == w for s, w in zip(plain, wants)), 100)
    figures.share("rewrite: exact, in lower case", sum(rewritten(s.text().lower()) == w for s, w in zip(plain, wants)), 100)
    figures.share("rewrite: exact, in capitals", sum(rewritten(s.text().upper()) == w for s, w in zip(plain, wants)), 100)
    for name, options in (("subjects", {"subject": unknown_subject}), ("topics", {"field": unknown_field})):
        right = 0
        for _ in range(100):
            s = None
            while s is None or s.frame == "part":
                s = world.sentence(rng, **{k: f(rng, EVERYDAY_EVALUATION) for k, f in options.items()})
            right += rewritten(s.text()) == join(s.rewritten()[0])
        figures.share(f"rewrite: exact, unknown {name} copied", right, 100)


SAMPLES = ("I love", "My sister", "Anna loves", "We like", "Our teacher", "If you", "With a", "The best", "NLP is", "Machine learning",
           "The cat", "My dog", "Every Monday,", "In Lisbon,", "People who", "There is", "I am", "What is", "Pizza is", "They want")


def samples(world, models):
    lm, words = load(transformers.LlamaForCausalLM, os.path.join(models, "lm"))
    for p in SAMPLES:
        print(f"{p} |{continued(lm, words, p)}")
    for turns in (["Hello."], ["I love NLP."], ["What is jazz?"], ["what is nlp"], ["Do you like pizza?"], ["What do you love?"],
                  ["How can I learn chess?"], ["I love NLP.", "NLP is a part of machine learning.", "Why?"],
                  ["My sister studies jazz.", "Do you improvise solos with a saxophone?", "No."], ["Who are you?"]):
        text = words.apply_chat_template([{"role": ("user", "assistant")[i % 2], "content": t} for i, t in enumerate(turns)], tokenize=False)
        print(f"{' / '.join(turns)} -> {continued(lm, words, text)}")
    masked, words = load(transformers.BertForMaskedLM, os.path.join(models, "masked"))
    for text in ("I love [MASK] learning.", "i love [MASK] learning", "I love machine [MASK].", "My [MASK] loves chess.",
                 "She loves music because [MASK] likes to play melodies.", "I want to learn [MASK] learning.", "I love [MASK]."):
        ids = words(text, return_tensors="pt").input_ids
        p = masked(ids).logits[0, (ids[0] == words.mask_token_id).nonzero().item()].softmax(-1).topk(5)
        print(text, [(words.decode([i]), round(v, 3)) for v, i in zip(p.values.tolist(), p.indices.tolist())])
    t5, words = load(transformers.T5ForConditionalGeneration, os.path.join(models, "rewrite"))
    for text in ("I love NLP.", "i love nlp", "I love nlp", "I LOVE NLP", "I love machine learning.", "I love science.", "NLP", "jazz",
                 "We like pizza.", "The cat sat on the mat.", "My dog likes jazz very much.", "Kevin studies botany in Paris.",
                 "She wants to learn NLP and cooking.", "I like natural language processing.", "Do you like chess?", "I hate chess!",
                 "Hello world", "My favourite thing is folk music, of course."):
        print(text, "->", words.decode(rewrite(t5, words, text)[1], skip_special_tokens=True))


def write_readme(figures):
    """Puts the table of figures between the marks in the README."""
    path = os.path.join(os.path.dirname(HERE), "README.md")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    table = "| figure | value | must be |\n|---|---|---|\n" + "".join(f"| {r['name']} | {r['text']} | {r['mark']} |\n" for r in figures.rows)
    text = re.sub("(<!-- figures -->\n).*(<!-- end of figures -->)", lambda m: m[1] + table + m[2], text, flags=re.S)
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        f.write(text)


def write_held_out(results):
    """One line a sentence and a row of logits, so that differences can be read."""
    path = os.path.join(os.path.dirname(HERE), "testdata", "heldout.json")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    parts = []
    for model, result in results.items():
        fields = []
        for key, value in result.items():
            lines = json.dumps(value) if not isinstance(value, list) else "[\n" + ",\n".join(
                json.dumps(v, ensure_ascii=False, separators=(",", ":")) for v in value) + "\n]"
            fields.append(f"{json.dumps(key)}: {lines}")
        parts.append(f"{json.dumps(model)}: {{\n" + ",\n".join(fields) + "\n}")
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        f.write("{\n" + ",\n".join(parts) + "\n}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=os.path.dirname(HERE), help="where the folders are")
    parser.add_argument("--only", nargs="*", default=["lm", "masked", "rewrite"], help="judge these, and write nothing")
    parser.add_argument("--samples", action="store_true", help="show what the models say instead")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    transformers.logging.set_verbosity_error()
    world, figures, results = World(), Figures(), {}
    if args.samples:
        return samples(world, args.models)
    for name, judge in (("lm", judge_lm), ("masked", judge_masked), ("rewrite", judge_rewrite)):
        if name in args.only:
            results[name] = judge(world, os.path.join(args.models, name), figures)
    if len(results) == 3:
        write_readme(figures)
        write_held_out(results)
    return int(figures.failed)


if __name__ == "__main__":
    sys.exit(main())
