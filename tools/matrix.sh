#!/bin/sh
# Run the Python tests with each other supported Python that is present, on the built wheel.
set -eu
own=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')

find_python() { # the path of Python $1, from PATH (a pyenv shim may answer nothing) or pyenv
	for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
		if "$candidate" -c "import sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null; then
			command -v "$candidate"
			return
		fi
	done
}

failed=
for version in 3.11 3.12 3.13; do
	[ "$version" != "$own" ] || continue
	python=$(find_python "$version")
	if [ -z "$python" ]; then
		echo "python $version: not present, its tests are left out"
		continue
	fi
	venv=.cache/venv-$version
	[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
	pip="$venv/bin/python -m pip install -q --disable-pip-version-check"
	if ! cmp -s tests/requirements.txt "$venv/requirements.txt"; then
		$pip -r tests/requirements.txt
		cp tests/requirements.txt "$venv/requirements.txt"
	fi
	# The wheel is tagged with the Python whose headers it was built with: see python/setup.py.
	if [ "$(printf '%s\n' "$own" "$version" | sort -V | head -n 1)" = "$own" ]; then
		$pip --force-reinstall --no-deps build/wheel/libaiows-*.whl
	else
		$pip --force-reinstall --no-deps ./python
	fi
	echo "python $version: $("$venv/bin/python" --version)"
	"$venv/bin/python" -m pytest tests/python || failed="$failed $version"
done
[ -z "$failed" ] || {
	echo "the Python tests failed with Python$failed" >&2
	exit 1
}
