#!/usr/bin/env bash
# build-kernels.sh MODE [NAME…] compiles kernels/*.cu and kernels/lab/*.cu to the PTX that is committed beside them, with compilers
# of fixed versions that pip fetches into $CI_CACHE (~/.cache/godwit-ci). Nothing of it is needed to build or test godwit.
#
#   build    compile into ptx/NAME.ptx; then what check does, but for NAMEs alone, and kernels/resources.json is written
#   ptx      compile only
#   check    compile into a temporary folder and compare byte for byte; assemble for every architecture with both assemblers;
#            registers, spills and shared memory as declared and as in kernels/resources.json
#   setup    only fetch the compilers
#
# NAME is a source without its ending, as matmul or lab/matmul_naive; none: all. A source is compiled for compute_75, unless a line
# "// target: compute_80" near its top says another. Exit status: 0 all right, 1 not, 2 wrong usage, 3 pip cannot reach its index.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${CI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/godwit-ci}
export LC_ALL=C

usage() { echo "usage: ci/build-kernels.sh build|ptx|check|setup [NAME…]" >&2; exit 2; }
[ $# -ge 1 ] || usage
mode=$1
shift
case $mode in build | ptx | check | setup) ;; *) usage ;; esac

# The compiler, and an assembler of the year before: PTX that both accept loads in drivers of either age.
compiler=(nvidia-cuda-nvcc==13.5.37 nvidia-cuda-crt==13.5.37 nvidia-nvvm==13.5.37 nvidia-cuda-runtime==13.5.37 nvidia-cuda-cccl==13.3.5.0.6
	nvidia-cuda-cuobjdump==13.5.37 nvidia-cuda-nvdisasm==13.5.37)
older=(nvidia-cuda-nvcc-cu12==12.9.86)
architectures="75 80 86 90 100 120"
versions="6.3 6.5 7.0 7.4 7.8 8.0 8.3 8.6 8.7 8.8" # of PTX, from CUDA 10.0 to 12.9

work=$(mktemp -d "${TMPDIR:-/tmp}/godwit-kernels.XXXXXX")
trap 'rm -rf "$work"' EXIT

die() { echo "build-kernels.sh: $1" >&2; exit "${2:-1}"; }

# install FOLDER REQUIREMENT… leaves wheels unpacked in FOLDER, which appears only when it is whole.
install() {
	local dir=$1 part log=$work/pip.log
	shift
	[ ! -d "$dir" ] || return 0
	mkdir -p "$(dirname "$dir")"
	echo "fetching $*" >&2
	part=$(mktemp -d "$dir.XXXXXX")
	if ! timeout 900 python3 -m pip install -q --no-deps --no-compile --only-binary :all: --target "$part" "$@" >"$log" 2>&1; then
		rm -rf "$part"
		cat "$log" >&2
		! grep -qiE 'NewConnectionError|ConnectTimeout|NameResolution|Network is unreachable|ProxyError' "$log" ||
			die "the package registry cannot be reached" 3
		die "pip could not fetch $*"
	fi
	chmod 755 "$part"
	mv -T "$part" "$dir" 2>/dev/null || rm -rf "$part" # another run was faster
}

install "$cache/cuda-13.5.37" "${compiler[@]}"
install "$cache/ptxas-12.9.86" "${older[@]}"
cuda=$cache/cuda-13.5.37/nvidia/cu13
new=$cuda/bin/ptxas
old=$cache/ptxas-12.9.86/nvidia/cuda_nvcc/bin/ptxas
for tool in "$cuda/bin/nvcc" "$new" "$old" "$cuda/nvvm/bin/cicc"; do
	[ -e "$tool" ] || die "$tool is missing: remove $cache/cuda-13.5.37 and $cache/ptxas-12.9.86, and try again"
	chmod +x "$tool"
done
command -v gcc >/dev/null || die "nvcc needs gcc"
[ "$mode" != setup ] || exit 0

