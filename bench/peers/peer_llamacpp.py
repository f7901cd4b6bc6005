"""llama.cpp through the C API that llama-cpp-python exposes: prefill, decode, and prepare, which makes a file in another type."""
import ctypes
import os
import random
import re
import time

import llama_cpp as L

from serve import THREADS, chosen, made, scratch, serve, stamp

# flash: flash attention; ubatch: tokens of one graph; weights: "best" lets llama.cpp choose among its layouts (AMX tiles,
# repacked, as in the file), "repack" forces the repacked AVX one for the blocks' matrices, "file" leaves them as they are.
SETTINGS = {
    "fa": dict(flash=1, ubatch=512, weights="best"),
    "nofa": dict(flash=0, ubatch=512, weights="best"),
    "fa-ub128": dict(flash=1, ubatch=128, weights="best"),
    "fa-repack": dict(flash=1, ubatch=512, weights="repack"),
    "nofa-repack": dict(flash=0, ubatch=512, weights="repack"),
    "fa-file": dict(flash=1, ubatch=512, weights="file"),
    "nofa-file": dict(flash=0, ubatch=512, weights="file"),
}
FILE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "bf16": 32}  # enum llama_ftype
BLOCK_MATRICES = rb"blk\.\d+\.(attn_(q|k|v|output)|ffn_(gate|up|down))\.weight"

log = []


@L.llama_log_callback
def keep_log(level, text, _):
    log.append(text.decode("utf-8", "replace"))
    del log[:-4000]


