#!/bin/sh
# build.sh [-g] OUT [go build flags]: builds the shared library as OUT.
#
# This is the only place that knows how: the Makefile, the Python build and the
# tests call it. -g keeps the symbols, for valgrind and debuggers; so does -asan.
# CC, CGO_CFLAGS, GOARCH and the like work as for go build; GO names the go command.
set -eu

strip='-s -w'
if [ "${1-}" = -g ]; then
	strip=
	shift
fi
if [ $# -eq 0 ]; then
	echo "usage: build.sh [-g] OUT [go build flags]" >&2
	exit 2
fi
out=$1
shift
for flag; do
	case $flag in -asan | --asan) strip= ;; esac
done

case $out in
/*) ;;
*) out=$PWD/$out ;;
esac
capi=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
cd -- "$capi"

mkdir -p -- "$(dirname -- "$out")"
# Built aside and moved: a process that has the old one mapped keeps it whole.
aside=$(mktemp -d -- "$out.XXXXXX")
trap 'rm -rf -- "$aside"' EXIT
CGO_ENABLED=1 ${GO:-go} build -buildmode=c-shared -trimpath "$@" \
	-ldflags "$strip -extldflags \"-Wl,-soname,libaiows.so.0 '-Wl,--version-script=$capi/aiows.map'\"" \
	-o "$aside/libaiows.so" .
mv -f -- "$aside/libaiows.so" "$out"
