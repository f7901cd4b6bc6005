"""options.py writes model/testdata/options: very small checkpoints of encoders and encoder-decoders, one for each class
and for each field of a configuration that changes its graph, with what transformers computes in float64.

  pip install 'transformers>=5' torch
  python3 ci/options.py

options.json has the configurations and the inputs, options.safetensors all tensors, each below the name of its row.
"""
import functools
import json
import os
import struct
import tempfile

import torch
import transformers
from safetensors import safe_open

VOCAB, POSITIONS = 23, 24
BERT = dict(vocab_size=VOCAB, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=10,
            max_position_embeddings=POSITIONS, layer_norm_eps=1e-3)
TYPED = BERT | dict(type_vocab_size=2)
ROBERTA = BERT | dict(type_vocab_size=1, pad_token_id=1)
DISTIL = dict(vocab_size=VOCAB, dim=12, n_layers=2, n_heads=3, hidden_dim=10, max_position_embeddings=POSITIONS)
ELECTRA = TYPED | dict(embedding_size=8)
DEBERTA = BERT | dict(type_vocab_size=0, relative_attention=True, position_buckets=6, norm_rel_ebd="layer_norm",
                      share_att_key=True, pos_att_type=["p2c", "c2p"], position_biased_input=False)
MODERN = dict(vocab_size=VOCAB, hidden_size=12, num_hidden_layers=3, num_attention_heads=3, intermediate_size=10,
              max_position_embeddings=POSITIONS, local_attention=4, global_attn_every_n_layers=2, norm_eps=1e-3,
              pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2)
BART = dict(vocab_size=VOCAB, d_model=12, encoder_layers=1, decoder_layers=3, encoder_attention_heads=3,
            decoder_attention_heads=2, encoder_ffn_dim=10, decoder_ffn_dim=14, max_position_embeddings=POSITIONS,
            forced_eos_token_id=None)
T5 = dict(vocab_size=VOCAB, d_model=12, d_kv=5, d_ff=10, num_layers=1, num_decoder_layers=3, num_heads=3,
          relative_attention_num_buckets=8, relative_attention_max_distance=11, layer_norm_epsilon=1e-3)
THREE = dict(num_labels=3)

