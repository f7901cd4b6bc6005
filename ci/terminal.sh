#!/usr/bin/env bash
# terminal.sh BINARY tries demo, attend and chat at real terminals of 80 and 40 columns: what fits, colours and NO_COLOR, a pipe
# that closes, and Ctrl-C. It needs tmux, and installs it where it may.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: ci/terminal.sh BINARY" >&2; exit 2; }
bin=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
command -v tmux >/dev/null || { apt-get update -qq && apt-get install -y -qq tmux; } >/dev/null
work=$(mktemp -d "${TMPDIR:-/tmp}/godwit-terminal.XXXXXX")
server=godwit-$$
term() { TMUX='' tmux -L "$server" -f /dev/null "$@"; }
trap 'term kill-server 2>/dev/null || true; rm -rf "$work"' EXIT
unset NO_COLOR
term new-session -d -s keep cat # so that the server stays between terminals

fail() {
	echo "terminal.sh: $*" >&2
	term capture-pane -t t -p -J -S - 2>/dev/null | tail -40 >&2 || true
	exit 1
}

# start COLUMNS ENVIRONMENT opens a terminal with a shell.
start() {
	term kill-session -t t 2>/dev/null || true
	term new-session -d -s t -x "$1" -y 160 "env $2 PS1='ready ' bash --norc --noprofile -i"
	expect 'ready'
}

screen() { term capture-pane -t t -p -J; }

# expect TEXT waits until the terminal shows a pattern.
expect() {
	local i
	for i in $(seq 1 150); do
		screen | grep -qE -- "$1" && return
		sleep 0.1
	done
	fail "the terminal does not show: $1"
}

# shell LINE runs a line and waits for its exit status, which it checks.
shell() {
	runs=$((runs + 1))
	term send-keys -t t -l -- "$1; echo \"status=\$?=$runs\""
	term send-keys -t t Enter
	expect "^status=[0-9]+=$runs"
	screen | grep -q "^status=$2=$runs" || fail "$1: not status $2"
}
runs=0

# narrow COLUMNS checks that no line of output is wider, commands to copy aside: a terminal would have joined its parts.
narrow() {
	local wide
	wide=$(screen | grep -v -E -e 'ready |^ +(godwit|hf) ' -e "$bin" |
		PYTHONIOENCODING=utf-8 python3 -X utf8 -c 'import sys; [print(l, end="") for l in sys.stdin if len(l.rstrip("\n")) > int(sys.argv[1])]' "$1")
	[ -z "$wide" ] || fail "wider than $1 columns: $wide"
}

for columns in 80 40; do
	start "$columns" "NO_COLOR=1"
	shell "clear; $bin demo" 0
	expect 'machine'
	narrow "$columns"
	shell "clear; $bin attend -q 'I love NLP.'" 0
	narrow "$columns"
	! term capture-pane -t t -p -e | grep -q $'\e\[48' || fail "colours in spite of NO_COLOR"
	shell "clear; $bin attend --help" 0
	echo "demo and attend fit $columns columns"

	start "$columns" ""
	term send-keys -t t -l "clear; $bin chat; echo status=\$?="
	term send-keys -t t Enter
	expect '^> '
	term send-keys -t t -l 'What is NLP?'
	term send-keys -t t Enter
	expect 'NLP is a part of machine learning'
	term send-keys -t t C-c
	expect 'Ctrl-D ends the chat'
	term send-keys -t t -l "/save $work/talk.json"
	term send-keys -t t Enter
	expect '2 messages'
	term send-keys -t t C-d
	expect '^status=0='
	grep -q '"assistant"' "$work/talk.json" || fail "the conversation was not saved"
	echo "chat answers, takes Ctrl-C and ends at $columns columns"
done

start 80 "TERM=xterm-256color"
shell "clear; $bin attend -q 'I love NLP.'" 0
term capture-pane -t t -p -e | grep -q $'\e\[48' || fail "no colours at a terminal"
shell "clear; $bin demo | head -1; echo \${PIPESTATUS[0]} >$work/piped" 0
[ "$(cat "$work/piped")" = 0 ] || fail "a closed pipe is an error"
! screen | grep -qi -e 'broken' -e 'panic' || fail "a closed pipe is spoken about"
# Ctrl-C at any moment: while the answer of a long run is written, and while nothing is.
term send-keys -t t -l "clear; $bin score -f /dev/stdin; echo status=\$?="
term send-keys -t t Enter
sleep 0.5
term send-keys -t t C-c
expect 'status=130='
echo "colours, closed pipes and Ctrl-C"
