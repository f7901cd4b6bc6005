#!/usr/bin/env bash
# smoke.sh DIR tries the command godwit as a person would, on the models that ci/real-models.sh left in DIR: every command of the
# README, results against PyTorch's, --json, exit codes, Ctrl-C. GODWIT names a binary to try instead of building one.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: ci/smoke.sh DIR" >&2; exit 2; }
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=$(cd "$1" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/godwit-smoke.XXXXXX")
trap 'rm -rf "$work"' EXIT

mkdir "$work/bin"
if [ -n "${GODWIT:-}" ]; then
	cp "$GODWIT" "$work/bin/godwit"
else
	(cd "$root" && CGO_ENABLED=0 go build -o "$work/bin/godwit" ./cmd/godwit)
fi
python3 "$root/ci/smoke.py" "$root" "$dir" "$work"