ROWS = [  # name, class, fields
    ("bert untied", "BertForMaskedLM", TYPED | dict(tie_word_embeddings=False)),
    ("roberta body", "RobertaModel", ROBERTA),
    ("roberta tokens", "RobertaForTokenClassification", ROBERTA | THREE),
    ("roberta spans", "RobertaForQuestionAnswering", ROBERTA),
    ("roberta relu, pad 5", "RobertaForMaskedLM", ROBERTA | dict(hidden_act="relu", pad_token_id=5)),
    ("roberta untied", "RobertaForMaskedLM", ROBERTA | dict(tie_word_embeddings=False)),
    ("xlm-roberta sequences, types", "XLMRobertaForSequenceClassification", ROBERTA | THREE | dict(type_vocab_size=2)),
    ("distilbert body", "DistilBertModel", DISTIL),
    ("distilbert sequences", "DistilBertForSequenceClassification", DISTIL | THREE),
    ("distilbert tokens", "DistilBertForTokenClassification", DISTIL | THREE),
    ("distilbert spans", "DistilBertForQuestionAnswering", DISTIL),
    ("distilbert silu, untied", "DistilBertForMaskedLM", DISTIL | dict(activation="silu", tie_word_embeddings=False)),
    ("electra body", "ElectraModel", ELECTRA),
    ("electra sequences", "ElectraForSequenceClassification", ELECTRA | THREE),
    ("electra tokens, relu", "ElectraForTokenClassification", ELECTRA | THREE | dict(hidden_act="relu")),
    ("electra spans", "ElectraForQuestionAnswering", ELECTRA),
    ("electra not projected, relu", "ElectraForMaskedLM", ELECTRA | dict(embedding_size=12, hidden_act="relu")),
    ("electra untied", "ElectraForMaskedLM", ELECTRA | dict(tie_word_embeddings=False)),
    ("deberta c2p", "DebertaV2Model", DEBERTA | dict(pos_att_type=["c2p"])),
    ("deberta p2c", "DebertaV2Model", DEBERTA | dict(pos_att_type="p2c")),
    ("deberta neither", "DebertaV2Model", DEBERTA | dict(pos_att_type=[])),
    ("deberta not relative", "DebertaV2Model", DEBERTA | dict(relative_attention=False)),
    ("deberta keys of their own", "DebertaV2Model", DEBERTA | dict(share_att_key=False, position_buckets=5)),
    ("deberta p2c of its own", "DebertaV2Model", DEBERTA | dict(share_att_key=False, pos_att_type=["p2c"])),
    ("deberta no buckets", "DebertaV2Model", DEBERTA | dict(position_buckets=-1, max_relative_positions=5)),
    ("deberta distances of 13", "DebertaV2Model", DEBERTA | dict(max_relative_positions=13)),
    ("deberta distances not normed", "DebertaV2Model", DEBERTA | dict(norm_rel_ebd="none")),
    ("deberta positions, types, width", "DebertaV2ForMaskedLM", DEBERTA | dict(position_biased_input=True, type_vocab_size=2, embedding_size=8)),
    ("deberta new head", "DebertaV2ForMaskedLM", DEBERTA | dict(legacy=False)),
    ("deberta untied", "DebertaV2ForMaskedLM", DEBERTA | dict(tie_word_embeddings=False)),
    ("deberta sequences", "DebertaV2ForSequenceClassification", DEBERTA | THREE | dict(pooler_hidden_act="tanh")),
    ("deberta tokens", "DebertaV2ForTokenClassification", DEBERTA | THREE),
    ("deberta spans", "DebertaV2ForQuestionAnswering", DEBERTA),
    ("modernbert body", "ModernBertModel", MODERN),
    ("modernbert sequences", "ModernBertForSequenceClassification", MODERN | THREE),
    ("modernbert sequences by mean", "ModernBertForSequenceClassification", MODERN | THREE | dict(classifier_pooling="mean", classifier_activation="relu")),
    ("modernbert tokens", "ModernBertForTokenClassification", MODERN | THREE),
    ("modernbert spans", "ModernBertForQuestionAnswering", MODERN),
    ("modernbert biases", "ModernBertForMaskedLM", MODERN | dict(norm_bias=True, attention_bias=True, mlp_bias=True, classifier_bias=True,
                                                               hidden_activation="silu", decoder_bias=False)),
    ("modernbert untied, kinds, scaled", "ModernBertForMaskedLM", MODERN | dict(
        tie_word_embeddings=False, local_attention=5, layer_types=["sliding_attention", "sliding_attention", "full_attention"],
        rope_parameters={"full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1000.0},
                         "sliding_attention": {"rope_type": "default", "rope_theta": 500.0}})),
    ("bart scaled, relu", "BartForConditionalGeneration", BART | dict(scale_embedding=True, activation_function="relu")),
    ("bart untied", "BartForConditionalGeneration", BART | dict(tie_word_embeddings=False)),
    ("t5 unequal depths", "T5ForConditionalGeneration", T5),
    ("t5 gated", "T5ForConditionalGeneration", T5 | dict(feed_forward_proj="gated-silu")),
]
KINDS = {"ForMaskedLM": "masked", "Model": "encoder", "ForSequenceClassification": "seqcls", "ForTokenClassification": "tokcls",
         "ForQuestionAnswering": "qa", "ForConditionalGeneration": "seq2seq"}
LENGTHS, LONGEST = (15, 6), 15


def inputs(row, fields):
    """Two sequences, of which the second is padded, with a pad token among the first one's if RoBERTa's positions skip it."""
    g = torch.Generator().manual_seed(row)
    ids = torch.randint(3, VOCAB, (len(LENGTHS), LONGEST), generator=g)
    mask = torch.zeros_like(ids)
    for i, n in enumerate(LENGTHS):
        mask[i, :n] = 1
    pad = fields.get("pad_token_id", 0)
    ids[mask == 0] = pad
    if pad > 0:
        ids[0, 4] = pad
    types = None
    if fields.get("type_vocab_size", 0) > 1:
        types = torch.zeros_like(ids)
        types[:, 3:] = 1
        types *= mask
    return ids, mask, types


