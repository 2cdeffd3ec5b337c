#!/bin/sh
# Name what the build needs and this machine lacks, one line, before anything is made.
# usage: preflight.sh PYTHON
set -u
python=$1
missing=

need() { missing="$missing $1"; }

command -v gcc >/dev/null 2>&1 || need gcc
# Without gcc its own probe would fail too, and name a package that may be there.
if command -v gcc >/dev/null 2>&1; then
	echo '#include <stdlib.h>' | gcc -E -x c - >/dev/null 2>&1 || need libc6-dev
elif ! [ -e /usr/include/stdlib.h ]; then
	need libc6-dev
fi
if command -v "$python" >/dev/null 2>&1; then
	"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
		echo "cannot build: $python is $("$python" --version 2>&1), 3.11 or later is needed (make PYTHON=...)" >&2
		exit 1
	}
	"$python" - <<-'END' || need python3-dev
		import os, sys, sysconfig
		sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))
	END
	"$python" -c 'import ensurepip, venv' 2>/dev/null || need python3-venv
else
	need python3-dev
	need python3-venv
fi

if [ -n "$missing" ]; then
	echo "cannot build:$missing missing; on Debian: apt-get install$missing" >&2
	exit 1
fi
