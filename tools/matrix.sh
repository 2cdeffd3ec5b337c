#!/bin/sh
# Run the Python tests with each other supported Python that is present, on the built wheel.
# They run side by side in two processes each, as most of their time is waiting, and without what
# is marked `once`.
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

prepare() { # make the environment $1 with Python $2, version $3
	[ -x "$1/bin/python" ] || "$2" -m venv "$1"
	pip="$1/bin/python -m pip install -q --disable-pip-version-check"
	if ! cmp -s tests/requirements.txt "$1/requirements.txt"; then
		$pip -r tests/requirements.txt
		cp tests/requirements.txt "$1/requirements.txt"
	fi
	# The wheel is tagged with the Python whose headers it was built with: see python/setup.py.
	if [ "$(printf '%s\n' "$own" "$3" | sort -V | head -n 1)" = "$own" ]; then
		$pip --force-reinstall --no-deps build/wheel/libaiows-*.whl
	else
		$pip --force-reinstall --no-deps ./python
	fi
}

mkdir -p build
running=
for version in 3.11 3.12 3.13; do
	[ "$version" != "$own" ] || continue
	python=$(find_python "$version")
	if [ -z "$python" ]; then
		echo "python $version: not present, its tests are left out"
		continue
	fi
	venv=.cache/venv-$version
	prepare "$venv" "$python" "$version"
	"$venv/bin/python" -m pytest -n 2 --dist worksteal -m "not once" -o cache_dir="$venv/pytest" tests/python \
		>"build/tests-$version.log" 2>&1 &
	running="$running $version:$!"
done

failed=
for item in $running; do
	version=${item%:*}
	status=0
	wait "${item#*:}" || status=$?
	echo "python $version: $(".cache/venv-$version/bin/python" --version)"
	cat "build/tests-$version.log"
	[ "$status" = 0 ] || failed="$failed $version"
done
[ -z "$failed" ] || {
	echo "the Python tests failed with Python$failed" >&2
	exit 1
}
