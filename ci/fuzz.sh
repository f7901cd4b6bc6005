#!/usr/bin/env bash
# fuzz.sh [TIME] runs every fuzz target of the tree for TIME (default 3s) each. A target that finds something fails, prints the input, and
# leaves it in testdata/fuzz beside the test: add it to the commit that repairs the fault.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
time=${1:-3s}

targets=$(git ls-files --cached --others --exclude-standard '*_test.go' | while read -r f; do
	[ ! -f "$f" ] || sed -nE "s|^func (Fuzz[A-Za-z0-9_]+)\(.*|$(dirname "$f") \1|p" "$f"
done | sort)
[ -n "$targets" ] || { echo "there are no fuzz targets"; exit 1; }

failed=""
while read -r dir name; do
	echo "$dir $name"
	# -fuzzminimizetime bounds what a finding costs; the limit catches an input that hangs.
	if ! timeout --kill-after=10 600 go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 5s -timeout 9m "./$dir"; then
		failed+=" $dir/$name"
		find "$dir/testdata/fuzz/$name" -type f -newermt '-10 minutes' -exec sh -c 'echo "$1:"; head -c 2000 "$1"' _ {} \; 2>/dev/null || true
	fi
done <<<"$targets"
echo "$(wc -l <<<"$targets") fuzz targets, $time each"
[ -z "$failed" ] || { echo "fuzzing found:$failed"; exit 1; }