# sources lists what to compile, by name.
cd "$root/kernels"
all=$(for f in *.cu lab/*.cu; do [ ! -f "$f" ] || echo "${f%.cu}"; done)
names=$all
if [ $# -gt 0 ]; then
	names=""
	for name in "$@"; do
		name=${name%.cu}
		[ -f "$name.cu" ] || die "there is no kernels/$name.cu: the names are $(echo $all)"
		names+="$name "
	done
fi
[ -n "$names" ] || die "no kernels/*.cu"

# target NAME is the architecture its PTX asks for, as 75 or 90a.
target() {
	local line
	line=$(head -20 "$1.cu" | grep -m1 -oE '^// target: compute_[0-9]+a?' || true)
	echo "${line:-compute_75}" | sed 's/.*compute_//'
}

# committed NAME is where its PTX lies.
committed() { echo "$(dirname "$1")/ptx/$(basename "$1").ptx" | sed 's|^\./||'; }

# The compiler's output depends on where its memory lies, in rare cases: give it the same addresses each time, where that is allowed.
still=(env)
! setarch "$(uname -m)" -R true 2>/dev/null || still=(setarch "$(uname -m)" -R)

# compile NAME FILE writes the PTX, with its source lines under the source's bare name and the lowest version that will do:
# a driver refuses a version it does not know, whatever the instructions.
compile() {
	local name=$1 out=$2 arch version
	arch=$(target "$name")
	"${still[@]}" "$cuda/bin/nvcc" -ptx -lineinfo -O3 -std=c++17 -Werror all-warnings -arch="compute_$arch" -I. "$name.cu" -o "$out.raw" || die "$name.cu does not compile"
	sed -E -i 's|^([[:space:]]*\.file[[:space:]]+[0-9]+[[:space:]]+")[^"]*/|\1|' "$out.raw"
	# Names of inlined functions carry a hash of the folder, after _INTERNAL_; among the debug strings they are written as numbers.
	sed -E -i -e 's/_INTERNAL_[0-9a-f]{8}_/_INTERNAL_00000000_/g' \
		-e 's/^(\.b8 ([0-9]+,)*95,73,78,84,69,82,78,65,76,95,)([0-9]+,){8}/\148,48,48,48,48,48,48,48,/' "$out.raw"
	for version in $versions; do
		sed -E "s/^\.version .*/.version $version/" "$out.raw" >"$out"
		if "$old" -O0 -arch="sm_$arch" "$out" -o "$out.cubin" >"$out.log" 2>&1; then
			rm -f "$out.raw" "$out.cubin" "$out.log"
			return 0
		fi
	done
	cat "$out.log" >&2
	die "$name.ptx: the older assembler accepts no version of it"
}

# assemble FILE NAME ARCH leaves what the assembler says of resources; the older one must accept it too.
assemble() {
	local file=$1 name=$2 arch=$3 log
	log=$work/logs/${name//\//@}.$arch
	"$new" -v -arch="sm_$arch" "$file" -o "$log.cubin" >"$log.log" 2>&1 || { cat "$log.log" >&2; die "ptxas 13.5 refuses $name.ptx for sm_$arch"; }
	"$old" -arch="sm_$arch" "$file" -o "$log.cubin" >"$log.old" 2>&1 || { cat "$log.old" >&2; die "ptxas 12.9 refuses $name.ptx for sm_$arch"; }
	rm -f "$log.cubin" "$log.old"
}

one() {
	local name=$1 file arch own suffix
	file=$work/ptx/$name.ptx
	compile "$name" "$file"
	[ "$mode" != ptx ] || return 0
	own=$(target "$name")
	suffix=${own//[0-9]/}
	for arch in $architectures; do
		if [ -n "$suffix" ]; then # of one architecture alone
			[ "$arch$suffix" = "$own" ] || continue
			arch=$own
		fi
		[ "${arch%a}" -lt "${own%a}" ] || assemble "$file" "$name" "$arch"
	done
}

# As many at a time as there are processors; the first that fails ends the script when the others are through.
mkdir -p "$work/ptx/lab" "$work/logs"
jobs=$(nproc 2>/dev/null || echo 2)
pids=()
failed=0
for name in $names; do
	if [ ${#pids[@]} -ge "$jobs" ]; then
		wait "${pids[0]}" || failed=1
		pids=("${pids[@]:1}")
	fi
	(trap - EXIT; one "$name") &
	pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
[ $failed = 0 ] || exit 1

count=0
differ=""
for name in $names; do
	file=$(committed "$name")
	count=$((count + 1))
	if [ "$mode" = check ]; then
		[ -f "$file" ] || { differ+=" kernels/$file (absent)"; continue; }
		cmp -s "$work/ptx/$name.ptx" "$file" || { differ+=" kernels/$file"; diff "$file" "$work/ptx/$name.ptx" | head -6 >&2 || true; }
	else
		mkdir -p "$(dirname "$file")"
		cmp -s "$work/ptx/$name.ptx" "$file" 2>/dev/null || { cp "$work/ptx/$name.ptx" "$file"; echo "wrote kernels/$file"; }
	fi
done
if [ $# -eq 0 ]; then # PTX whose source is gone would still be embedded
	for file in ptx/*.ptx lab/ptx/*.ptx; do
		[ -f "$file" ] || continue
		name=$(dirname "$(dirname "$file")")/$(basename "$file" .ptx)
		[ -f "$name.cu" ] || differ+=" kernels/$file (no source)"
	done
fi
[ -z "$differ" ] || die "not what the sources compile to:$differ (run ci/build-kernels.sh build)"
[ "$mode" != check ] || echo "$count files of PTX are what their sources compile to; both assemblers accept them"
[ "$mode" != ptx ] || exit 0

cd "$root"
judge=(go run ./ci/kernels -assembled "$work/logs")
[ "$mode" != build ] || judge+=(-write)
[ $# -gt 0 ] || judge+=(-whole)
if [ "$mode" = build ] && ! go build ./kernels/... 2>/dev/null; then
	echo "build-kernels.sh: kernels/ does not build yet: the PTX is written, its resources are not judged" >&2
	exit 0
fi
"${judge[@]}"
