"""The peers' side of the protocol: one JSON request a line on standard input, one JSON answer a line on standard output.

A peer gives serve() its name, version, rows of settings and one function for each kind of work. Between two requests the
process only waits on a read; every answer says how much processor time it used since the answer before (idle_cpu_ms), so
that a peer which is not quiet shows.
"""
import json
import os
import sys
import time
import traceback

THREADS = int(os.environ.get("PEER_THREADS", "2"))
CACHE = os.environ.get("GODWIT_PEERS") or os.path.expanduser("~/.cache/godwit-bench/peers")


def median(values):
    """The median; of an even number the mean of the middle two."""
    s = sorted(values)
    n = len(s)
    return s[n // 2] if n % 2 else (s[n // 2 - 1] + s[n // 2]) / 2


def scratch(*parts):
    """A path in the cache, its folder made."""
    path = os.path.join(CACHE, *parts)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def made(path, make):
    """path, made by make(temporary path) if it is absent: a process that is killed leaves no half-written file."""
    if not os.path.exists(path):
        part = "%s.%d.part" % (path, os.getpid())
        try:
            make(part)
            os.replace(part, path)
        finally:
            if os.path.exists(part):
                os.remove(part)
    return path


def stamp(path):
    """A name for the contents of path as they are now, for files made from it."""
    st = os.stat(path)
    return "%x-%x" % (st.st_size, st.st_mtime_ns)


def repeat(once, seconds=1.0, least=5, most=1000):
    """Seconds of each call of once, for about the given time."""
    out = []
    stop = time.perf_counter() + seconds
    while len(out) < least or (time.perf_counter() < stop and len(out) < most):
        t = time.perf_counter()
        once()
        out.append(time.perf_counter() - t)
    return out


def serve(peer, version, rows, works):
    """Answers requests until standard input ends.

    rows: [{"work":…, "type":…, "settings":[…]}]: which settings do which work in which arithmetic ("any": as the file).
    works: name of the work → function(request) → dict.
    """
    # Native libraries print where they like: only this function writes to the real standard output.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(answer):
        out.write(json.dumps(answer) + "\n")
        out.flush()

    names = list(dict.fromkeys(s for r in rows for s in r["settings"]))
    say({"ready": True, "peer": peer, "version": version, "threads": THREADS, "settings": names, "rows": rows})
    cpu, wall = time.process_time(), time.monotonic()
    for line in iter(sys.stdin.readline, ""):
        if not line.strip():
            continue
        idle_cpu, idle = (time.process_time() - cpu) * 1e3, time.monotonic() - wall
        try:
            q = json.loads(line)
            work = works.get(q.get("work"))
            if work is None:
                raise ValueError("%s does no %r: it does %s" % (peer, q.get("work"), ", ".join(sorted(works))))
            t = time.perf_counter()
            a = work(q)
            a["wall_s"] = round(time.perf_counter() - t, 3)
            for k in ("work", "setting"):
                if k in q:
                    a[k] = q[k]
        except Exception as e:  # The caller decides what a failed row means.
            traceback.print_exc(file=sys.stderr)
            a = {"error": "%s: %s" % (type(e).__name__, e)}
        a["peer"], a["idle_cpu_ms"], a["idle_s"] = peer, round(idle_cpu, 1), round(idle, 3)
        say(a)
        cpu, wall = time.process_time(), time.monotonic()


def chosen(request, settings):
    """The request's setting, or an error that lists what there is."""
    s = request.get("setting") or next(iter(settings))
    if s not in settings:
        raise ValueError("no setting %r: there are %s" % (s, ", ".join(settings)))
    return s
