#!/bin/sh
# standard-streams - programs that are started without standard input, output or error, with output on a full disk, or with a
# limit of file sizes: nothing of theirs ends in a wrong place, and what is lost is said.
. tests/support/commands.sh
cd "$WORK"
pictures images/a/1.png images/a/2.png images/b/3.png
expect 0 "$bin/tfrecord" convert images --output reference/one --shards 1
shard=one-00000-of-00001.tfrecord
[ -f reference/$shard ] || fail "no reference/$shard: $(ls reference)"

# Every combination of closed streams: the shard and the batches are the same as with all of them open.
for closed in '<&-' '>&-' '2>&-' '<&- >&-' '<&- 2>&-' '>&- 2>&-' '<&- >&- 2>&-'; do
	rm -rf made read
	eval "\"$bin/tfrecord\" convert images --output made/one --shards 1 $closed" >out 2>err || fail "convert $closed: $(cat err)"
	cmp -s reference/$shard made/$shard || fail "convert $closed: another shard"
	eval "env -u BATCHD_SOCKET \"$bin/batchctl\" read reference/one.yaml --save read $closed" >out 2>err || fail "read $closed: $(cat err)"
	[ "$(ls read | wc -l)" = 2 ] || fail "read $closed: $(ls read)"
done

# A full disk: every command whose result is text fails. The lines cannot be shorter than the stream's buffer and be lost unseen.
full() {
	status=0
	"$@" >/dev/full 2>err || status=$?
	[ $status = 1 ] || fail "$* >/dev/full: status $status"
	grep -q 'could not be written\|cannot write' err || fail "$* >/dev/full: $(cat err)"
}
for program in batchd batchtrain batchctl tfrecord; do
	full "$bin/$program" --help
	full "$bin/$program" --version
done
for command in train evaluate predict export summary plot; do full "$bin/batchtrain" $command --help; done
for command in status streams top metrics preview read bench drain; do full "$bin/batchctl" $command --help; done
for command in convert info cat verify index; do full "$bin/tfrecord" $command --help; done
full "$bin/tfrecord" info --json reference/$shard
full "$bin/tfrecord" verify --json reference/$shard
full "$bin/tfrecord" cat reference/$shard
full env -u BATCHD_SOCKET "$bin/batchctl" read reference/one.yaml --json

# A limit of file sizes: an error with a message, and no file that is half there. The message goes through a pipe, which has no size.
limited() {
	blocks=$1
	shift
	(
		ulimit -f "$blocks"
		status=0
		"$@" 2>&1 || status=$?
		echo "status $status"
	) | cat >err
	grep -qx 'status 1' err || fail "$* under ulimit -f $blocks: $(cat err)"
}
limited 0 "$bin/tfrecord" convert images --output limited/one --shards 1
holds err 'File too large'
[ ! -e limited/$shard ] || fail "convert under ulimit -f 0 left a shard"
status=0
(ulimit -n 12 && exec env -u BATCHD_SOCKET "$bin/batchctl" read reference/one.yaml) >out 2>err || status=$?
[ $status = 1 ] || fail "read under ulimit -n 12: status $status"
holds err 'batchd may open 12 files here (ulimit -n'

# A private daemon that dies: how it ended.
dying() { # dying SCRIPT TEXT
	printf '#!/bin/sh\n%s\n' "$1" >daemon
	chmod +x daemon
	status=0
	env -u BATCHD_SOCKET BATCHD_DAEMON="$PWD/daemon" "$bin/batchctl" read reference/one.yaml >out 2>err || status=$?
	[ $status = 1 ] || fail "a daemon that does '$1': status $status"
	holds err "$2"
}
dying 'exit 3' 'the private batchd ended at its start (exit status 3)'
dying 'kill -SEGV $$' 'the private batchd ended at its start (killed by signal 11'
limited 1 env -u BATCHD_SOCKET "$bin/batchctl" read reference/one.yaml
holds err 'ulimit -f'
exit $failed
