"""checkpoints.py [FIXTURES] copies into model/testdata what the tests of a fresh clone need of the fixtures.

Of golden.safetensors the float64 copies (*.f64) are left out, which no test reads; of LEAN checkpoints the large logits
too, whose heads the small case shows. Standard library only.
"""
import json
import os
import shutil
import struct
import sys

CHECKPOINTS = ("gpt2", "gpt2-scale", "llama", "llama-linear", "llama-rope3", "llama-yarn", "bert-base", "bert-mlm",
               "bert-pretrain", "bert-qa", "bert-seqcls", "bert-tokcls", "t5", "t5-v11", "mt5")
LEAN = ("roberta-mlm", "roberta-pad", "roberta-seqcls", "xlm-roberta-mlm", "distilbert-mlm", "electra-mlm",
        "deberta-v2-mlm", "modernbert-mlm", "bart",
        "gpt-neo", "opt-postln", "gptj", "codegen", "gpt-bigcode-mha", "starcoder2", "bloomberg", "palm-interleaved",
        "falcon-new", "falcon-alibi12", "gpt-neox", "phi",
        "mistral", "mixtral", "qwen2", "qwen3", "qwen3-moe", "qwen3-moe-raw", "gemma", "gemma2", "gemma3", "phi3", "phi3-longrope")
LARGE = ("p70.logits", "p300.logits", "batch.logits")  # of LEAN checkpoints: left out, their last_hidden stays
FILES = ("config.json", "config.v4.json", "model.safetensors", "generation_config.json", "tokenizer.json",
         "tokenizer.model", "spiece.model", "tokenizer_config.json", "golden.json", "e2e.json")
GGUF = ("llama-Q4_0.gguf", "gpt2-Q8_0.gguf")


def without(source, target, dropped):
    """Copy a safetensors file less the tensors whose names end in .f64 and those dropped."""
    with open(source, "rb") as f:
        size, = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(size))
        data = f.read()
    kept, at, parts = {}, 0, []
    for name, info in sorted(header.items(), key=lambda kv: kv[1].get("data_offsets", [0])[0]):
        if name.endswith(".f64") or name == "__metadata__" or name in dropped:
            continue
        lo, hi = info["data_offsets"]
        kept[name] = info | {"data_offsets": [at, at + hi - lo]}
        at += hi - lo
        parts.append(data[lo:hi])
    text = json.dumps(kept, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the data begin aligned
    with open(target, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


def without_outputs(source, target, dropped):
    """Copy golden.json less the outputs whose tensors are dropped."""
    with open(source, encoding="utf-8") as f:
        golden = json.load(f)
    for case in golden["cases"]:
        case["outputs"] = {k: v for k, v in case["outputs"].items() if v["tensor"] not in dropped}
    with open(target, "w", encoding="utf-8") as f:
        json.dump(golden, f, separators=(",", ":"))


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    fixtures = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(root), "shared", "fixtures")
    testdata = os.path.join(root, "model", "testdata")
    for name in CHECKPOINTS + LEAN:
        dropped = LARGE if name in LEAN else ()
        source, target = os.path.join(fixtures, name), os.path.join(testdata, "checkpoints", name)
        os.makedirs(target, exist_ok=True)
        for file in FILES:
            if os.path.exists(os.path.join(source, file)):
                shutil.copyfile(os.path.join(source, file), os.path.join(target, file))
        if dropped:
            without_outputs(os.path.join(source, "golden.json"), os.path.join(target, "golden.json"), dropped)
        without(os.path.join(source, "golden.safetensors"), os.path.join(target, "golden.safetensors"), dropped)
    source, target = os.path.join(fixtures, "gguf", "models"), os.path.join(testdata, "gguf")
    os.makedirs(target, exist_ok=True)
    for name in GGUF:
        for end in ("", ".golden.json", ".golden.safetensors"):
            shutil.copyfile(os.path.join(source, name + end), os.path.join(target, name + end))
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(testdata) for f in files)
    print(f"{testdata}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
