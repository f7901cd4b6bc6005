"""smoke.py ROOT MODELS WORK holds the command godwit (WORK/bin/godwit) against PyTorch's results. Use ci/smoke.sh.

Expected values are those of the fixtures ($FIXTURES, ../shared/fixtures) where they are, else their excerpt in
ci/testdata/smoke.json, which `smoke.py ROOT --excerpt` writes. Standard library only.
"""
import base64
import json
import math
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import time

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
LIMIT = 120  # seconds for one command: a hang must not eat the run


# --- expected values ---------------------------------------------------------------------------------------------------------

def read_safetensors(path):
    """Gives name → (shape, tuple of numbers) of the F32 tensors of a file."""
    with open(path, "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(n))
        data = f.read()
    out = {}
    for name, t in header.items():
        if name != "__metadata__" and t["dtype"] == "F32":
            a, b = t["data_offsets"]
            out[name] = (t["shape"], struct.unpack(f"<{(b - a) // 4}f", data[a:b]))
    return out


def excerpt(fixtures):
    """Takes from the fixtures what is compared below."""
    def load(*name):
        with open(os.path.join(fixtures, *name), encoding="utf-8") as f:
            return json.load(f)
    smol, mini = load("real", "smollm2.json"), load("real", "minilm.json")
    shape, values = read_safetensors(os.path.join(fixtures, "real", "minilm.safetensors"))[mini["embeddings"]["tensor"]]
    rows = [list(values[i * shape[1]:(i + 1) * shape[1]]) for i in range(shape[0])]
    generate = []
    for g in smol["generate"]:
        e = {"name": g["name"], "input_ids": g["input_ids"][0], "output_ids": g["output_ids"][0], "max_new_tokens": g["max_new_tokens"]}
        if "chat" in g:
            e["messages"] = smol["chats"][g["chat"]]["messages"]
        generate.append(e)
    masks = [{"text": r["text"], "ids": r["fill_mask"]["top5_ids"], "probs": r["fill_mask"]["top5_probs"]}
             for r in load("bert-mlm", "e2e.json")["rows"] if "fill_mask" in r]
    golden = load("bert-seqcls", "golden.json")
    tensors = read_safetensors(os.path.join(fixtures, "bert-seqcls", "golden.safetensors"))
    logits = []
    for c in golden["cases"]:
        # What a line of text can say: one segment, nothing padded, no special tokens.
        if len(c["input_ids"]) == 1 and not any(map(any, c.get("token_type_ids", []))) and min(c["input_ids"][0]) > 4:
            logits.append({"ids": c["input_ids"][0], "logits": tensors[c["outputs"]["logits"]["tensor"]][1]})
    return {
        "generate": generate,
        "embed": {"tol": mini["embeddings"]["tol"], "rows": [{"text": r["text"], "input_ids": r["input_ids"], "vector": v} for r, v in zip(mini["rows"], rows)]},
        "fill_mask": masks,
        "classify": logits,
    }


def pack(v):
    return base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode()


def expected(root):
    fixtures = os.environ.get("FIXTURES") or os.path.join(os.path.dirname(root), "shared", "fixtures")
    if os.path.exists(os.path.join(fixtures, "real", "smollm2.json")):
        print(f"expected values: {fixtures}")
        return excerpt(fixtures), fixtures
    path = os.path.join(root, "ci", "testdata", "smoke.json")
    print(f"expected values: {path} (there are no fixtures at {fixtures})")
    with open(path, encoding="utf-8") as f:
        e = json.load(f)
    for row in e["embed"]["rows"]:
        raw = base64.b64decode(row["vector"])
        row["vector"] = struct.unpack(f"<{len(raw) // 4}f", raw)
    return e, None


def write_excerpt(root):
    e, fixtures = expected(root)
    if fixtures is None:
        sys.exit("smoke.py: an excerpt is taken from fixtures, and there are none")
    e["embed"]["rows"] = [r for i, r in enumerate(e["embed"]["rows"]) if i % 6 == 0 or not r["text"].strip() or "\n" in r["text"]]
    for row in e["embed"]["rows"]:
        row["vector"] = pack(row["vector"])
    path = os.path.join(root, "ci", "testdata", "smoke.json")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write("{\n" + ",\n".join(f' "{k}": {json.dumps(v, ensure_ascii=False)}' for k, v in e.items()) + "\n}\n")
    print(f"wrote {path}: {os.path.getsize(path)} bytes")


# --- the models --------------------------------------------------------------------------------------------------------------

def gguf_tokens(path):
    """Reads tokenizer.ggml.tokens of a GGUF file: a reader of its own, so that prompts do not come from what is tried."""
    sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
    with open(path, "rb") as f:
        def u32(): return struct.unpack("<I", f.read(4))[0]
        def u64(): return struct.unpack("<Q", f.read(8))[0]
        def text(): return f.read(u64())

        def value(kind):
            if kind == 8:
                return text()
            if kind == 9:
                inner, n = u32(), u64()
                return [value(inner) for _ in range(n)] if inner == 8 else f.read(n * sizes[inner])
            return f.read(sizes[kind])
        assert f.read(4) == b"GGUF"
        u32(), u64()
        for _ in range(u64()):
            key = text()
            v = value(u32())
            if key == b"tokenizer.ggml.tokens":
                return [t.decode("utf-8") for t in v]
    sys.exit(f"{path}: no tokenizer.ggml.tokens")


def byte_level_decoder():
    """The alphabet of byte-level BPE (GPT-2's encoder.py): printable bytes stand for themselves, the others follow from U+0100."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table, n = {chr(b): b for b in plain}, 0
    for b in range(256):
        if b not in plain:
            table[chr(0x100 + n)] = b
            n += 1
    return table


def checkpoint(root, fixtures, name):
    """A tiny checkpoint: of the fixtures, else the copy that the tests use."""
    places = ([os.path.join(fixtures, name)] if fixtures else []) + [
        os.path.join(root, where, "testdata", *below, name) for where in (".", "model") for below in (["checkpoints"], [])]
    for p in places:
        if os.path.exists(os.path.join(p, "model.safetensors")):
            return p
    sys.exit(f"smoke.py: no checkpoint {name}; looked in {', '.join(places)}")


def classifier(source, dest):
    """Makes a directory of the sequence classifier with a vocabulary of 256 words: w5 is token 5, and so on."""
    os.makedirs(dest)
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(os.path.join(source, name), os.path.join(dest, name))
        os.chmod(os.path.join(dest, name), 0o644)
    special = ["[PAD]", "[UNK]", "[CLS]", "[MASK]", "[SEP]"]
    vocab = {w: i for i, w in enumerate(special + [f"w{i}" for i in range(5, 256)])}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": w, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
                         for i, w in enumerate(special)],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab},
    }
    with open(os.path.join(dest, "tokenizer.json"), "w", encoding="utf-8") as f:
        json.dump(tokenizer, f)
    with open(os.path.join(dest, "tokenizer_config.json"), "w", encoding="utf-8") as f:
        json.dump({"tokenizer_class": "BertTokenizer", "mask_token": "[MASK]", "pad_token": "[PAD]", "unk_token": "[UNK]"}, f)
    return dest


def hub_cache(cache, models):
    """Lays models out as the Hugging Face cache does, so that -m owner/name finds them."""
    for name, source in models.items():
        repo = os.path.join(cache, "models--" + name.replace("/", "--"))
        commit = "0123456789abcdef0123456789abcdef01234567"
        os.makedirs(os.path.join(repo, "refs"))
        with open(os.path.join(repo, "refs", "main"), "w", encoding="utf-8") as f:
            f.write(commit)
        snapshot = os.path.join(repo, "snapshots", commit)
        if os.path.isdir(source):
            os.makedirs(os.path.dirname(snapshot))
            os.symlink(source, snapshot)
        else:
            os.makedirs(snapshot)
            os.symlink(source, os.path.join(snapshot, os.path.basename(source)))


# --- running and checking ----------------------------------------------------------------------------------------------------

class Smoke:
    def __init__(self, work, env):
        self.bin, self.env, self.work = os.path.join(work, "bin", "godwit"), env, work
        self.passed, self.failed = 0, []

    def check(self, what, good, detail=""):
        if good:
            self.passed += 1
            print(f"  ok    {what}")
        else:
            self.failed.append(what)
            print(f"  FAIL  {what}" + (f": {detail}" if detail else ""))
        return good

    def run(self, *args, stdin=b"", env=None):
        """Runs godwit and gives status, stdout, stderr. A hang or a panic is a status no test expects."""
        try:
            p = subprocess.run([self.bin, *args], input=stdin, capture_output=True, timeout=LIMIT, env=self.env | (env or {}), cwd=self.work)
        except subprocess.TimeoutExpired as e:
            return -1, e.stdout or b"", b"no answer within %d s" % LIMIT
        status = -2 if b"\ngoroutine " in p.stderr else p.returncode
        return status, p.stdout, p.stderr

    def expect(self, what, status, *args, **kw):
        """Runs and checks the exit status; gives stdout and stderr as text."""
        got, out, err = self.run(*args, **kw)
        self.check(f"{what}: status {status}", got == status, f"got {got}, stderr: {err.decode('utf-8', 'replace')[-600:]}")
        return out.decode("utf-8", "replace"), err.decode("utf-8", "replace")

    def json(self, what, *args, **kw):
        """Runs with --json and gives its lines, parsed; [] if that fails."""
        out, _ = self.expect(what, 0, *args, "--json", **kw)
        try:
            return [json.loads(line) for line in out.splitlines()]
        except ValueError as e:
            self.check(f"{what}: one JSON object a line", False, f"{e}: {out[:300]}")
            return []


def readme_commands(root):
    """Every godwit command of the README's sh blocks, joined at backslashes."""
    with open(os.path.join(root, "README.md"), encoding="utf-8") as f:
        blocks = re.findall(r"^```sh\n(.*?)^```$", f.read(), re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if re.match(r"(\S.*\| *)?godwit ", line)]


def close(a, b, tol):
    return len(a) == len(b) and all(abs(x - y) <= tol for x, y in zip(a, b))


def readme(s, root):
    print("the commands of the README")
    commands = readme_commands(root)
    seen = {re.search(r"godwit (\S+)", c).group(1) for c in commands}
    want = {"generate", "score", "embed", "fill-mask", "classify", "answer", "entities", "attend", "tokenize", "inspect", "bench", "quality", "models", "devices", "ptx", "version"}
    s.check("the README shows every command", seen == want, f"missing {sorted(want - seen)}, unknown {sorted(seen - want)}")
    for command in commands:
        try:
            p = subprocess.run(["bash", "-o", "pipefail", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, env=s.env, cwd=s.work)
            s.check(f"$ {command}", p.returncode == 0 and p.stdout.strip(), f"status {p.returncode}, stdout {p.stdout[-200:]}, stderr {p.stderr[-400:]}")
        except subprocess.TimeoutExpired:
            s.check(f"$ {command}", False, f"no answer within {LIMIT} s")


def generate(s, e, gguf):
    print("generate, against PyTorch's greedy ids")
    tokens, table = gguf_tokens(gguf), byte_level_decoder()

    def decode(ids):
        return bytes(table[c] for i in ids for c in tokens[i]).decode("utf-8")
    for g in e["generate"]:
        args = ["generate", "-m", gguf, "--temp", "0", "--dtype", "f32", "-n", str(g["max_new_tokens"])]
        roles = [m["role"] for m in g.get("messages", [])]
        if not roles:
            args += ["-p", decode(g["input_ids"])]
        elif roles == ["user"]:
            args += ["--chat", "-p", g["messages"][0]["content"]]
        elif roles == ["system", "user"]:
            args += ["--system", g["messages"][0]["content"], "-p", g["messages"][1]["content"]]
        else:
            continue  # several turns: a matter of the Go API's Messages
        rows = s.json(f"{g['name']}", *args)
        if not rows:
            continue
        choice, usage = rows[0]["choices"][0], rows[0]["usage"]
        s.check(f"{g['name']}: ids", choice["ids"] == g["output_ids"], f"got {choice['ids']}, want {g['output_ids']}")
        stopped = len(g["output_ids"]) < g["max_new_tokens"]
        s.check(f"{g['name']}: finish", choice["finish"] == ("stop" if stopped else "length"), choice["finish"])
        s.check(f"{g['name']}: usage", usage["prompt_tokens"] == len(g["input_ids"]) and usage["output_tokens"] == len(g["output_ids"]), usage)
        shown = g["output_ids"][:-1] if stopped else g["output_ids"]
        s.check(f"{g['name']}: text", choice["text"] == decode(shown), f"got {choice['text']!r}, want {decode(shown)!r}")
    prompt = next(decode(g["input_ids"]) for g in e["generate"] if "messages" not in g)
    out, err = s.expect("text on standard output", 0, "generate", "-m", gguf, "-n", "8", stdin=prompt.encode())
    want = next(decode(g["output_ids"][:8]) for g in e["generate"] if "messages" not in g)
    s.check("standard input is a prompt; stdout has the text alone", out.rstrip("\n") == want.rstrip("\n"), f"got {out!r}, want {want!r}")
    s.check("tokens a second on stderr", re.search(r"tok(en)?s?/s", err) is not None, err[-300:])
    path = os.path.join(s.work, "prompt.txt")
    with open(path, "w", encoding="utf-8") as f:
        f.write(prompt)
    from_file, err = s.expect("-f and -q", 0, "generate", "-q", "-m", gguf, "-n", "8", "-f", path)
    s.check("-f reads the same prompt", from_file == out, f"got {from_file!r}, want {out!r}")
    s.check("-q says nothing on stderr", err == "", err[-300:])
    sample = ["generate", "-m", gguf, "-n", "12", "--temp", "1", "-s", "7", "-p", "The sea"]
    a, b = s.json("sampled", *sample), s.json("sampled again", *sample)
    s.check("the same seed gives the same tokens", a and b and a[0]["choices"][0]["ids"] == b[0]["choices"][0]["ids"])
    c = s.json("another seed", *[x if x != "7" else "8" for x in sample])
    s.check("another seed gives others", a and c and a[0]["choices"][0]["ids"] != c[0]["choices"][0]["ids"])
    rows = s.json("--tokens", "generate", "-m", gguf, "-n", "8", "--tokens", "-p", prompt)
    s.check("--tokens: a line a token", [r.get("id") for r in rows][:8] == next(g["output_ids"][:8] for g in e["generate"] if "messages" not in g), rows[:2])
    out, _ = s.expect("--stop", 0, "generate", "-m", gguf, "-n", "40", "--stop", ",", "-p", prompt)
    s.check("--stop ends the text before the string", "," not in out, out)


def embed(s, e, minilm):
    print("embed, against sentence-transformers' arithmetic in PyTorch")
    # Control tokens in a text are read as text here, and as control tokens in PyTorch's tokenizer: those rows differ on purpose.
    rows = [r for r in e["embed"]["rows"] if not re.search(r"\[(CLS|SEP|MASK|PAD|UNK)\]", r["text"])]
    got = s.json("all texts, NUL between them", "embed", "-0", "-m", minilm, stdin="\0".join(r["text"] for r in rows).encode())
    if s.check("a vector an input", [g["index"] for g in got] == list(range(len(rows))), f"{len(got)} lines for {len(rows)} texts"):
        worst = max(max(abs(a - b) for a, b in zip(g["vector"], r["vector"])) for g, r in zip(got, rows))
        s.check(f"vectors: largest difference {worst:.1e}", worst <= e["embed"]["tol"] and all(len(g["vector"]) == len(rows[0]["vector"]) for g in got), f"tolerance {e['embed']['tol']:.1e}")
        s.check("vectors have length 1", all(abs(math.hypot(*g["vector"]) - 1) < 1e-5 for g in got))
    lines = [r for r in rows if r["text"] and "\n" not in r["text"]]
    got = s.json("a line is an input", "embed", "-m", minilm, stdin="".join(r["text"] + "\n" for r in lines).encode())
    s.check("lines: the same vectors", len(got) == len(lines) and all(close(g["vector"], r["vector"], e["embed"]["tol"]) for g, r in zip(got, lines)), f"{len(got)} lines")
    got = s.json("tokenize", "tokenize", "-m", minilm, stdin="".join(r["text"] + "\n" for r in lines).encode())
    if s.check("tokenize: a line an input", len(got) == len(lines), f"{len(got)} lines"):
        wrong = [r["text"] for g, r in zip(got, lines) if [t["id"] for t in g["tokens"]] != r["input_ids"] and [t["id"] for t in g["tokens"]] != r["input_ids"][1:-1]]
        s.check("tokenize: PyTorch's ids", not wrong, f"{wrong[:3]}")


def fill_mask(s, e, bert):
    print("fill-mask, against transformers' pipeline")
    got = s.json("fill-mask", "fill-mask", "-0", "-m", bert, stdin="\0".join(r["text"] for r in e["fill_mask"]).encode())
    if s.check("an answer a text", len(got) == len(e["fill_mask"]), f"{len(got)} lines"):
        for g, r in zip(got, e["fill_mask"]):
            labels = g["masks"][0]
            s.check(f"{r['text']!r}", [x["id"] for x in labels][:5] == r["ids"] and close([x["score"] for x in labels][:5], r["probs"], 1e-5), f"got {labels}, want {r}")


def classify(s, e, directory):
    print("classify, against the checkpoint's golden logits")
    for c in e["classify"]:
        got = s.json("classify", "classify", "-m", directory, " ".join(f"w{i}" for i in c["ids"]))
        top = max(c["logits"])
        exps = [math.exp(x - top) for x in c["logits"]]
        want = {i: x / sum(exps) for i, x in enumerate(exps)}
        labels = got[0]["labels"] if got else []
        s.check(f"softmax of {len(want)} labels", len(labels) == len(want) and all(abs(x["score"] - want[x["id"]]) < 1e-5 for x in labels), f"got {labels}, want {want}")
        s.check("labels: best first, named", [x["score"] for x in labels] == sorted((x["score"] for x in labels), reverse=True) and all(x["name"] == f"LABEL_{x['id']}" for x in labels), labels)


def the_rest(s, gguf, minilm, bert):
    print("inspect, devices, version")
    rows = s.json("inspect", "inspect", "-m", gguf)
    info = rows[0] if rows else {}
    s.check("inspect: what the file says", (info.get("family"), info.get("layers"), info.get("heads"), info.get("kv_heads"), info.get("hidden"), info.get("vocab"), info.get("parameters"))
            == ("llama", 30, 9, 3, 576, 49152, 134515008), {k: v for k, v in info.items() if k not in ("metadata", "tensors", "chat_template")})
    s.check("inspect: tasks and tensors", "generate" in info.get("tasks", []) and len(info.get("tensors") or []) == 272, f"{info.get('tasks')}, {len(info.get('tensors') or [])} tensors")
    rows = s.json("inspect", "inspect", "-m", minilm)
    s.check("inspect: an encoder", rows and rows[0].get("kind") == "encoder" and "embed" in rows[0].get("tasks", []), rows and rows[0].get("tasks"))
    rows = s.json("devices", "devices")
    s.check("devices: one is what auto takes", sum(1 for d in rows if d.get("auto")) == 1, rows)
    rows = s.json("version", "version")
    s.check("version: its fields", rows and all(rows[0].get(k) for k in ("version", "go", "device")) and "commit" in rows[0], rows)


def exits(s, gguf, minilm, bert, classes):
    print("exit codes and errors")
    s.expect("a model without the task: generate on BERT", 4, "generate", "-m", minilm, "-p", "Hello")
    s.expect("a model without the task: fill-mask on Llama", 4, "fill-mask", "-m", gguf, "a [MASK] b")
    s.expect("a model without the task: fill-mask without a head", 4, "fill-mask", "-m", minilm, "a [MASK] b")
    s.expect("a model without the task: classify on Llama", 4, "classify", "-m", gguf, "text")
    s.expect("a model without the task: generate on a masked model", 4, "generate", "-m", bert, "-p", "Hello")
    s.expect("a model without the task: generate on a classifier", 4, "generate", "-m", classes, "-p", "w5")
    s.expect("a model without the task: embed on Llama", 4, "embed", "-m", gguf, "text")
    s.expect("no such command", 2, "pull", "x")
    s.expect("no such flag", 2, "generate", "--no-such-flag")
    _, err = s.expect("a parameter that cannot be", 2, "generate", "-m", gguf, "--top-p", "2", "-p", "x", "--json")
    try:
        error = json.loads(err.strip().splitlines()[-1])["error"]
        s.check("its error as JSON", error["type"] == "ParamError" and error["field"] == "Sampling.TopP" and error["message"], error)
        s.check("one line on stderr", len(err.strip().splitlines()) == 1, err)
    except (ValueError, KeyError, IndexError) as x:
        s.check("its error as JSON", False, f"{x!r}: {err}")
    s.expect("nothing to generate from", 2, "generate", "-m", gguf, "-p", "")
    _, err = s.expect("no such model", 3, "generate", "-m", "nobody/nothing", "-p", "x")
    s.check("it says where it looked, and how to get one", "hf download nobody/nothing" in err, err)
    broken = os.path.join(s.work, "broken.gguf")
    with open(gguf, "rb") as f, open(broken, "wb") as g:
        g.write(f.read(3 << 20))
    _, err = s.expect("a file cut short", 3, "generate", "-m", broken, "-p", "x")
    s.check("it names the file", "broken.gguf" in err, err)
    try:
        with open("/dev/full", "wb") as full:
            p = subprocess.run([s.bin, "version"], stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, timeout=LIMIT, env=s.env)
        s.check("results that cannot be written: status 1", p.returncode == 1, f"got {p.returncode}, {p.stderr[-200:]}")
    except FileNotFoundError:
        print("  skip  /dev/full: not on this system")


def interrupt(s, gguf):
    print("Ctrl-C")
    long_prompt = "The quick brown fox jumps over the lazy dog. " * 400
    for what, args, wait in (
            ("while generating", ["--temp", "0", "-n", "4000", "-p", "1 2 3 4 5 6 7"], True),
            ("in the prefill", ["-n", "4000", "-p", long_prompt], False)):
        p = subprocess.Popen([s.bin, "generate", "-m", gguf, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=s.env, cwd=s.work,
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
        try:
            if wait:
                first = os.read(p.stdout.fileno(), 1)  # the first token is out
                s.check(f"{what}: it streams", first != b"")
            else:
                time.sleep(1)
            start = time.monotonic()
            p.send_signal(signal.SIGINT)
            _, err = p.communicate(timeout=30)
            took = time.monotonic() - start
            s.check(f"{what}: ends within a second", took < 1, f"{took:.2f} s")
            s.check(f"{what}: status 130", p.returncode == 130, f"got {p.returncode}, stderr {err[-400:]}")
            s.check(f"{what}: no panic", b"goroutine " not in err, err[-400:])
        except subprocess.TimeoutExpired:
            s.check(f"{what}: ends within a second", False, "still running after 30 s")
        finally:
            if p.poll() is None:
                p.kill()
                p.communicate()


def main():
    root = os.path.abspath(sys.argv[1])
    if sys.argv[2:] == ["--excerpt"]:
        return write_excerpt(root)
    models, work = sys.argv[2:]
    gguf, minilm = os.path.join(models, GGUF), os.path.join(models, "minilm")
    for path in (gguf, minilm):
        if not os.path.exists(path):
            sys.exit(f"smoke.py: {path} is not there: run ci/real-models.sh {models}")
    e, fixtures = expected(root)
    bert = checkpoint(root, fixtures, "bert-mlm")
    classes = classifier(checkpoint(root, fixtures, "bert-seqcls"), os.path.join(work, "classes"))
    cache = os.path.join(work, "hub")
    hub_cache(cache, {
        "HuggingFaceTB/SmolLM2-135M-Instruct-GGUF": gguf,
        "sentence-transformers/all-MiniLM-L6-v2": minilm,
        "google-bert/bert-base-uncased": bert,
        "nlptown/bert-base-multilingual-uncased-sentiment": classes,
        "deepset/bert-base-cased-squad2": os.path.join(root, "testdata", "pipelines", "questions"),
        "dslim/bert-base-NER": os.path.join(root, "testdata", "pipelines", "entities"),
    })
    os.symlink(os.path.join(root, "kernels"), os.path.join(work, "kernels"))
    env = {k: v for k, v in os.environ.items() if not k.startswith(("GODWIT_", "HF_"))}
    env |= {"HF_HUB_CACHE": cache, "NO_COLOR": "1", "PATH": os.path.join(work, "bin") + os.pathsep + env.get("PATH", "")}
    s = Smoke(work, env)
    readme(s, root)
    generate(s, e, gguf)
    embed(s, e, minilm)
    fill_mask(s, e, bert)
    classify(s, e, classes)
    the_rest(s, gguf, minilm, bert)
    exits(s, gguf, minilm, bert, classes)
    interrupt(s, gguf)
    print(f"smoke: {s.passed} checks hold, {len(s.failed)} do not")
    if s.failed:
        print("\n".join(f"  {f}" for f in s.failed))
        sys.exit(1)


if __name__ == "__main__":
    main()
