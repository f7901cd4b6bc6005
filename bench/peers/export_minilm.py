#!/usr/bin/env python3
"""Exports an encoder folder of Hugging Face to ONNX, for the peers that read nothing else: export_minilm.py MODEL OUT.onnx

The names are those Optimum gives: input_ids, attention_mask, token_type_ids → last_hidden_state, batch and sequence free.
With --two, token_type_ids is no input (all zero). Exits non-zero when the export does not compute what the model does.
"""
import argparse
import math

import torch
from transformers import AutoModel

TOLERANCE = 1e-4


class Encoder(torch.nn.Module):
    """BERT's encoder over the model's weights, its attention written in the plain form that onnxruntime's optimiser fuses.

    The additive mask is made here, so that the exporter meets no code that depends on data.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.heads = model.config.num_attention_heads

    def split(self, x):
        """[b, t, d] as heads: [b, heads, t, d/heads]."""
        return x.view(x.size()[:-1] + (self.heads, x.size(-1) // self.heads)).permute(0, 2, 1, 3)

    def attention(self, a, h, mask):
        q, k, v = self.split(a.self.query(h)), self.split(a.self.key(h)), self.split(a.self.value(h))
        scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(h.size(-1) // self.heads) + mask
        c = torch.matmul(torch.softmax(scores, dim=-1), v).permute(0, 2, 1, 3).contiguous()
        return a.output.LayerNorm(a.output.dense(c.view(c.size()[:-2] + (h.size(-1),))) + h)

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        mask = (1.0 - attention_mask.unsqueeze(1).unsqueeze(2).to(torch.float32)) * -10000.0
        h = self.model.embeddings(input_ids=input_ids, token_type_ids=token_type_ids)
        for layer in self.model.encoder.layer:
            h = self.attention(layer.attention, h, mask)
            h = layer.output.LayerNorm(layer.output.dense(layer.intermediate(h)) + h)
        return h


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("model")
    p.add_argument("out")
    p.add_argument("--two", action="store_true")
    p.add_argument("--opset", type=int, default=17)
    a = p.parse_args()
    plain = AutoModel.from_pretrained(a.model, attn_implementation="eager").eval()
    ours = Encoder(plain).eval()
    ids = torch.randint(1000, 20000, (2, 16), generator=torch.Generator().manual_seed(1))
    mask = torch.ones(2, 16, dtype=torch.long)
    mask[1, 9:] = 0
    with torch.inference_mode():
        want = plain(input_ids=ids, attention_mask=mask).last_hidden_state
        off = float((ours(ids, mask) - want)[mask.bool()].abs().max())
    if not off < TOLERANCE:
        raise SystemExit("the wrapped model is %g away from the plain one" % off)
    inputs = (ids, mask) if a.two else (ids, mask, torch.zeros_like(ids))
    names = ["input_ids", "attention_mask", "token_type_ids"][: len(inputs)]
    free = {n: {0: "batch", 1: "sequence"} for n in names + ["last_hidden_state"]}
    torch.onnx.export(ours, inputs, a.out, input_names=names, output_names=["last_hidden_state"], dynamic_axes=free,
                      dynamo=False, opset_version=a.opset)


if __name__ == "__main__":
    main()
