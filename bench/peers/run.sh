#!/usr/bin/env bash
# run.sh PEER: starts a peer, installing it first if need be; run.sh --install PEER|all only installs; run.sh --list names them.
# Everything lives below ${GODWIT_PEERS:-~/.cache/godwit-bench/peers}. See README.md for the protocol.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export GODWIT_PEERS=${GODWIT_PEERS:-$HOME/.cache/godwit-bench/peers}
export GODWIT_PEERS_SOURCE=$here PEER_THREADS=${PEER_THREADS:-2}
python=${PEER_PYTHON:-python3}
peers=(llama.cpp onnxruntime openvino torch hugot)
llama_cpp_python=0.3.36
llama_cpp_build="native, tile configuration as an operand" # Change this with how it is built.

fail() { echo "run.sh: $*" >&2; exit 1; }

# folder PEER prints where it is installed.
folder() { echo "$GODWIT_PEERS/$1"; }

# want PEER prints what an installation of it is made from: when this differs from what stands there, it is made anew.
want() {
	case $1 in
	hugot) cat "$here"/hugot/go.mod "$here"/hugot/go.sum "$here"/hugot/*.go ;;
	*) cat "$here/requirements/$1.txt"; [ "$1" != llama.cpp ] || echo "$llama_cpp_python $llama_cpp_build" ;;
	esac | sha256sum | cut -c1-16
}

# venv PEER makes a virtual environment with the pinned packages.
venv() {
	"$python" -m venv --clear "$(folder "$1")"
	nice -n 10 "$(folder "$1")/bin/python" -m pip install -q --disable-pip-version-check -r "$here/requirements/$1.txt"
}

# llama_cpp builds llama-cpp-python for this processor from its source distribution.
llama_cpp() {
	local bin work
	bin=$(folder llama.cpp)/bin/python
	work=$(mktemp -d)
	# shellcheck disable=SC2064 # The folder of now is meant.
	trap "rm -rf '$work'" EXIT
	nice -n 10 "$bin" -m pip download -q --disable-pip-version-check --no-deps --no-binary llama-cpp-python -d "$work" "llama-cpp-python==$llama_cpp_python"
	tar -xzf "$work/llama_cpp_python-$llama_cpp_python.tar.gz" -C "$work"
	# gcc 12 declares only the first 8 bytes that its _tile_loadconfig reads, so it drops the stores of the others, and the
	# first AMX product ends the process. The whole structure as the operand says what is read.
	local mmq=$work/llama_cpp_python-$llama_cpp_python/vendor/llama.cpp/ggml/src/ggml-cpu/amx/mmq.cpp
	sed -i 's|^\( *\)_tile_loadconfig(&tc);|\1__asm__ volatile("ldtilecfg %0" :: "m"(tc));|' "$mmq"
	grep -q 'ldtilecfg %0' "$mmq" || fail "llama.cpp's AMX source is not as expected: $mmq"
	CMAKE_BUILD_PARALLEL_LEVEL=${PEER_BUILD_JOBS:-2} \
		CMAKE_ARGS="-DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DLLAMA_OPENSSL=OFF" \
		nice -n 10 "$bin" -m pip install -v --disable-pip-version-check --no-cache-dir "$work/llama_cpp_python-$llama_cpp_python" >"$GODWIT_PEERS/llama.cpp.log" 2>&1 ||
		fail "llama.cpp does not build; see $GODWIT_PEERS/llama.cpp.log"
	rm -rf "$work"
	trap - EXIT
}

# install PEER, unless what stands there is what is wanted.
install() {
	local at stamp
	at=$(folder "$1")
	stamp=$(want "$1")
	[ "$(cat "$at/.installed" 2>/dev/null)" != "$stamp" ] || return 0
	echo "run.sh: installing $1 into $at" >&2
	mkdir -p "$GODWIT_PEERS"
	case $1 in
	llama.cpp) venv "$1" && llama_cpp ;;
	hugot) mkdir -p "$at" && (cd "$here/hugot" && CGO_ENABLED=0 nice -n 10 go build -o "$at/hugot" .) ;;
	*) venv "$1" ;;
	esac >&2
	echo "$stamp" >"$at/.installed"
}

# known PEER, or fail with the names.
known() {
	local p
	for p in "${peers[@]}"; do [ "$p" != "$1" ] || return 0; done
	fail "no peer '$1': there are ${peers[*]}"
}

# start PEER in place of this shell. Its threads may spin inside a measurement (OpenMP's default is to spin a little, then
# sleep), never for good: OMP_WAIT_POLICY=active would burn a processor between two requests.
start() {
	unset OMP_WAIT_POLICY GOMP_SPINCOUNT OMP_PROC_BIND GOMP_CPU_AFFINITY
	export OMP_NUM_THREADS=$PEER_THREADS MKL_NUM_THREADS=$PEER_THREADS RAYON_NUM_THREADS=$PEER_THREADS TOKENIZERS_PARALLELISM=true
	export OPENBLAS_NUM_THREADS=1 # numpy only pools here; its threads would spin beside the peer's.
	export HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
	case $1 in
	hugot) exec "$(folder hugot)/hugot" -threads "$PEER_THREADS" ;;
	*) exec "$(folder "$1")/bin/python" "$here/peer_${1//./}.py" ;;
	esac
}

case ${1-} in
--list) printf '%s\n' "${peers[@]}" ;;
--install)
	if [ "${2-}" = all ]; then
		for p in "${peers[@]}"; do install "$p"; done
	else
		known "${2-}"
		install "$2"
	fi
	;;
'' | -*) fail "usage: run.sh PEER | --install PEER|all | --list" ;;
*)
	known "$1"
	install "$1"
	# The ONNX export is torch's work, so these need it too.
	case $1 in onnxruntime | openvino | hugot) install torch ;; esac
	start "$1"
	;;
esac
