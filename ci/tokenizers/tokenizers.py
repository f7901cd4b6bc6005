"""Tokenizes documents with Hugging Face tokenizers, on request: the other side of main.go.

usage: tokenizers.py TOKENIZER_JSON DOCUMENTS_JSON
For every line on standard input all documents are tokenized once, into ids only, and one line
{"seconds": …, "ids": …} is written.
"""
import json
import os
import sys
import time

sys.path.pop(0)  # this file has the library's name
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import tokenizers  # noqa: E402

tokenizer = tokenizers.Tokenizer.from_file(sys.argv[1])
tokenizer.no_truncation()
tokenizer.no_padding()
with open(sys.argv[2], encoding="utf-8") as f:
    documents = json.load(f)

print(json.dumps({"version": tokenizers.__version__}), flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    encodings = tokenizer.encode_batch_fast(documents, add_special_tokens=False)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "ids": sum(map(len, encodings))}), flush=True)
    del encodings
