"""odd.py makes model/testdata/odd: tiny random checkpoints whose configurations set what no fixture sets, and sizes that
are multiples of nothing, with the logits that transformers gives.

    python3 -m venv V && V/bin/pip install torch==2.15.0 transformers==5.23.0 && V/bin/python ci/odd.py [NAME…]

The format is that of the fixtures' golden.json: tolerances come from the same model in float64.
"""
import copy
import json
import os
import shutil
import sys

import torch
import transformers
from safetensors.torch import save_file

ROOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "model", "testdata", "odd")
TOKENS = 19

GPT = dict(vocab_size=53, n_layer=2, n_positions=24)
NEO = dict(vocab_size=53, hidden_size=25, num_layers=3, num_heads=5, max_position_embeddings=24, intermediate_size=31)
OPT = dict(vocab_size=53, hidden_size=27, num_hidden_layers=2, num_attention_heads=3, ffn_dim=34, max_position_embeddings=24)
ROPE = dict(vocab_size=53, hidden_size=30, intermediate_size=31, num_hidden_layers=2, num_attention_heads=5, max_position_embeddings=24)
GROUPED = ROPE | dict(hidden_size=24, num_attention_heads=6, num_key_value_heads=3)
FALCON = dict(vocab_size=53, hidden_size=24, num_hidden_layers=2, num_attention_heads=6, max_position_embeddings=24, ffn_hidden_size=31)
BLOOM = dict(vocab_size=53, hidden_size=21, n_layer=2, n_head=3)
NEOX = ROPE | dict(hidden_size=36, num_attention_heads=3)

# name: class, configuration
CHECKPOINTS = {
    "gpt-neo-layers": ("GPTNeo", NEO | dict(attention_types=[[["local"], 1], [["global", "local"], 1]], window_size=3,
                                            activation_function="relu", tie_word_embeddings=False)),
    "opt-no-bias": ("OPT", OPT | dict(enable_bias=False, tie_word_embeddings=False)),
    "opt-no-affine": ("OPT", OPT | dict(layer_norm_elementwise_affine=False, activation_function="gelu")),
    "opt-no-final-norm": ("OPT", OPT | dict(_remove_final_layer_norm=True, word_embed_proj_dim=14, tie_word_embeddings=False)),
    "gptj-tied": ("GPTJ", GPT | dict(n_embd=30, n_head=3, rotary_dim=6, tie_word_embeddings=True, n_inner=31)),
    "codegen-heads": ("CodeGen", GPT | dict(n_embd=32, n_head=8, rotary_dim=2, activation_function="gelu")),
    "gpt-bigcode-no-scale": ("GPTBigCode", GPT | dict(n_embd=21, n_head=3, multi_query=True, scale_attn_weights=False,
                                                      n_inner=31, tie_word_embeddings=False)),
    "starcoder2-window": ("Starcoder2", GROUPED | dict(sliding_window=5, use_bias=False, norm_epsilon=1e-2, tie_word_embeddings=False)),
    "starcoder2-head-dim": ("Starcoder2", GROUPED | dict(head_dim=10, rope_parameters=dict(rope_type="linear", factor=3.0, rope_theta=500.0))),
    "bloom-post-residual": ("Bloom", BLOOM | dict(apply_residual_connection_post_layernorm=True)),
    "bloom-untied": ("Bloom", BLOOM | dict(hidden_size=36, n_head=9, tie_word_embeddings=False, layer_norm_epsilon=1e-2)),
    "falcon-one-norm": ("Falcon", FALCON | dict(new_decoder_architecture=True, num_kv_heads=3, num_ln_in_parallel_attn=1, bias=True)),
    "falcon-parallel-heads": ("Falcon", FALCON | dict(multi_query=False, activation="relu", tie_word_embeddings=False)),
    "falcon-sequence": ("Falcon", FALCON | dict(parallel_attn=False, bias=True,
                                                rope_parameters=dict(rope_type="linear", factor=2.0, rope_theta=1e3))),
    "gpt-neox-no-bias": ("GPTNeoX", NEOX | dict(attention_bias=False, tie_word_embeddings=True, hidden_act="gelu_new",
                                                rotary_emb_base=77.0, rotary_pct=0.5)),
    "gpt-neox-yarn": ("GPTNeoX", NEOX | dict(use_parallel_residual=False,
                                             rope_parameters=dict(rope_type="yarn", factor=4.0, rope_theta=1e3, partial_rotary_factor=0.5,
                                                                  original_max_position_embeddings=6))),
    "phi-qk-norm": ("Phi", GROUPED | dict(qk_layernorm=True, tie_word_embeddings=True)),
    "phi-head-dim": ("Phi", ROPE | dict(head_dim=16, rope_parameters=dict(rope_type="llama3", factor=4.0, rope_theta=1e3, low_freq_factor=1.0,
                                                                          high_freq_factor=4.0, original_max_position_embeddings=16,
                                                                          partial_rotary_factor=0.75))),
}


def make(name):
    family, fields = CHECKPOINTS[name]
    config = getattr(transformers, family + "Config")(**fields)
    config._attn_implementation = "eager"
    model = getattr(transformers, family + "ForCausalLM")(config).eval()
    random = torch.Generator().manual_seed(sum(map(ord, name)))
    with torch.no_grad():
        for weight_name, p in model.named_parameters():
            x = torch.randn(p.shape, generator=random)
            p.copy_(x * 1.5 / p.shape[-1] ** 0.5 if p.dim() > 1 else 0.3 * x + weight_name.endswith("weight"))
    folder = os.path.join(ROOT, name)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    os.remove(os.path.join(folder, "generation_config.json"))
    ids = [[(7 * i * i + 3 * i + 5) % config.vocab_size for i in range(TOKENS)]]
    with torch.no_grad():
        logits = model(torch.tensor(ids)).logits
        exact = copy.deepcopy(model).double()(torch.tensor(ids)).logits.float()
    floor, scale = (logits - exact).abs().max().item(), exact.abs().max().item()
    golden = {"format": "godwit-golden-1", "name": name, "kind": "causal", "model_type": config.model_type,
              "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
              "cases": [{"name": "p19", "input_ids": ids, "attention_mask": [[1] * TOKENS], "outputs": {"logits": {
                  "tensor": "p19.logits", "shape": list(logits.shape), "floor": floor, "scale": scale,
                  "tol": max(10 * floor, 1e-4 * scale), "tol_strict": max(10 * floor, 1e-6 * scale)}}}], "generate": []}
    with open(os.path.join(folder, "golden.json"), "w", encoding="utf-8") as f:
        json.dump(golden, f, indent=1)
    save_file({"p19.logits": logits.contiguous()}, os.path.join(folder, "golden.safetensors"))
    print(f"{name}: floor {floor:.1e}, scale {scale:.1f}")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    for wanted in sys.argv[1:] or CHECKPOINTS:
        make(wanted)
