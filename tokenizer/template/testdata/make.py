#!/usr/bin/env python3
"""Writes golden.jsonl: what jinja2 makes of the templates and expressions beside it.

Run it with jinja2 3.1.6 installed. The environment is the one Hugging Face transformers compiles chat templates in.
"""
import json
import pathlib
from datetime import datetime

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = pathlib.Path(__file__).parent
NOW = datetime(2026, 11, 4, 9, 5, 7, 123456)  # a Wednesday


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


class Raised(jinja2.exceptions.TemplateError):
    pass


class Namespace(jinja2.utils.Namespace):
    """As transformers' own: no names that start with an underscore."""

    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        attrs = dict(*args, **kwargs)
        for name in attrs:
            check_name(name)
        jinja2.utils.Namespace.__init__(self, attrs)

    def __setitem__(self, name, value):
        check_name(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)


def check_name(name):
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(name)


def raise_exception(message):
    raise Raised(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["namespace"] = Namespace
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


def render(source, variables):
    """The golden of one template: out, or raised, or error."""
    try:
        return {"out": environment().from_string(source).render(**variables)}
    except Raised as e:
        return {"raised": str(e)}
    except Exception as e:  # every other refusal counts as one
        return {"error": f"{type(e).__name__}: {e}".splitlines()[0][:200]}


def main():
    chats = json.loads((HERE / "chats.json").read_text("utf-8"))
    with (HERE / "golden.jsonl").open("w", encoding="utf-8") as out:
        for path in sorted((HERE / "templates").glob("*.jinja")):
            source = path.read_bytes().decode("utf-8")
            for name, variables in chats.items():
                row = {"template": path.stem, "chat": name, **render(source, variables)}
                print(json.dumps(row, ensure_ascii=False), file=out)
    variables = json.loads((HERE / "variables.json").read_text("utf-8"))
    with (HERE / "expressions.golden.jsonl").open("w", encoding="utf-8") as out:
        for line in (HERE / "expressions.txt").read_text("utf-8").splitlines():
            if line and not line.startswith("##"):
                source = line.replace("\u23ce", "\n")
                print(json.dumps({"source": source, **render(source, variables)}, ensure_ascii=False), file=out)


main()