class Override(ctypes.Structure):
    _fields_ = [("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p)]


def repack_overrides():
    """Tells the loader to put the blocks' matrices into the repacked layout."""
    # By the name that libllama wants: a wheel has copies for links, and a second copy would have other buffer types.
    cpu = ctypes.CDLL(os.path.join(os.path.dirname(L.__file__), "lib", "libggml-cpu.so.0"))
    make = cpu["_Z35ggml_backend_cpu_repack_buffer_typev"]
    make.restype = ctypes.c_void_p
    return (Override * 2)(Override(BLOCK_MATRICES, make()), Override(None, None))


models, contexts, warmed = {}, {}, set()


def model(path, weights):
    key = (path, weights)
    if key not in models:
        p = L.llama_model_default_params()
        p.n_gpu_layers = 0
        if weights == "file":
            p.use_extra_bufts = False
        if weights == "repack":
            keep = repack_overrides()
            p.tensor_buft_overrides = ctypes.cast(keep, ctypes.c_void_p)
            # The loader checks nothing here: a type without a repacked layout would end the process.
            if not repackable(path):
                raise ValueError("%s: its type has no repacked layout" % os.path.basename(path))
        m = L.llama_model_load_from_file(path.encode(), p)
        if not m:
            raise ValueError("llama.cpp cannot load %s: %s" % (path, "".join(log[-3:]).strip()))
        models[key] = m
    return models[key]


def repackable(path):
    """Whether the blocks' matrices are of a type for which ggml has a repacked layout on this processor's AVX path.

    Of the types used here only Q4_0 has one on x86.
    """
    return file_type(path) == FILE_TYPES["q4_0"]


def file_type(path):
    """general.file_type of the GGUF."""
    p = L.llama_model_default_params()
    p.vocab_only = True
    m = L.llama_model_load_from_file(path.encode(), p)
    if not m:
        raise ValueError("llama.cpp cannot read %s" % path)
    b = ctypes.create_string_buffer(64)
    n = L.llama_model_meta_val_str(m, b"general.file_type", b, 64)
    L.llama_model_free(m)
    return int(b.value) if n > 0 else -1


def context(path, s, need):
    """A context of s with room for need tokens; a larger one replaces a smaller one."""
    o = SETTINGS[s]
    key = (path, s)
    if key in contexts and contexts[key][1] < need:
        L.llama_free(contexts.pop(key)[0])
    if key not in contexts:
        c = L.llama_context_default_params()
        size = 1024
        while size < need:
            size *= 2
        c.n_ctx, c.n_batch, c.n_ubatch, c.n_seq_max = size, 2048, o["ubatch"], 1
        c.n_threads = c.n_threads_batch = THREADS
        c.flash_attn_type = o["flash"]
        c.no_perf = True
        ctx = L.llama_init_from_model(model(path, o["weights"]), c)
        if not ctx:
            raise ValueError("llama.cpp makes no context for %s: %s" % (path, "".join(log[-3:]).strip()))
        contexts[key] = (ctx, size, L.llama_batch_init(2048, 0, 1))
    return contexts[key][0], contexts[key][2]


def fill(ctx, b, ids, start=0):
    """Puts ids into the context, logits of the last only, and waits for them."""
    for o in range(0, len(ids), 2048):
        part = ids[o : o + 2048]
        for i, t in enumerate(part):
            b.token[i], b.pos[i], b.n_seq_id[i], b.seq_id[i][0] = t, start + o + i, 1, 0
            b.logits[i] = o + i == len(ids) - 1
        b.n_tokens = len(part)
        if L.llama_decode(ctx, b):
            raise ValueError("llama_decode failed")
    L.llama_synchronize(ctx)


def clear(ctx):
    L.llama_memory_clear(L.llama_get_memory(ctx), True)


def tokens(n, vocab, seed=1):
    """Seeded ids, as llama-bench's random ones."""
    r = random.Random(seed)
    return [r.randrange(1000, min(40000, vocab)) for _ in range(n)]


def start(q, need):
    path, s = q["model"], chosen(q, SETTINGS)
    ctx, b = context(path, s, need)
    vocab = L.llama_vocab_n_tokens(L.llama_model_get_vocab(L.llama_get_model(ctx)))
    clear(ctx)
    return ctx, b, vocab, (path, s)


def prefill(q):
    """Tokens a second of a prompt of that many tokens into an empty context, up to the logits of its last."""
    n = int(q.get("tokens", 512))
    ctx, b, vocab, key = start(q, n)
    ids = tokens(n, vocab)
    fill(ctx, b, ids if key + (n,) not in warmed else ids[:64])
    warmed.add(key + (n,))
    clear(ctx)
    t = time.perf_counter()
    fill(ctx, b, ids)
    seconds = time.perf_counter() - t
    return {"tok_s": n / seconds, "seconds": seconds, "tokens": n}


def decode(q):
    """Tokens a second, one by one, with depth tokens in the context before; which tokens come next is given, as in llama-bench."""
    depth, n = int(q.get("depth", 64)), int(q.get("tokens", 64))
    ctx, b, vocab, _ = start(q, depth + n + 4)
    if depth:
        fill(ctx, b, tokens(depth, vocab))
    ids = tokens(n + 4, vocab, seed=2)
    for i in range(4):  # The one-token graph is planned at its first use.
        fill(ctx, b, ids[n + i : n + i + 1], depth + i)
    L.llama_memory_seq_rm(L.llama_get_memory(ctx), 0, depth, -1)
    t = time.perf_counter()
    for i in range(n):
        fill(ctx, b, ids[i : i + 1], depth + i)
    seconds = time.perf_counter() - t
    return {"tok_s": n / seconds, "seconds": seconds, "depth": depth, "tokens": n}


def prepare(q):
    """The file of q["model"] in q["type"], made once in the cache by llama.cpp's own quantiser."""
    source, kind = q["model"], q["type"].lower()
    if kind not in FILE_TYPES:
        raise ValueError("no type %r: there are %s" % (kind, ", ".join(FILE_TYPES)))
    base = re.sub(r"(?i)[.-](q\d_\w+|b?f16|f32)$", "", os.path.splitext(os.path.basename(source))[0])
    path = scratch("models", "%s.%s.%s.gguf" % (base, stamp(source), kind))

    def make(part):
        p = L.llama_model_quantize_default_params()
        p.nthread, p.ftype, p.allow_requantize = THREADS, FILE_TYPES[kind], True
        if L.llama_model_quantize(source.encode(), part.encode(), ctypes.byref(p)):
            raise ValueError("llama.cpp cannot make %s of %s: %s" % (kind, source, "".join(log[-3:]).strip()))

    return {"path": made(path, make), "bytes": os.path.getsize(path)}


def describe(q):
    """Where the weights of a setting went: the loader's own lines about buffers."""
    del log[:]
    s = chosen(q, SETTINGS)
    m = models.pop((q["model"], SETTINGS[s]["weights"]), None)
    if m:
        for key in [k for k in contexts if k[0] == q["model"] and SETTINGS[k[1]]["weights"] == SETTINGS[s]["weights"]]:
            L.llama_free(contexts.pop(key)[0])
        L.llama_model_free(m)
    model(q["model"], SETTINGS[s]["weights"])
    lines = "".join(log).splitlines()
    return {"buffers": [x.strip() for x in lines if "buffer size" in x], "types": [x.strip() for x in lines if "- type" in x],
            "system": L.llama_print_system_info().decode()}


def main():
    L.llama_log_set(keep_log, ctypes.c_void_p(0))
    L.llama_backend_init()
    rows = [{"work": w, "type": "any", "settings": list(SETTINGS)} for w in ("prefill", "decode")]
    serve("llama.cpp", "llama-cpp-python %s" % L.__version__, rows,
          {"prefill": prefill, "decode": decode, "prepare": prepare, "describe": describe})


main()
