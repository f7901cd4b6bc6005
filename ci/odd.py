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
MOE = GROUPED | dict(moe_intermediate_size=13, num_experts=5, num_experts_per_tok=2, head_dim=6)
GEMMA = GROUPED | dict(head_dim=6)
LONG = dict(rope_type="longrope", rope_theta=500.0, short_factor=[1.0, 1.2], long_factor=[1.5, 3.0])
FULL, SLIDING = "full_attention", "sliding_attention"

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
    "llama-dynamic": ("Llama", GROUPED | dict(attention_bias=True, mlp_bias=True, head_dim=10, hidden_act="gelu", tie_word_embeddings=True,
                                              rope_parameters=dict(rope_type="dynamic", factor=3.0, rope_theta=100.0))),
    "llama-longrope": ("Llama", GROUPED | dict(rope_parameters=LONG | dict(original_max_position_embeddings=7, factor=9.0))),
    "llama-longrope-short": ("Llama", GROUPED | dict(rope_parameters=LONG | dict(original_max_position_embeddings=19, attention_factor=1.5))),
    "llama-yarn-fields": ("Llama", GROUPED | dict(head_dim=10, rope_parameters=dict(
        rope_type="yarn", factor=4.0, rope_theta=1e3, original_max_position_embeddings=6, beta_fast=16, beta_slow=2, attention_factor=0.75, truncate=False))),
    "mistral-no-window": ("Mistral", GROUPED | dict(sliding_window=None, head_dim=10, tie_word_embeddings=True)),
    "mixtral-window": ("Mixtral", GROUPED | dict(sliding_window=5, num_local_experts=5, num_experts_per_tok=3, head_dim=6, hidden_act="gelu")),
    "qwen2-window": ("Qwen2", GROUPED | dict(num_hidden_layers=3, use_sliding_window=True, sliding_window=5, max_window_layers=1)),
    "qwen2-types": ("Qwen2", GROUPED | dict(use_sliding_window=True, sliding_window=5, layer_types=[SLIDING, FULL], head_dim=4)),
    "qwen3-bias": ("Qwen3", GROUPED | dict(attention_bias=True, head_dim=6, use_sliding_window=True, sliding_window=5, max_window_layers=1)),
    "qwen3-moe-dense": ("Qwen3Moe", MOE | dict(num_hidden_layers=3, mlp_only_layers=[2], norm_topk_prob=True, attention_bias=True)),
    "qwen3-moe-step": ("Qwen3Moe", MOE | dict(decoder_sparse_step=2, use_sliding_window=True, sliding_window=5)),
    "gemma-untied": ("Gemma", GEMMA | dict(attention_bias=True, hidden_act="relu", tie_word_embeddings=False, rms_norm_eps=1e-2)),
    "gemma2-no-caps": ("Gemma2", GEMMA | dict(query_pre_attn_scalar=9, sliding_window=5, attn_logit_softcapping=None, final_logit_softcapping=None,
                                              hidden_activation="gelu", attention_bias=True, layer_types=[FULL, SLIDING])),
    "gemma2-caps": ("Gemma2", GEMMA | dict(query_pre_attn_scalar=30, sliding_window=5, attn_logit_softcapping=2.0, final_logit_softcapping=3.0)),
    "gemma3-cap": ("Gemma3", GEMMA | dict(num_hidden_layers=3, query_pre_attn_scalar=9, sliding_window=5, final_logit_softcapping=3.0,
                                          attn_logit_softcapping=1.0, layer_types=[SLIDING, FULL, SLIDING], rope_parameters={
                                              FULL: dict(rope_type="yarn", factor=4.0, rope_theta=1e3, original_max_position_embeddings=6),
                                              SLIDING: dict(rope_type="linear", factor=2.0, rope_theta=50.0)})),
    "phi3-partial": ("Phi3", GROUPED | dict(hidden_size=48, pad_token_id=0, tie_word_embeddings=True, sliding_window=5, original_max_position_embeddings=7,
                                            rope_parameters=LONG | dict(partial_rotary_factor=0.5))),
}


def make(name):
    family, fields = CHECKPOINTS[name]
    config = getattr(transformers, family + ("TextConfig" if family == "Gemma3" else "Config"))(**fields)
    config._attn_implementation = config._experts_implementation = "eager"
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
