#!/bin/sh
# Install wstest, the reference runner, into a folder.
# usage: setup.sh FOLDER; PY2 names the CPython 2.7 that is not found by itself
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$1
wstest=$folder/bin/wstest
stamp=$folder/.made-of

python=
for candidate in "${PY2:-}" python2.7 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python; do
	if [ -n "$candidate" ] && "$candidate" -c 'import pip, ssl, zlib' 2>/dev/null; then
		python=$candidate
		break
	fi
done
if [ -z "$python" ]; then
	echo "the reference runner needs a CPython 2.7 with pip, ssl and zlib: set PY2 to its path" >&2
	exit 1
fi

cmp -s "$here/requirements.txt" "$stamp" && [ -x "$wstest" ] && exit 0
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONWARNINGS=ignore
rm -rf "$folder"
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
# The last virtualenv that makes environments of 2.7 without downloading pip.
"$python" -m pip install -q --no-deps --target "$folder/maker" virtualenv==16.7.12
PYTHONPATH=$folder/maker "$python" -m virtualenv -q --no-download "$folder"
rm -rf "$folder/maker"
"$folder/bin/pip" install -q --no-deps setuptools==44.0.0
"$folder/bin/pip" install -q --no-deps -r "$here/requirements.txt"

# Fewer messages than 1000 in each of the 18 sizes of 12.* and 13.*, by the environment.
cases=$("$folder/bin/python" -c 'import autobahntestsuite as a; print(a.__path__[0])')/case
sed -i -E 's/^(   \([0-9]+, +)1000,/\1int(os.environ.get("WSTEST_DEFLATE_COUNT", "1000")),/' "$cases/case12_x_x.py"
rm -f "$cases/case12_x_x.pyc"
if [ "$(grep -c WSTEST_DEFLATE_COUNT "$cases/case12_x_x.py")" != 18 ]; then
	echo "the cases of compression are not those of autobahntestsuite 25.10.1" >&2
	exit 1
fi
cp "$here/requirements.txt" "$stamp"
