#!/usr/bin/env bash
# page.sh BINARY opens the page of attend --html in headless Chromium: nothing may be asked of the network, and choosing a map, a
# layer and a head must change the picture. It needs chromium, and installs it where it may.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: ci/page.sh BINARY" >&2; exit 2; }
command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium; } >/dev/null
work=$(mktemp -d "${TMPDIR:-/tmp}/godwit-page.XXXXXX")
trap 'rm -rf "$work"' EXIT
"$1" attend -q --html "$work/page.html" "My neighbour teaches linguistics."

# The same page, with a script at its end that uses it as a person would and writes down what it saw.
python3 - "$work" <<'PY'
import sys
work = sys.argv[1]
page = open(work + "/page.html", encoding="utf-8").read()
probe = """<script>
const seen = [], look = () => seen.push([...document.querySelectorAll("#heat td")].map(td => td.style.background).join(" "));
const set = (id, value) => { const s = document.getElementById(id); s.value = value; s.dispatchEvent(new Event("change")); look(); };
look(); set("layer", "0"); set("head", "1"); set("head", "2"); set("map", "1"); set("map", "2");
const cells = [...document.querySelectorAll("#heat tbody tr")].map(r => [...r.cells].slice(1).reduce((a, c) => a + +c.dataset.weight, 0));
document.title = JSON.stringify({views: new Set(seen).size, empty: seen.some(s => !s), sums: cells, maps: document.querySelectorAll("#map option").length});
</script>"""
open(work + "/probe.html", "w", encoding="utf-8").write(page.replace("</html>", probe + "</html>"))
PY
timeout 90 chromium --headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update --no-first-run \
	--user-data-dir="$work/profile" --log-net-log="$work/net.json" --net-log-capture-mode=Everything \
	--virtual-time-budget=3000 --dump-dom "file://$work/probe.html" >"$work/dom.html" 2>"$work/chromium.log" || { cat "$work/chromium.log" >&2; exit 1; }
python3 - "$work" <<'PY'
import html, json, re, sys
work = sys.argv[1]
dom = open(work + "/dom.html", encoding="utf-8").read()
title = html.unescape(re.search(r"<title>(.*?)</title>", dom, re.S).group(1))
saw = json.loads(title)
assert saw["views"] >= 5 and not saw["empty"] and saw["maps"] == 3, saw
assert all(abs(s - 1) < 0.01 for s in saw["sums"]), saw
text = open(work + "/net.json", encoding="utf-8").read()
asked = {u for u in re.findall(r'"url":"([^"]+)"', text) if u.startswith(("http", "ws")) and not re.search(r"//[^/]*\.(google(apis)?\.com|gstatic\.com|gvt1\.com)/", u)}  # the browser's own errands
page = open(work + "/page.html", encoding="utf-8").read()
assert not re.search(r'(src|href)\s*=|url\(|@import|fetch\(|XMLHttpRequest', page), "the page refers to something outside"
assert not asked, asked
print(f"the page shows {saw['views']} different pictures of {saw['maps']} maps, and asks nobody for anything")
PY
