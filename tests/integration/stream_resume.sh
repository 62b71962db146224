#!/bin/sh
# stream_resume - the same batches whatever happens: other thread counts, a start in the middle, a group, a daemon killed again and again.
. tests/support/commands.sh

# ---- a dataset of 300 records in 3 shards ----

n=0
while [ $n -lt 300 ]; do
	pictures "$WORK/images/$((n % 7))/$n.png"
	n=$((n + 1))
done
"$bin/tfrecord" convert "$WORK/images" --output "$WORK/data" --shards 3 --encoding keep --quiet >/dev/null
cat >"$WORK/labels.yaml" <<'YAML'
shards: data-*.tfrecord
features:
  label: {type: int64}
YAML

spec='--batch 7 --shuffle global --seed 5 --remainder carry --json --quiet'
# shellcheck disable=SC2086 # the options are a list of words
read_batches() { "$bin/batchctl" read "$WORK/labels.yaml" $spec "$@"; }

# ---- threads and starts ----

read_batches --epochs 5 >"$WORK/whole"
[ "$(wc -l <"$WORK/whole")" = 216 ] || fail "not 215 batches and a result"
for threads in 1 2 8; do
	read_batches --epochs 5 --threads $threads >"$WORK/out"
	cmp -s "$WORK/whole" "$WORK/out" || fail "other batches with $threads threads"
done
for line in 1 43 44 100 215; do
	start=$(sed -n "${line}p" "$WORK/whole" | sed 's/.*"epoch":\([0-9]*\),"batch":\([0-9]*\).*/\1:\2/')
	read_batches --epochs 5 --start "$start" | grep -v '^{"batches"' >"$WORK/out"
	sed -n "${line},215p" "$WORK/whole" | cmp -s - "$WORK/out" || fail "other batches from $start on"
done

# ---- a daemon ----

daemon=
start_daemon() {
	"$bin/batchd" --socket "$WORK/socket" --memory 256MiB --threads 2 2>>"$WORK/log" &
	daemon=$!
	wait_for_daemon "$WORK/socket" "$WORK/log"
}
stop_daemon() {
	kill -TERM "$daemon"
	wait "$daemon" || fail "the daemon ended with $?"
}

start_daemon
pids=
for consumer in 1 2 3; do
	read_batches --epochs 5 --connect "$WORK/socket" --share-group g --share-start 3 >"$WORK/group$consumer" &
	pids="$pids $!"
done
for pid in $pids; do
	wait "$pid" || fail "a consumer of the group ended with $?"
done
for consumer in 1 2 3; do
	cmp -s "$WORK/whole" "$WORK/group$consumer" || fail "consumer $consumer of the group got other batches"
done

# ---- killed at any moment, for a private stream and for each consumer of a group ----

batches=50000
read_batches --epochs 0 --batches $batches | grep -v '^{"batches"' >"$WORK/long"
read_batches --epochs 0 --batches $batches --connect "$WORK/socket" >"$WORK/alone" &
alone=$!
read_batches --epochs 0 --batches $batches --connect "$WORK/socket" --share-group k --share-start 2 >"$WORK/k1" &
first=$!
read_batches --epochs 0 --batches $batches --connect "$WORK/socket" --share-group k --share-start 2 >"$WORK/k2" &
second=$!
# until FILE: it has something in it
until_written() {
	until [ -s "$1" ]; do sleep 0.01; done
}
until_written "$WORK/alone"
until_written "$WORK/k1"
for pause in 0 0.1 0.3; do
	sleep $pause
	kill -KILL "$daemon"
	wait "$daemon" 2>/dev/null || true
	start_daemon
done
wait $alone || fail "the private consumer ended with $?"
wait $first || fail "the group's first consumer ended with $?"
wait $second || fail "the group's second consumer ended with $?"
for out in alone k1 k2; do
	grep -v '^{"batches"' "$WORK/$out" | cmp -s "$WORK/long" - || fail "$out: other batches over the daemon's death"
done

# ---- a consumer that stops: its group goes on without it, and it gets every batch all the same ----

# not through a function: the signal must reach the program itself. The time is far above what a busy machine lets a process wait.
group="--epochs 0 --batches $batches --connect $WORK/socket --share-group s --share-start 2 --share-timeout 2s"
# shellcheck disable=SC2086 # the options are lists of words
"$bin/batchctl" read "$WORK/labels.yaml" $spec $group >"$WORK/s1" 2>>"$WORK/err" &
first=$!
# shellcheck disable=SC2086
"$bin/batchctl" read "$WORK/labels.yaml" $spec $group >"$WORK/s2" 2>>"$WORK/err" &
second=$!
until_written "$WORK/s1"
kill -STOP $first
wait $second || fail "the quick consumer of the group ended with $?"
kill -CONT $first
wait $first || fail "the consumer that was stopped ended with $?"
grep -q "too slow for group 's'" "$WORK/log" || fail "the stopped consumer was not detached"
for out in s1 s2; do
	grep -v '^{"batches"' "$WORK/$out" | cmp -s "$WORK/long" - || fail "$out: other batches when a consumer of the group stops"
done
stop_daemon
# ... and it did die in the middle: streams were opened again at a later epoch.
[ "$(grep -c ' from [1-9][0-9]*:' "$WORK/log")" -ge 3 ] || fail "the daemon was killed when nobody read any more"
exit $failed
