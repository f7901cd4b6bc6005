#!/usr/bin/env bash
# embed.sh does what a program that embeds godwit does: a module outside the repository that runs the README's Go example on a small
# checkpoint, built without cgo, and once more from a vendor folder. It prints what the program pulls in.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/godwit-embed.XXXXXX")
trap 'rm -rf "$work"' EXIT
export CGO_ENABLED=0

# A GPT-2 checkpoint with a tokenizer: one that the tests use.
model=""
for config in "$root"/testdata/*/config.json "$root"/*/testdata/*/config.json "$root"/*/testdata/*/*/config.json; do
	dir=$(dirname "$config")
	if [ -f "$dir/tokenizer.json" ] && [ -f "$dir/model.safetensors" ] && grep -q '"GPT2LMHeadModel"' "$config"; then
		model=$dir
		break
	fi
done
[ -n "$model" ] || { echo "embed.sh: no GPT-2 checkpoint with tokenizer.json in any testdata folder" >&2; exit 1; }

awk '/<!-- go example -->/ { found = 1; next } found && /^```go$/ { inside = 1; next } inside && /^```$/ { exit } inside' "$root/README.md" >"$work/main.go"
grep -q 'godwit\.Open' "$work/main.go" || { echo "embed.sh: no Go example below <!-- go example --> in README.md" >&2; exit 1; }
[ -z "$(gofmt -l "$work/main.go")" ] || { echo "embed.sh: gofmt would change the README's example" >&2; exit 1; }

cd "$work"
go mod init example.com/embedder 2>/dev/null
go mod edit -require=github.com/godwit-ml/godwit@v0.0.0 -replace=github.com/godwit-ml/godwit="$root"
cp "$root/go.sum" go.sum
# Only what the program imports is wanted: the versions are the repository's own.
GOFLAGS="${GOFLAGS:-} -mod=mod" go build -o embedder .
echo "modules: $(go list -mod=mod -deps -f '{{with .Module}}{{.Path}}{{end}}' . | sort -u | grep -v example.com | tr '\n' ' ')"
echo "binary: $(stat -c %s embedder) bytes"

# The weights of the demo are for programs that import it.
! go list -mod=mod -deps . | grep -q 'godwit/demo$' || { echo "embed.sh: the program carries package demo" >&2; exit 1; }
python3 - "$root" embedder <<'PY'
import pathlib, sys
root, binary = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).read_bytes()
for weights in root.glob("demo/*/model.safetensors"):
    data = weights.read_bytes()
    if data[len(data) // 2:][:256] in binary:
        sys.exit(f"embed.sh: the binary holds {weights.relative_to(root)}")
PY

run() {
	timeout 60 ./embedder "$model" >"$1"
	[ -s "$1" ] || { echo "embed.sh: the program printed nothing" >&2; exit 1; }
}
run first.txt
go mod tidy >tidy.txt 2>&1 || { cat tidy.txt; exit 1; }
go mod vendor
rm embedder
go build -mod=vendor -o embedder .
run second.txt
cmp first.txt second.txt
echo "it says, built both ways: $(head -c 200 first.txt | tr '\n' ' ')"
