#!/bin/sh
# failing-calls - one call of tfrecord fails: memory, descriptors, the disk. A result is whole or the command fails, a good picture is
# not taken for a broken one, and no file is lost. The shim that fails the calls is ../shared's; its sweep tries many more.
. tests/support/commands.sh
tfrecord=$bin/tfrecord
source=${BATCHD_SHARED:-../shared}/examples/injected-faults/inject.c
case $BUILD in
*san)
	echo "   skipped: the shim and the sanitizers replace the same functions"
	exit 77
	;;
esac
[ -f "$source" ] || {
	echo "   skipped: $source is missing"
	exit 77
}
cc -O1 -shared -fPIC -o "$WORK/inject.so" "$source" -ldl -pthread

# hurt FAMILY ERROR WHEN COMMAND...: the WHEN-th call of the family fails ("N+": that one and all after it)
hurt() {
	what="$1 $2 $3"
	export LD_PRELOAD="$WORK/inject.so" INJECT_PROGRAM=tfrecord INJECT_FAMILY="$1" INJECT_ERROR="$2" INJECT_WHEN="$3"
	shift 3
	status=0
	"$@" >"$WORK/out" 2>"$WORK/err" || status=$?
	unset LD_PRELOAD
	[ $status -le 1 ] || fail "$what: status $status of $*: $(cat "$WORK/err")"
	[ $status = 0 ] || [ -s "$WORK/err" ] || fail "$what: no reason from $*"
}

pictures "$WORK/in/cat/1.png" "$WORK/in/cat/2.png" "$WORK/in/dog/3.png"
"$tfrecord" convert "$WORK/in" --shards 2 --output "$WORK/first/set" --json --quiet >"$WORK/whole.json"
(cd "$WORK/first" && sha256sum set*) >"$WORK/first.sums"

# ---- JSON: whole, or the command fails ----

shard=$WORK/first/set-00000-of-00002.tfrecord
for command in 'cat' 'info' 'verify'; do
	"$tfrecord" $command "$shard" --json --quiet >"$WORK/whole"
	refused=0 n=1
	while [ $n -lt 120 ]; do
		hurt alloc ENOMEM $n "$tfrecord" $command "$shard" --json --quiet
		if [ $status = 1 ]; then
			refused=$((refused + 1))
		else
			cmp -s "$WORK/out" "$WORK/whole" || fail "$command, allocation $n: exit 0 with $(cat "$WORK/out")"
		fi
		n=$((n + 3))
	done
	[ $refused -gt 0 ] || fail "$command: no allocation failed"
done

# ---- --on-error skip: only what is wrong with the picture itself ----

refused=0
for family in open:EMFILE read:EIO alloc:ENOMEM; do
	n=1 last=20 step=1
	[ $family != alloc:ENOMEM ] || last=150 step=3
	while [ $n -lt $last ]; do
		hurt ${family%:*} ${family#*:} $n "$tfrecord" convert "$WORK/in" --shards 2 --on-error skip --jobs 1 --json --quiet \
			--output "$WORK/skip/set"
		if [ $status = 1 ]; then
			refused=$((refused + 1))
			# all of the files where only the line on standard output is missing, else none
			[ ! -e "$WORK/skip" ] || [ "$(cd "$WORK/skip" && sha256sum -- *)" = "$(cat "$WORK/first.sums")" ] ||
				fail "$family $n: left behind: $(ls -A "$WORK/skip")"
		else
			cmp -s "$WORK/out" "$WORK/whole.json" || fail "$family $n: exit 0 with $(cat "$WORK/out" "$WORK/err")"
		fi
		rm -rf "$WORK/skip"
		n=$((n + step))
	done
done
[ $refused -gt 20 ] || fail "convert: only $refused calls failed"

# ---- --force: the earlier set or the new one, whole ----

for family in rename:EIO unlink:EACCES sync:EIO mkdir:ENOSPC stat:EACCES; do
	n=1
	while [ $n -lt 14 ]; do
		rm -rf "$WORK/forced"
		cp -r "$WORK/first" "$WORK/forced"
		hurt ${family%:*} ${family#*:} $n "$tfrecord" convert "$WORK/in" --shards 3 --force --quiet --output "$WORK/forced/set"
		if [ $status = 1 ]; then
			(cd "$WORK/forced" && sha256sum set*) >"$WORK/sums"
			cmp -s "$WORK/sums" "$WORK/first.sums" || fail "$family $n: the earlier set is not whole: $(ls -A "$WORK/forced")"
			[ "$(find "$WORK/forced" | wc -l)" = 4 ] || fail "$family $n: left behind: $(ls -A "$WORK/forced")"
		else
			[ "$(find "$WORK/forced" -maxdepth 1 -name 'set*' | wc -l)" = 4 ] || fail "$family $n: the new set: $(ls -A "$WORK/forced")"
			"$tfrecord" verify "$WORK/forced/set.yaml" --quiet >/dev/null || fail "$family $n: the new set is damaged"
		fi
		n=$((n + 1))
	done
done

# a disk that stays broken: nothing is lost, and the next run puts the earlier set back
for n in 2+ 5+ 6+; do
	rm -rf "$WORK/forced"
	cp -r "$WORK/first" "$WORK/forced"
	hurt rename EIO $n "$tfrecord" convert "$WORK/in" --shards 3 --force --quiet --output "$WORK/forced/set"
	[ $status = 1 ] || fail "rename $n: status $status"
	holds err 'the earlier files are in'
	expect 1 "$tfrecord" convert "$WORK/in" --shards 3 --output "$WORK/forced/set"
	holds err 'is there already; --force replaces it'
	(cd "$WORK/forced" && sha256sum set*) >"$WORK/sums"
	cmp -s "$WORK/sums" "$WORK/first.sums" || fail "rename $n: the earlier set did not come back: $(ls -A "$WORK/forced")"
done

exit $failed
