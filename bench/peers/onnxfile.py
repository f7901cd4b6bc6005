"""The ONNX export of an encoder folder, made once by torch's own environment.

onnxfile.py --folder MODEL prints a folder as hugot wants it: model.onnx with three inputs, beside the tokenizer's files.
"""
import argparse
import os
import shutil
import subprocess

from serve import CACHE, made, scratch, stamp


def exported(folder, two=True):
    """Path of the export: inputs input_ids and attention_mask (token_type_ids too, unless two), output last_hidden_state."""
    name = "%s.%s.%s.onnx" % (os.path.basename(os.path.normpath(folder)), stamp(os.path.join(folder, "model.safetensors")),
                              "two" if two else "three")
    return made(scratch("onnx", name), lambda part: with_torch("export_minilm.py", folder, part, *(["--two"] if two else [])))


def fused(folder):
    """Path of the export as onnxruntime's own optimiser leaves it."""
    path = exported(folder)
    return made(path[: -len(".onnx")] + ".fused.onnx", lambda part: with_torch("fuse.py", folder, path, part))


def with_torch(script, *arguments):
    """Runs a script of this folder in the torch peer's environment."""
    here = os.path.dirname(os.path.abspath(__file__))
    subprocess.run([os.path.join(CACHE, "torch", "bin", "python"), os.path.join(here, script), *arguments], check=True, stdout=2)


TOKENIZER_FILES = ("tokenizer.json", "config.json", "special_tokens_map.json", "tokenizer_config.json", "vocab.txt")


def exported_folder(folder):
    """The export in a folder of its own, with the tokenizer's files."""
    path = exported(folder, two=False)
    out = path[: -len(".onnx")]
    os.makedirs(out, exist_ok=True)
    for f in TOKENIZER_FILES:
        if os.path.exists(os.path.join(folder, f)):
            shutil.copy(os.path.join(folder, f), out)
    made(os.path.join(out, "model.onnx"), lambda part: os.link(path, part))
    return out


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--folder", required=True)
    print(exported_folder(p.parse_args().folder), end="")
