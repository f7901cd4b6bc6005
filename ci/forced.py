"""forced.py writes testdata/forced.json: what transformers' generate() makes of the fields of a generation's
configuration that force, forbid or favour tokens, each alone and some together, greedily and with 4 beams.

  pip install 'transformers==5.23.0' torch
  python3 ci/forced.py

The checkpoints are those of model/testdata/checkpoints. A row has the fields as generation_config.json would, the
prompt's ids and the new tokens. Of rows whose choice is close another prompt is tried, so that the order of a sum
decides nothing.
"""
import json
import os
import shutil
import tempfile
import warnings

import torch
import transformers

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
TOKENS, MARGIN = 12, 1e-3
MODELS = {"bart": "BartForConditionalGeneration", "t5": "T5ForConditionalGeneration", "gpt2": "GPT2LMHeadModel",
          "llama": "LlamaForCausalLM"}


def fields(free, prompt, eos, seq2seq):
    """The rows of a model that continues the prompt with free: fields that bite, as they name tokens of free."""
    a, b, c = free[0], free[1], free[2]
    second, third = (prompt * 3)[1:3]
    start = 1 if seq2seq else len(prompt)
    return [
        dict(forced_bos_token_id=7),
        dict(forced_eos_token_id=eos),
        dict(forced_eos_token_id=[eos, 9]),
        dict(no_repeat_ngram_size=1),
        dict(no_repeat_ngram_size=2),
        dict(no_repeat_ngram_size=3),
        dict(encoder_no_repeat_ngram_size=1),
        dict(encoder_no_repeat_ngram_size=2, sequence_bias=[[[second], 5.0], [[second, third], 9.0]]),
        dict(min_length=start + 4, eos_token_id=[a, c]),
        dict(min_new_tokens=3, min_length=40, eos_token_id=[a, c]),
        dict(bad_words_ids=[[a], [eos]]),
        dict(bad_words_ids=[[a, b], [b, c], [prompt[-1], a]]),
        dict(suppress_tokens=[a, b, 100000]),
        dict(begin_suppress_tokens=[a]),
        dict(begin_suppress_tokens=[a], forced_bos_token_id=7),
        dict(begin_suppress_tokens=[free[1]], forced_bos_token_id=a),
        dict(encoder_repetition_penalty=1.7),
        dict(encoder_repetition_penalty=0.5, repetition_penalty=1.3),
        dict(sequence_bias=[[[a], -3.5], [[a, b], 2.0], [[prompt[-1], c], 4.0]]),
        dict(exponential_decay_length_penalty=[2, 1.6]),
        dict(exponential_decay_length_penalty=[3, 0.5], eos_token_id=[c], forced_eos_token_id=c),
        dict(no_repeat_ngram_size=2, forced_eos_token_id=eos),
        dict(no_repeat_ngram_size=2, encoder_no_repeat_ngram_size=1, repetition_penalty=1.2),
        dict(forced_bos_token_id=7, forced_eos_token_id=eos, min_length=start + TOKENS + 3),
        dict(bad_words_ids=[[a]], suppress_tokens=[b], remove_invalid_values=True),
        dict(no_repeat_ngram_size=1, suppress_tokens=[a], renormalize_logits=True, repetition_penalty=1.4),
        dict(num_beams=3, early_stopping=True, length_penalty=2.0, no_repeat_ngram_size=3, min_length=start + 3),
        dict(max_length=start + 5, forced_eos_token_id=eos),
    ]


def run(model, prompt, row, beams):
    """The new tokens of the best answer, and how near another one was."""
    cfg = dict(row)
    if beams > 1:
        cfg.setdefault("num_beams", beams)
    if "max_length" not in cfg:
        cfg["max_new_tokens"] = TOKENS
    many = cfg.get("num_beams", 1)
    out = model.generate(torch.tensor([prompt]), generation_config=transformers.GenerationConfig(**{**model.generation_config.to_dict(), **cfg}),
                         output_scores=True, return_dict_in_generate=True, num_return_sequences=many)
    start = 1 if model.config.is_encoder_decoder else len(prompt)
    ids = out.sequences[0, start:].tolist()
    ends = cfg.get("eos_token_id", model.generation_config.eos_token_id)
    ends = [ends] if isinstance(ends, int) else ends
    for i, t in enumerate(ids):
        if t in ends:
            ids = ids[:i + 1]
            break
    if many > 1:
        s = out.sequences_scores
        return ids, float((s[:-1] - s[1:]).abs().min()), [round(float(x), 5) for x in s]
    margin = 1.0
    for s in out.scores:
        top = s[0].topk(2).values
        if torch.isfinite(top).all() and top[0] != 0:
            margin = min(margin, float(top[0] - top[1]))
    return ids, margin, None


def main():
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "Unfeasible length")  # meant
    transformers.logging.set_verbosity_error()
    out = []
    for name, cls in MODELS.items():
        src = os.path.join(HERE, "model", "testdata", "checkpoints", name)
        with tempfile.TemporaryDirectory() as d:
            shutil.copytree(src, d, dirs_exist_ok=True)
            model = getattr(transformers, cls).from_pretrained(d, attn_implementation="eager").eval()
        seq2seq, vocab = model.config.is_encoder_decoder, model.config.vocab_size
        eos = model.generation_config.eos_token_id
        count = len(fields([0, 1, 2], [0], eos, seq2seq))
        for i in range(count):
            for beams in (1, 4):
                if beams > 1 and i == 2:
                    continue  # two forced tokens of one beam are equally good
                for seed in range(400):
                    g = torch.Generator().manual_seed(1000 * i + seed)
                    one = i in (0, 14, 15, 23) and not seq2seq  # forced_bos_token_id counts after one token alone
                    prompt = torch.randint(3, vocab, (1 if one else 9,), generator=g).tolist()
                    if not one:
                        prompt[5:7] = prompt[1:3]
                    free = run(model, prompt, {}, 1)[0]
                    if len(free) < 4:
                        continue
                    row = fields(free, prompt, eos, seq2seq)[i]
                    plain = run(model, prompt, {}, beams)[0]
                    ids, margin, scores = run(model, prompt, row, beams)
                    if margin > MARGIN and (ids != plain or seed > 200):
                        break
                else:
                    print("no prompt:", name, row, beams)
                    continue
                if ids == plain:
                    print("changes nothing:", name, row, beams)
                if beams > 1:
                    row = dict(num_beams=beams) | row
                entry = dict(model=name, fields=row, prompt=prompt, ids=ids)
                if scores:
                    entry["scores"] = scores
                out.append(entry)
    path = os.path.join(HERE, "testdata", "forced.json")
    with open(path, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(r) for r in out) + "\n]\n")
    print(len(out), "rows,", os.path.getsize(path), "bytes")


main()