def outputs(model, kind, ids, mask, types):
    """Names as in the fixtures' goldens. Each sequence runs alone, and is padded with zeros then."""
    rows = []
    for i, n in enumerate(mask.sum(1).tolist()):
        kw = dict(input_ids=ids[i:i + 1, :n], output_hidden_states=True)
        if types is not None:
            kw["token_type_ids"] = types[i:i + 1, :n]
        if kind == "seq2seq":
            kw["decoder_input_ids"] = ids[i:i + 1, :5]
        with torch.no_grad():
            o = model(**kw)
        pad = functools.partial(torch.nn.functional.pad, pad=(0, 0, 0, LONGEST - n))
        if kind == "seq2seq":
            rows.append({"logits": o.logits, "last_hidden": o.decoder_hidden_states[-1], "encoder_last_hidden": pad(o.encoder_last_hidden_state)})
            continue
        out = {"last_hidden": pad(o.last_hidden_state if kind == "encoder" else o.hidden_states[-1])}
        if kind == "encoder" and getattr(o, "pooler_output", None) is not None:
            out["pooler_output"] = o.pooler_output
        elif kind == "qa":
            out |= {"start_logits": pad(o.start_logits.unsqueeze(-1)).squeeze(-1), "end_logits": pad(o.end_logits.unsqueeze(-1)).squeeze(-1)}
        elif kind == "seqcls":
            out["logits"] = o.logits
        elif kind != "encoder":
            out["logits"] = pad(o.logits)
        rows.append(out)
    return {k: torch.cat([r[k] for r in rows]) for k in rows[0]}


def row(n, name, cls, fields):
    config = getattr(transformers, cls).config_class(**fields)
    config._attn_implementation = "eager"
    model = getattr(transformers, cls)(config).eval()
    g = torch.Generator().manual_seed(1000 + n)
    with torch.no_grad():
        for key, p in model.named_parameters():
            r = torch.randn(p.shape, generator=g)
            if "orm" in key and key.endswith("weight"):
                p.copy_(1 + 0.2 * r)
            elif p.dim() == 1:
                p.copy_(0.3 * r)
            else:
                p.copy_(r * (0.6 if "embed" in key or "shared" in key else 1.1 / p.shape[-1] ** 0.5))
        for key, b in model.named_buffers():
            if key == "final_logits_bias":
                b.copy_(torch.randn(b.shape, generator=g))
    kind = next(k for end, k in KINDS.items() if cls.endswith(end))
    ids, mask, types = inputs(n, fields)
    tensors = {}
    with tempfile.TemporaryDirectory() as d:
        model.save_pretrained(d)
        with open(os.path.join(d, "config.json"), encoding="utf-8") as f:
            written = json.load(f)
        with safe_open(os.path.join(d, "model.safetensors"), "pt") as f:
            for key in f.keys():
                tensors[f"{name}/weights/{key}"] = f.get_tensor(key)
    plain = outputs(model, kind, ids, mask, types)
    exact = outputs(model.double(), kind, ids, mask, types)
    case = {"name": name, "input_ids": ids.tolist(), "attention_mask": mask.tolist(), "outputs": {}}
    if types is not None:
        case["token_type_ids"] = types.tolist()
    if kind == "seq2seq":
        case["decoder_input_ids"] = ids[:, :5].tolist()
    for key, v in exact.items():
        floor = (plain[key].double() - v).abs().max().item()
        tensors[f"{name}/outputs/{key}"] = v.float()
        case["outputs"][key] = {"tensor": f"{name}/outputs/{key}", "shape": list(v.shape), "tol_strict": max(10 * floor, 1e-6 * v.abs().max().item())}
    return {"name": name, "kind": kind, "config": written, "case": case}, tensors


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    target = os.path.join(root, "model", "testdata", "options")
    os.makedirs(target, exist_ok=True)
    rows, header, at, parts = [], {}, 0, []
    for n, (name, cls, fields) in enumerate(ROWS):
        r, tensors = row(n, name, cls, fields)
        rows.append(r)
        for key, v in sorted(tensors.items()):
            data = v.contiguous().numpy().tobytes()
            header[key] = {"dtype": "F32", "shape": list(v.shape), "data_offsets": [at, at + len(data)]}
            at += len(data)
            parts.append(data)
    with open(os.path.join(target, "options.json"), "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows) + "\n]\n")
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(target, "options.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(parts))
    size = sum(os.path.getsize(os.path.join(target, f)) for f in os.listdir(target))
    print(f"{target}: {len(rows)} checkpoints, {size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
