#!/bin/sh
# Install the Debian packages named that are not installed yet.
# usage: deps.sh PACKAGE...
set -eu
command -v dpkg-query >/dev/null || {
	echo "make deps knows Debian only; the tests want: $*" >&2
	exit 1
}
missing=
for package in "$@"; do
	case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true) in
	*' installed') ;;
	*) missing="$missing $package" ;;
	esac
done
if [ -z "$missing" ]; then
	echo "make deps: all there: $*"
	exit 0
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
$sudo apt-get update -q
# shellcheck disable=SC2086 # a list of names
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
