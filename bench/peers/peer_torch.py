"""PyTorch: encoders through transformers in f32 and bf16, and single-precision matrix products."""
import time

import torch

from encoders import Works
from serve import THREADS, chosen, median, serve

torch.set_num_threads(THREADS)
torch.set_num_interop_threads(1)

# How the module runs: as it is, with scaled-dot-product attention; with attention written out; traced and frozen, weights laid
# out by oneDNN beforehand; compiled by inductor with frozen weights (g++ and a minute at first use).
HOW = ("sdpa", "eager", "frozen", "compiled")
SETTINGS = {"%s-%s" % (t, h): (t, h) for t in ("f32", "bf16") for h in HOW}
# Which library multiplies: MKL as torch.mm calls it; the same with the weight stored [n, k], as a linear layer has it; MKL with
# the weight packed beforehand; oneDNN with the weight packed beforehand.
PRODUCTS = ("mm", "linear", "mkl-packed", "onednn-packed")


class Hidden(torch.nn.Module):
    """The last hidden state alone, from ids and mask."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids, mask):
        return self.model(input_ids=ids, attention_mask=mask)[0]


def encoder(folder, setting):
    from transformers import AutoModel
    kind, how = SETTINGS[setting]
    model = AutoModel.from_pretrained(folder, attn_implementation="sdpa" if how in ("sdpa", "compiled") else "eager",
                                      dtype=torch.bfloat16 if kind == "bf16" else torch.float32).eval()
    run = Hidden(model).eval()
    example = (torch.ones(2, 16, dtype=torch.long), torch.ones(2, 16, dtype=torch.long))
    with torch.inference_mode():
        if how == "frozen":
            model.config.return_dict = False
            run = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(run, example, check_trace=False)))
        if how == "compiled":
            import torch._inductor.config as inductor
            inductor.freezing = True
            run = torch.compile(run, dynamic=True)

    def f(ids, mask):
        with torch.inference_mode():
            return run(torch.from_numpy(ids), torch.from_numpy(mask)).float().numpy()

    return f


def product(q):
    """GFLOP/s of [m, k] × [k, n] in f32, 2·m·k·n operations; the weight is the right one and is used again and again."""
    m, k, n = int(q["m"]), int(q["k"]), int(q["n"])
    s = chosen(q, PRODUCTS)
    g = torch.Generator().manual_seed(1)
    x, w = torch.randn(m, k, generator=g), torch.randn(n, k, generator=g)
    if s == "mm":
        y, right = torch.empty(m, n), w.t().contiguous()
        f = lambda: torch.mm(x, right, out=y)
    elif s == "linear":
        f = lambda: torch.nn.functional.linear(x, w)
    elif s == "mkl-packed":
        packed = torch.ops.mkl._mkl_reorder_linear_weight(w, m)
        f = lambda: torch.ops.mkl._mkl_linear(x, packed, w, None, m)
    else:
        packed = torch.ops.mkldnn._reorder_linear_weight(w, m)
        f = lambda: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
    with torch.inference_mode():
        off = float((f() - x @ w.t()).abs().max())
        if not off < 1e-3 * k:
            raise ValueError("%s is %g away from the plain product" % (s, off))
        calls = 1
        while True:  # Warm-up, and how many calls make 50 ms.
            t = time.perf_counter()
            for _ in range(calls):
                f()
            t = time.perf_counter() - t
            if t > 0.05:
                break
            calls *= 2
        seconds = []
        for _ in range(9):
            t = time.perf_counter()
            for _ in range(calls):
                f()
            seconds.append((time.perf_counter() - t) / calls)
    return {"gflops": 2e-9 * m * k * n / median(seconds), "best": 2e-9 * m * k * n / min(seconds), "calls": 9 * calls}


works = Works("torch", SETTINGS, encoder)
rows = [{"work": w, "type": t, "settings": [s for s in SETTINGS if s.startswith(t)]}
        for w in ("embed", "sentence") for t in ("f32", "bf16")]
rows.append({"work": "sgemm", "type": "f32", "settings": list(PRODUCTS)})
serve("torch", torch.__version__, rows, {"embed": works.embed, "sentence": works.sentence, "sgemm": product})
