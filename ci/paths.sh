#!/usr/bin/env bash
# paths.sh exact|fast|same|emulated|all-emulated [DIR] holds the CPU device against PyTorch's outputs on every set of instructions there is here:
#
#   exact      every fixture and two real models in exact arithmetic, strictly, on each path
#   fast       the arithmetic that is fastest for what is stored: f16, bf16 and block types by their own rules, F32 strictly
#   same       no comparison with others: the bits of two real models whatever the batch, the chunks and the threads, on each path
#   emulated   the path that is chosen, and a part of devicetest, on processors of an emulator: x86-64 with AVX2, x86-64 without, arm64
#   all-emulated   the whole of devicetest there
#
# DIR has the real models, as ci/real-models.sh makes it; FIXTURES the fixtures. A path that this processor lacks is skipped, loudly.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
FIXTURES=${FIXTURES:-$(dirname "$root")/shared/fixtures}
FIXTURES=$(cd "$FIXTURES" && pwd)
what=${1:?exact, fast, same, emulated or all-emulated}
models=${2:-}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/godwit-paths.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
paths="amx vnni avx512 avx2 portable"

# judge PATH DTYPE RULES NAME… runs fixtures in an arithmetic; check.py judges by its rules.
judge() {
	local path=$1 dtype=$2 rules=$3
	shift 3
	"$tmp/conform" -root "$FIXTURES" -out "$tmp/out" ${models:+-real "$models"} -device "cpu:$path" -dtype "$dtype" "$@"
	# shellcheck disable=SC2086 # a flag and its value
	python3 "$FIXTURES/check.py" "$tmp/out/RESULT.json" --root "$FIXTURES" $rules --complete "$@"
	rm -rf "$tmp/out"
}

here() {
	if "$tmp/conform" -root "$FIXTURES" -out "$tmp/probe" -device "cpu:$1" sampling 2>"$tmp/why" >&2; then return; fi
	echo "!!! SKIPPED: path $1: $(tail -1 "$tmp/why")"
	return 1
}

# real PATH NAME…: the real models that a path is to run. Plain Go takes minutes for them: PORTABLE=1 includes it.
real() {
	local path=$1
	shift
	if [ -n "$models" ] && { [ "$path" != portable ] || [ -n "${PORTABLE:-}" ]; }; then echo "$@"; fi
}

exact() {
	for path in $paths; do
		here "$path" || continue
		echo "path $path, exact arithmetic"
		# shellcheck disable=SC2046
		judge "$path" f32 --strict all $(real "$path" minilm smollm2)
	done
}

fast() {
	local stored
	stored=$(cd "$FIXTURES" && for m in */golden.json; do dirname "$m"; done)
	for path in $paths; do
		here "$path" || continue
		echo "path $path, the fastest arithmetic"
		judge "$path" fast "--dtype f16" variants/gpt2-f16 variants/llama-f16
		# shellcheck disable=SC2046
		judge "$path" fast "--dtype bf16" $(cd "$FIXTURES" && echo variants/*-bf16)
		# shellcheck disable=SC2046
		judge "$path" fast "--dtype q8" gguf $(real "$path" smollm2)
		# shellcheck disable=SC2086
		judge "$path" fast --strict $stored
		[ -z "$(real "$path" minilm)" ] || judge "$path" bf16 "--dtype bf16" minilm
	done
}

same() {
	[ -n "$models" ] || { echo "usage: ci/paths.sh same DIR" >&2; exit 2; }
	GODWIT_MODELS=$(cd "$models" && pwd) go test -count=1 -run '^TestSame(SmolLM2|MiniLM)$' ./model
}

# run_emulated NAME EMULATOR GOARCH PATH: the path that the emulated processor gets, and the tests on it.
run_emulated() {
	local name=$1 emulator=$2 arch=$3 path=$4
	command -v "${emulator%% *}" >/dev/null || { echo "!!! SKIPPED: $name: there is no ${emulator%% *}"; return; }
	local tests pkg
	for pkg in cpu/simd cpu; do
		tests='^TestPath'
		[ $pkg != cpu ] || tests=$rows
		CGO_ENABLED=0 GOARCH=$arch go test -c -o "$tmp/emulated.test" "./$pkg"
		# shellcheck disable=SC2086
		(cd "$pkg" && GODWIT_TEST_PATH=$path $emulator "$tmp/emulated.test" -test.run "$tests" -test.count 1)
	done
	echo "$name: path $path, passed"
}

rows='^TestDeviceConformance(Fast)?$/.*/^(MatMul|Norm|Attention)$/^(F32|Q4_0|BF16)$/^[^/]*$/^$'

all_emulated() {
	rows='^TestDeviceConformance'
	emulated
}

emulated() {
	run_emulated "x86-64 with AVX2" "qemu-x86_64-static -cpu max" amd64 avx2
	run_emulated "x86-64 without AVX" "qemu-x86_64-static -cpu Nehalem" amd64 portable
	run_emulated "arm64" "qemu-aarch64-static" arm64 portable
}

case $what in
exact | fast) go build -o "$tmp/conform" ./ci/conform ;;
same | emulated | all-emulated) ;;
*) echo "usage: ci/paths.sh exact|fast|same|emulated|all-emulated [DIR]" >&2; exit 2 ;;
esac
${what//-/_}
