#!/usr/bin/env python3
"""Puts an ONNX export through onnxruntime's own transformer optimiser: fuse.py MODEL IN.onnx OUT.onnx

That optimiser imports torch, so this runs in the torch peer's environment.
"""
import argparse
import json
import os

from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("model")
    p.add_argument("source")
    p.add_argument("out")
    a = p.parse_args()
    with open(os.path.join(a.model, "config.json"), encoding="utf-8") as f:
        c = json.load(f)
    o = FusionOptions("bert")
    o.enable_embed_layer_norm = False  # Its kernel wants 32-bit ids.
    m = optimizer.optimize_model(a.source, "bert", num_heads=c["num_attention_heads"], hidden_size=c["hidden_size"], optimization_options=o)
    m.save_model_to_file(a.out)
    fused = {k: v for k, v in m.get_fused_operator_statistics().items() if v}
    print("fused operators:", fused)
    if not fused.get("Attention"):
        raise SystemExit("no attention was fused: the export is not of the shape the optimiser knows")


if __name__ == "__main__":
    main()
