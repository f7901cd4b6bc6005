"""lines.py prints the lines of each package: code, tests, assembly, and its longest file and function.

Lines of comments count, blank ones do not. Generated files (their first lines say so) are counted apart. Standard library only.
"""
import collections
import os
import re
import subprocess

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
names = subprocess.run(
    ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.go", "*.s", "*.sh", "*.py"],
    cwd=root, check=True, capture_output=True, text=True).stdout.split("\0")

columns = ("code", "tests", "generated", "assembly", "scripts")
packages = collections.defaultdict(lambda: dict.fromkeys(columns, 0) | {"longest": (0, "")})
functions = []
for name in sorted(filter(None, names)):
    path = os.path.join(root, name)
    if "/testdata/" in name or not os.path.exists(path):
        continue
    with open(path, encoding="utf-8") as f:
        lines = f.read().splitlines()
    count = sum(1 for line in lines if line.strip())
    package = packages[os.path.dirname(name) or "."]
    generated = any(re.match(r"// Code generated .* DO NOT EDIT\.$", line) for line in lines[:10])
    if name.endswith(".s"):
        kind = "assembly"
    elif not name.endswith(".go"):
        kind = "scripts"
    elif generated:
        kind = "generated"
    else:
        kind = "tests" if name.endswith("_test.go") else "code"
        package["longest"] = max(package["longest"], (len(lines), os.path.basename(name)))
        start = None
        for i, line in enumerate(lines):  # gofmt puts a function's closing brace at the start of a line
            if line.startswith("func "):
                start = None if line.endswith("}") else i
            elif line == "}" and start is not None:
                functions.append((i - start + 1, f"{name}:{start + 1}", lines[start]))
                start = None
    package[kind] += count

print(f"{'package':24}" + "".join(f"{c:>10}" for c in columns) + "  longest file")
total = dict.fromkeys(columns, 0)
for folder in sorted(packages):
    p = packages[folder]
    for c in columns:
        total[c] += p[c]
    longest = f"{p['longest'][0]} {p['longest'][1]}" if p["longest"][1] else ""
    print(f"{folder:24}" + "".join(f"{p[c] or '':>10}" for c in columns) + f"  {longest}")
print(f"{'together':24}" + "".join(f"{total[c]:>10}" for c in columns))

long_functions = sorted((f for f in functions if f[0] > 80 and "_test.go" not in f[1]), reverse=True)
if long_functions:
    print("functions over 80 lines:")
    for length, where, what in long_functions:
        print(f"  {length:4}  {where}  {what[:80]}")
