# commands.sh - sourced by the tests that call the programs as a person or a script does: what they print, and how they end.
#
# A test goes on after a failure and ends with `exit $failed`.
set -eu
: "${BUILD:=build/release}" "${WORK:?}"
# shellcheck disable=SC2034 # for those that source this
bin=$PWD/$BUILD/bin failed=0
export LC_ALL=C

fail() {
	echo "FAILED: $*" >&2
	failed=1
}

# expect STATUS COMMAND...: output goes to $WORK/out, errors to $WORK/err
expect() {
	status=$1
	shift
	actual=0
	"$@" >"$WORK/out" 2>"$WORK/err" || actual=$?
	[ "$actual" = "$status" ] || fail "$*: status $actual, not $status: $(head -c 300 "$WORK/err")"
}

# holds FILE TEXT...: $WORK/FILE has each fixed text
holds() {
	file=$1
	shift
	for text in "$@"; do
		grep -qF -- "$text" "$WORK/$file" || fail "no '$text' in $file: $(head -c 600 "$WORK/$file")"
	done
}

# pictures FILE...: each a PNG of one white pixel; folders are made
pictures() {
	for picture in "$@"; do
		mkdir -p "${picture%/*}"
		printf '\211PNG\015\012\032\012\000\000\000\015IHDR\000\000\000\001\000\000\000\001\010\000\000\000\000:~\233U\000\000\000\012IDATx\234c\370\017\000\001\001\001\000\261\070\366\024\000\000\000\000IEND\256B`\202' >"$picture"
	done
}

# wait_for_daemon SOCKET LOG: until it answers
wait_for_daemon() {
	tries=0
	until "$bin/batchctl" status --connect "$1" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 1000 ] || { echo "FAILED: no daemon answers: $(cat "$2")" >&2; exit 1; }
		sleep 0.05
	done
}
