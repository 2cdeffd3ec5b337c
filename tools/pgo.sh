#!/bin/sh
# pgo.sh: makes capi/default.pgo anew, from where the library spends its time while
# the benchmark's echoes and floods run: client and server, ws and wss.
# Expects .venv with what tests/bench wants, and go on PATH; takes four minutes.
set -eu

cells='echo/256/1/callback echo/256/10/await echo/256/200/callback echo/256/2000/callback
	echo/65536/10/callback flood/128/iterate flood/8192/iterate flood/1048576/iterate
	echo/256/1/callback/wss flood/8192/iterate/wss serve/256/20 serve/256/500 handshakes'
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
made=$root/build/pgo
rm -rf -- "$made"
mkdir -p -- "$made/profiles"

# A package of its own, with a library that writes profiles.
cp -R -- "$root/python/aiows" "$made/aiows"
rm -f -- "$made/aiows/libaiows.so"
sh "$root/capi/build.sh" "$made/aiows/libaiows.so" -pgo=off -tags aiows_profile

for cell in $cells; do
	AIOWS_PROFILE=$made/profiles PYTHONPATH=$made "$root/.venv/bin/python" "$root/tests/bench" \
		--only "$cell" --no-others --pairs 1 --json "$made/results.json" 2> "$made/log" || {
		cat -- "$made/log" >&2
		exit 1
	}
done
# Symbolizing again would put names of the binaries at hand in the place of those recorded.
go tool pprof -symbolize=none -proto "$made"/profiles/*.prof > "$made/default.pgo" 2> "$made/log"
go tool pprof -symbolize=none -top -nodecount 15 "$made/default.pgo"
mv -- "$made/default.pgo" "$root/capi/default.pgo"
