#!/usr/bin/env bash
# cuda.sh FIXTURES NAME… checks the build with the tag cuda on a machine without a GPU: gorgonia.org/cu over the interpreter (cuda:emu), what
# the binary is linked against, what it says where there is no driver, and how it is built from a module outside, vendored too.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
fixtures=$1
shift
cd "$root"
work=$(mktemp -d "${TMPDIR:-/tmp}/godwit-cuda.XXXXXX")
trap 'rm -rf "$work"' EXIT
export CGO_ENABLED=1 CGO_CFLAGS="-I$root/cuda"

echo "vet, with the tags"
go vet -tags cuda . ./cuda ./cmd/godwit ./ci/conform
go vet -tags 'cuda gpu' ./cuda
(cd bench && go vet -tags cuda ./... && go vet ./...)

echo "without the tag there is no gorgonia.org/cu"
! CGO_ENABLED=0 go list -deps ./cmd/godwit . | grep -q '^gorgonia.org' || { echo "cuda.sh: the untagged build has gorgonia.org/cu" >&2; exit 1; }

echo "tests over gorgonia.org/cu, with its coverage"
go test -tags cuda -race -short -coverpkg=gorgonia.org/cu -coverprofile="$work/cover.out" ./cuda
go tool cover -func="$work/cover.out" | awk '$3 != "0.0%" { print "  " $2, $3 }' | sort | head -60
go test -tags cuda . -run 'Device|Fault|Lost'
GODWIT_DEVICE=cuda:emu go test -tags 'cuda gpu' -short ./cuda/...

if [ -f "$fixtures/check.py" ]; then
	echo "whole models"
	go run -tags cuda ./ci/conform -root "$fixtures" -out "$work/out" -device cuda:emu -no-fallback all "$@" 2>"$work/calls.txt" || { cat "$work/calls.txt"; exit 1; }
	python3 "$fixtures/check.py" "$work/out/RESULT.json" --root "$fixtures" --strict --complete "$@"
	cat "$work/calls.txt"
	for call in 'cuMemAlloc(Async)?' 'cuMemcpyHtoD(Async)?' cuModuleLoadDataEx cuLaunchKernel; do
		grep -qE "^$call [1-9]" "$work/calls.txt" || { echo "cuda.sh: $call was never called" >&2; exit 1; }
	done
fi

echo "benchmarks"
go -C bench run -tags cuda . ops --device cuda:emu --short >"$work/ops.txt"
echo "  $(wc -l <"$work/ops.txt") rows"

echo "the binary"
go build -tags cuda -o "$work/godwit" ./cmd/godwit
needed=$(readelf -d "$work/godwit" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | tr '\n' ' ')
echo "  needs: $needed"
[ "$needed" = "libc.so.6 " ] || { echo "cuda.sh: it is to need libc alone" >&2; exit 1; }
"$work/godwit" devices | tee "$work/devices.txt"
if [ ! -e /dev/nvidia0 ]; then
	grep -q '^cuda .*not usable: .*libcuda' "$work/devices.txt" || { echo "cuda.sh: it does not say why there is no GPU" >&2; exit 1; }
	"$work/godwit" generate -n 4 -q "I love" | grep -q . || { echo "cuda.sh: it does not run on the CPU instead" >&2; exit 1; }
fi

echo "a module outside"
mkdir "$work/module"
cd "$work/module"
cat >main.go <<'GO'
package main

import (
	"fmt"

	"github.com/godwit-ml/godwit"
)

func main() {
	for _, d := range godwit.Devices() {
		fmt.Println(d.Name, d.Reason)
	}
}
GO
go mod init example.com/embedder 2>/dev/null
go mod edit -require=github.com/godwit-ml/godwit@v0.0.0 -replace=github.com/godwit-ml/godwit="$root"
cp "$root/go.sum" go.sum
go mod tidy >tidy.txt 2>&1 || { cat tidy.txt; exit 1; }
unset CGO_CFLAGS
for how in mod vendor; do
	[ $how = mod ] || go mod vendor
	CGO_CFLAGS="-I$(go list -mod=$how -tags cuda -f '{{.Dir}}' github.com/godwit-ml/godwit/cuda)" go build -mod=$how -tags cuda -o "embedder-$how" .
	"./embedder-$how" | grep -q '^cuda:emu' || { echo "cuda.sh: the module outside has no cuda:emu" >&2; exit 1; }
	echo "  -mod=$how: $(readelf -d "embedder-$how" | grep -c NEEDED) library needed"
done
