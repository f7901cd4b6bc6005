"""memory.py GODWIT MODEL [CONTEXT…] holds inspect's estimate of memory against what a generate that fills the context takes: the peak
of its resident memory (VmHWM), less that of godwit version. They may differ by a tenth. Standard library only; Linux.
"""
import json
import os
import subprocess
import sys
import time


def peak(args, stdin=""):
    """Runs a command and gives the peak of its resident memory in bytes, and what it printed."""
    with open(os.devnull, "rb") as null:
        p = subprocess.Popen(args, stdin=subprocess.PIPE if stdin else null, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if stdin:
        p.stdin.write(stdin)
        p.stdin.close()
        p.stdin = None
    # A process that has ended has no VmHWM any more; what wait4 gives is the same number, in KiB.
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    out, err = p.stdout.read(), p.stderr.read()
    if p.returncode != 0:
        sys.exit(f"memory.py: {' '.join(args)}: status {p.returncode}: {err}")
    return usage.ru_maxrss * 1024, out


def main():
    godwit, model, *contexts = sys.argv[1:]
    base, _ = peak([godwit, "version"])
    bad = False
    for context in map(int, contexts or ["512", "4096"]):
        info = json.loads(subprocess.run([godwit, "inspect", "-m", model, "-c", str(context), "--json"], capture_output=True, text=True, check=True).stdout)
        m = info["memory"]
        want = m["total"]
        # One word is a token here: the prompt leaves room for eight.
        words = "the cat sat on a mat and it was not the dog that ran to him but his old friend who had come by sea".split()
        prompt = " ".join(words[i % len(words)] for i in range(context - 8))
        start = time.time()
        got, out = peak([godwit, "generate", "-m", model, "-c", str(context), "--json", "-f", "-"], prompt)
        usage = json.loads(out)["usage"]
        got -= base
        ratio = want / got
        filled = usage["prompt_tokens"] + usage["output_tokens"]
        verdict = "ok" if 0.9 <= ratio <= 1.1 else "NOT within a tenth"
        bad |= verdict != "ok"
        print(f"context {context}: {filled} tokens in {time.time() - start:.0f} s; estimate {want / 2**20:.0f} MiB, peak {got / 2**20:.0f} MiB, ratio {ratio:.3f}: {verdict}")
        print("  " + ", ".join(f"{k} {v / 2**20:.0f} MiB" for k, v in m.items()))
    sys.exit(bad)


main()
