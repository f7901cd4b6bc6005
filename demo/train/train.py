"""Trains the demo's three models from scratch and writes them as Hugging Face directories beside this folder.

    python train.py [lm] [masked] [rewrite] [--out DIR] [--seed N]

All text is made by world.py and talk.py, all choices by generators with the given seed. Weights are stored as float16.
"""
import argparse
import json
import math
import os
import random
import time

import torch
import torch.nn.functional as F
import transformers

from rewriting import Rewriting
from talk import EVERYDAY, Talk, loosely, unknown_subject
from vocabulary import END, byte_level_bpe, unigram, wordpiece
from world import HERE, World

MODELS = ("lm", "masked", "rewrite")
ENOUGH = 0.85  # of the attention on the right word: the alignment loss asks for no more


class Schedule:
    """AdamW with a linear warm-up and a cosine to zero."""

    def __init__(self, model, rate, steps, decay):
        matrices = [p for p in model.parameters() if p.dim() > 1]
        others = [p for p in model.parameters() if p.dim() <= 1]
        self.optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": decay},
                                            {"params": others, "weight_decay": 0.0}], lr=rate, betas=(0.9, 0.98), fused=True)
        self.model, self.rate, self.steps, self.step = model, rate, steps, 0
        self.started, self.loss = time.time(), 0.0

    def update(self, loss, note=""):
        warm = min(1.0, (self.step + 1) / (0.05 * self.steps))
        for g in self.optimizer.param_groups:
            g["lr"] = self.rate * warm * (0.5 + 0.5 * math.cos(math.pi * self.step / self.steps))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self.loss += (loss.item() - self.loss) / min(self.step, 50)
        if self.step % 200 == 0 or self.step == self.steps:
            print(f"  step {self.step}/{self.steps}  loss {self.loss:.4f}  {note}  {time.time() - self.started:.0f} s", flush=True)


def pad(rows, value):
    """Rows of ids as one matrix [rows, longest]."""
    width = max(map(len, rows))
    return torch.tensor([r + [value] * (width - len(r)) for r in rows])


def batches(rng, make, size, steps):
    """Batches of examples of similar length: a pool is made, sorted, cut and shuffled."""
    pool = []
    for _ in range(steps):
        if not pool:
            rows = sorted((make() for _ in range(size * 16)), key=lambda r: (len(r[0]), r))
            pool = [rows[i:i + size] for i in range(0, len(rows), size)]
            rng.shuffle(pool)
        yield pool.pop()


def training_sentence(world, rng):
    """A sentence of the training split; now and then about somebody the world does not know."""
    return world.sentence(rng, subject=unknown_subject(rng) if rng.random() < 0.06 else None)


def train_lm(world, seed, out):
    rng = random.Random(seed)
    talk = Talk(world)

    def turns():
        if rng.random() < 0.5:
            return [talk.alone(rng) if rng.random() < 0.12 else training_sentence(world, rng).text()]
        return talk.conversation(rng)

    sentences = [world.sentence(rng).text() for _ in range(30000)]
    starts = sorted({s.split()[0].rstrip(",.") for s in sentences})
    # Sixty times each, first words and everyday words become whole tokens: so it shows where a strange word ends.
    tokenizer = byte_level_bpe(sentences + 60 * (starts + [f" {w}" for w in EVERYDAY]), 2600)
    end = tokenizer.token_to_id(END)
    torch.manual_seed(seed)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=96, intermediate_size=256, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, head_dim=24, max_position_embeddings=256, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=end, pad_token_id=None, attention_dropout=0.0))

    def example():
        return (tokenizer.encode("".join(t + END for t in turns())).ids,)

    steps = 3000
    schedule = Schedule(model, 4e-3, steps, 0.1)
    for rows in batches(rng, example, 64, steps):
        ids = pad([r[0] for r in rows], end)
        mask = pad([[1] * len(r[0]) for r in rows], 0)
        hidden = model.model(input_ids=ids, attention_mask=mask).last_hidden_state[:, :-1]
        real = mask[:, 1:] == 1
        schedule.update(F.cross_entropy(model.lm_head(hidden[real]), ids[:, 1:][real]))
    save(model, tokenizer, out, {"eos_token": END, "model_max_length": 256,
                                 "chat_template": "{% for message in messages %}{{ message.content }}{{ eos_token }}{% endfor %}"},
         {"do_sample": False, "eos_token_id": end, "max_new_tokens": 48})


