#!/usr/bin/env bash
# long.sh [mutants|tokenizers|fuzz|page|examples|ptx|memory|emulated|paths|neighbour|all] runs what takes too long for every change, and is run before a piece of work is called done:
#
#   mutants      every mutant of ci/mutants; none may survive
#   tokenizers   our tokenizers and Hugging Face's, one thread each, the same text, five times in turn: ratios of medians
#   fuzz         each fuzz target for FUZZTIME (default 2m)
#   page         the page of attend --html in headless Chromium
#   ptx          every checkpoint of the fixtures on the emulated GPU, judged strictly, nothing on the CPU
#   memory       inspect's estimate of memory against the peak of a generate that fills the context, SmolLM2 at 512 and 4,096
#   emulated     all of devicetest on emulated processors: AVX2, no AVX, arm64
#   paths        the fixtures and the real models on every path of the CPU, plain Go included
#   neighbour    what two threads do while another process keeps a processor busy; wants a quiet machine
#   examples     the programs of examples/ on the real models, against what docs/uses.md quotes
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
export CI_CACHE=${CI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/godwit-ci}
export FIXTURES=${FIXTURES:-$(dirname "$root")/shared/fixtures}

mutants() { go run ./ci/mutate; }

tokenizers() {
	[ -d "$FIXTURES/tokenizers" ] || { echo "long.sh: the tokenizers' texts are fixtures, and there are none at $FIXTURES" >&2; exit 1; }
	local venv=$CI_CACHE/tokenizers-0.23.3
	if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import tokenizers; assert tokenizers.__version__ == "0.23.3"' 2>/dev/null; then
		python3 -m venv --clear "$venv"
		"$venv/bin/python" -m pip install -q tokenizers==0.23.3
	fi
	"$root/ci/real-models.sh" "$CI_CACHE/models" >/dev/null
	go run ./ci/tokenizers -root "$FIXTURES" -python "$venv/bin/python" -real "$CI_CACHE/models"
}

fuzz() { "$root/ci/fuzz.sh" "${FUZZTIME:-2m}"; }

page() {
	bin=$(mktemp -d "${TMPDIR:-/tmp}/godwit-long.XXXXXX")
	trap 'rm -rf "$bin"' EXIT
	go build -o "$bin/godwit" ./cmd/godwit
	"$root/ci/page.sh" "$bin/godwit"
}

examples() {
	"$root/ci/real-models.sh" "$CI_CACHE/models" >/dev/null
	GODWIT_MODELS=$CI_CACHE/models go test -count=1 ./examples
}

ptx() {
	[ -f "$FIXTURES/check.py" ] || { echo "long.sh: there are no fixtures at $FIXTURES" >&2; exit 1; }
	local models
	tmp=$(mktemp -d "${TMPDIR:-/tmp}/godwit-long.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	models=$(cd "$FIXTURES" && for m in */golden.json; do dirname "$m"; done)
	# shellcheck disable=SC2086
	go run ./ci/conform -root "$FIXTURES" -out "$tmp" -device ptx -no-fallback all $models
	# shellcheck disable=SC2086
	python3 "$FIXTURES/check.py" "$tmp/RESULT.json" --root "$FIXTURES" --strict --complete $models
}

memory() {
	"$root/ci/real-models.sh" "$CI_CACHE/models" >/dev/null
	bin=$(mktemp -d "${TMPDIR:-/tmp}/godwit-long.XXXXXX")
	trap 'rm -rf "$bin"' EXIT
	go build -o "$bin/godwit" ./cmd/godwit
	python3 "$root/ci/memory.py" "$bin/godwit" "$CI_CACHE/models/SmolLM2-135M-Instruct.Q4_1.gguf"
}

emulated() { "$root/ci/paths.sh" all-emulated; }

paths() {
	"$root/ci/real-models.sh" "$CI_CACHE/models" >/dev/null
	PORTABLE=1 "$root/ci/paths.sh" exact "$CI_CACHE/models"
	PORTABLE=1 "$root/ci/paths.sh" fast "$CI_CACHE/models"
}

neighbour() { GODWIT_TEST_QUIET=1 go test -count=1 -run BusyNeighbour -v ./cpu; }

if [ "${1:-}" = --inside ]; then # a shell of its own for each part: there, the first failing command ends it
	"$2"
	exit
fi

what=${1:-all}
case $what in
all) parts="mutants tokenizers fuzz page examples ptx memory emulated paths neighbour" ;;
mutants | tokenizers | fuzz | page | examples | ptx | memory | emulated | paths | neighbour) parts=$what ;;
*) echo "usage: ci/long.sh [mutants|tokenizers|fuzz|page|examples|ptx|memory|emulated|paths|neighbour|all]" >&2; exit 2 ;;
esac

failed=""
for part in $parts; do
	echo
	echo "=== $part"
	start=$SECONDS
	status=0
	bash "$root/ci/long.sh" --inside "$part" || status=$?
	echo "--- $part: $([ $status = 0 ] && echo ok || echo "FAILED, status $status") ($((SECONDS - start)) s)"
	[ $status = 0 ] || failed+=" $part"
done
echo
[ -z "$failed" ] || { echo "FAILED:$failed"; exit 1; }
echo "all of it holds: $parts"
