#!/bin/sh
# bootstrap.sh - from a fresh Debian 12 or 13 to a built, demonstrated or checked project.
#
#   ./bootstrap.sh build    install the packages of packages.txt, then make
#   ./bootstrap.sh demo     the same, then make demo (Fashion-MNIST: convert, train, evaluate, predict)
#   ./bootstrap.sh check    the same, then make check (every test; needs no ../shared)
#
# Packages that are there are not installed again; with all of them there no root is needed.
set -eu
cd "$(dirname "$0")"

usage() {
	sed -n '2,8s/^# \{0,1\}//p' bootstrap.sh
	exit "$1"
}

# groups_of TARGET: which groups of packages.txt the target needs
groups_of() {
	case $1 in
	build) echo build ;;
	demo) echo build run ;;
	check) echo build run test ;;
	esac
}

missing_packages() {
	for group in $(groups_of "$1"); do
		awk -v group="$group" '$1 == group { print $2 }' packages.txt
	done | while read -r package; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || echo "$package"
	done
}

install() {
	command -v apt-get >/dev/null 2>&1 || {
		echo "bootstrap.sh: no apt-get here; install what packages.txt lists, then run make $target" >&2
		exit 1
	}
	as_root=
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null 2>&1 || {
			echo "bootstrap.sh: these packages are missing, and installing them needs root or sudo:" $1 >&2
			exit 1
		}
		as_root=sudo
	fi
	echo "bootstrap.sh: installing" $1 >&2
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
	# shellcheck disable=SC2086 # one word a package
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $1
}

[ $# -eq 1 ] || usage 2
target=$1
case $target in
build | demo | check) ;;
-h | --help) usage 0 ;;
*) usage 2 ;;
esac

missing=$(missing_packages "$target" | tr '\n' ' ')
[ -z "$missing" ] || install "$missing"

case $target in
build) exec make -j"$(nproc)" ;;
*) exec make -j"$(nproc)" "$target" ;;
esac