def train_masked(world, seed, out):
    rng = random.Random(seed + 1)
    tokenizer = wordpiece(world.vocabulary())
    mask_id, size = tokenizer.token_to_id("[MASK]"), tokenizer.get_vocab_size()
    torch.manual_seed(seed)
    model = transformers.BertForMaskedLM(transformers.BertConfig(
        vocab_size=size, hidden_size=96, num_hidden_layers=3, num_attention_heads=4, intermediate_size=256,
        max_position_embeddings=128, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=0))

    def example():
        sentence = training_sentence(world, rng)
        text = sentence.text()
        e = tokenizer.encode(loosely(rng, text) if rng.random() < 0.3 else text)
        ids, inner = list(e.ids), range(1, len(e.ids) - 1)
        chosen = set(rng.sample(inner, max(1, round(rng.uniform(0, 0.25) * len(inner)))))
        if (places := sentence.masks(world.fields)) and rng.random() < 0.5:  # a word that can be known, and all its pieces
            k = rng.choice(places)[0]
            at = sum(len(w.text + w.after) + 1 for w in sentence.words[:k])
            chosen = {i for i in inner if at <= e.offsets[i][0] < at + len(sentence.words[k].text)}
        labels = [-100] * len(ids)
        for i in sorted(chosen):
            labels[i] = ids[i]
            kind = rng.random()
            ids[i] = mask_id if kind < 0.8 else rng.randrange(5, size) if kind < 0.9 else ids[i]
        return ids, labels

    steps = 6000
    schedule = Schedule(model, 3e-3, steps, 0.05)
    for rows in batches(rng, example, 64, steps):
        ids, labels = pad([r[0] for r in rows], 0), pad([r[1] for r in rows], -100)
        hidden = model.bert(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state
        schedule.update(F.cross_entropy(model.cls(hidden[labels != -100]), labels[labels != -100]))
    save(model, tokenizer, out, {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]",
                                 "unk_token": "[UNK]", "model_max_length": 128}, None)


def train_rewrite(world, seed, out):
    rng = random.Random(seed + 2)
    tokenizer = unigram(world.vocabulary())
    rewriting = Rewriting(world, tokenizer)
    torch.manual_seed(seed)
    model = transformers.T5ForConditionalGeneration._from_config(transformers.T5Config(
        vocab_size=tokenizer.get_vocab_size(), d_model=96, d_kv=24, d_ff=256, num_layers=3, num_decoder_layers=2, num_heads=4,
        relative_attention_num_buckets=32, relative_attention_max_distance=64, dropout_rate=0.0, feed_forward_proj="relu",
        tie_word_embeddings=True, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1), attn_implementation="eager")

    steps = 6000
    schedule = Schedule(model, 4e-3, steps, 0.02)
    for rows in batches(rng, lambda: rewriting.example(rng), 64, steps):
        source, target = pad([r[0] for r in rows], 0), pad([r[1] for r in rows], -100)
        result = model(input_ids=source, attention_mask=(source != 0).long(), labels=target, output_attentions=True)
        looked = result.cross_attentions[-1].mean(1)  # [rows, target, source]: the mean over the last layer's heads
        right = torch.zeros_like(looked)
        for i, (_, _, where) in enumerate(rows):
            for k, pieces in enumerate(where):
                right[i, k, list(pieces)] = 1
        there = (looked * right).sum(-1)[target != -100]  # how much of the attention is where it should be
        aligned = F.relu(math.log(ENOUGH) - (there + 1e-6).log()).mean()
        schedule.update(result.loss + 0.3 * aligned, f"alignment {aligned.item():.4f}")
    save(model, tokenizer, out, {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "model_max_length": 128},
         {"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0, "max_new_tokens": 64})


def save(model, tokenizer, out, roles, generation):
    """A directory as transformers writes it, with float16 weights."""
    os.makedirs(out, exist_ok=True)
    model = model.eval().half()
    model.config.dtype = torch.float16
    model.save_pretrained(out)
    os.chmod(os.path.join(out, "model.safetensors"), 0o644)
    path = os.path.join(out, "generation_config.json")
    if generation:
        write_json(path, generation)
    elif os.path.exists(path):
        os.remove(path)
    tokenizer.save(os.path.join(out, "tokenizer.json"), pretty=False)
    write_json(os.path.join(out, "tokenizer_config.json"), {"tokenizer_class": "PreTrainedTokenizerFast",
                                                            "clean_up_tokenization_spaces": False} | roles)


def write_json(path, value):
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        json.dump(value, f, indent=2, ensure_ascii=False)
        f.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(MODELS), help="lm, masked, rewrite; all unless named")
    parser.add_argument("--out", default=os.path.dirname(HERE), help="where the folders are written")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)  # the models are so small that more would mostly wait; and one has one order of sums
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True)
    world = World()
    for name in args.models:
        if name not in MODELS:
            parser.error(f"there is no model {name!r}: lm, masked, rewrite")
        print(name, flush=True)
        {"lm": train_lm, "masked": train_masked, "rewrite": train_rewrite}[name](world, args.seed, os.path.join(args.out, name))


if __name__ == "__main__":
    main()
