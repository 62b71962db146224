#!/bin/bash
# cgroup OOM: a memory limit of the daemon's group. Within it a dataset of several times its size streams; --memory above it is refused at the
# start; a daemon that the kernel kills for it costs a trainer no batch once another one is there.
set -u
bin=$BUILD/bin limit_mib=64
case $BUILD in
*asan | *tsan)
	echo "skipped: sanitizers need memory of their own"
	exit 77
	;;
esac
fail() {
	echo "memory-limit: $*" >&2
	tail -n 3 "$WORK"/*log >&2
	exit 1
}

# ---- a group of our own, version 1 or 2 ----

own=$(awk -F: '$2 ~ /(^|,)memory(,|$)/ { print $3 }' /proc/self/cgroup)
if [ -n "$own" ]; then
	group=$(awk '$3 == "cgroup" && $4 ~ /(^|,)memory(,|$)/ { print $2; exit }' /proc/mounts)${own%/}/batchd-test-$$
	limit=memory.limit_in_bytes kills=memory.oom_control
else
	mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
	grep -qw memory "${mount:-/none}/cgroup.subtree_control" 2>/dev/null || {
		echo "skipped: no memory controller"
		exit 77
	}
	group=$mount/batchd-test-$$ limit=memory.max kills=memory.events
fi
mkdir "$group" 2>/dev/null || {
	echo "skipped: this user may not make a control group"
	exit 77
}
daemon= reader= eater=
finish() {
	# shellcheck disable=SC2086 # none or one word each
	kill -9 $daemon $reader $eater 2>/dev/null
	wait 2>/dev/null
	for _ in $(seq 50); do rmdir "$group" 2>/dev/null && break || sleep 0.1; done
}
trap finish EXIT
echo $((limit_mib << 20)) >"$group/$limit" || fail "no limit"
for swap in memory.memsw.limit_in_bytes memory.swap.max; do
	[ ! -w "$group/$swap" ] || { [ $swap = memory.swap.max ] && echo 0 || echo $((limit_mib << 20)); } >"$group/$swap" 2>/dev/null || true
done
killed() { awk '$1 == "oom_kill" { print $2 }' "$group/$kills"; }
# shellcheck disable=SC2016 # the inner shell's words
in_group() { exec bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@"; }
start() { # start ARGUMENTS...: a daemon in the group
	rm -f "$WORK/daemon.log"
	(in_group "$bin/batchd" --socket "$WORK/s" --dataset "data=$WORK/t.yaml" --threads 2 "$@") >"$WORK/daemon.log" 2>&1 </dev/null &
	daemon=$!
	for _ in $(seq 400); do
		grep -qs 'ready on' "$WORK/daemon.log" && return 0
		kill -0 $daemon 2>/dev/null || break
		sleep 0.05
	done
	return 1
}

# 160,000 pictures of 28x28 in four shards: 130 MB.
{ printf '\0\0\10\3\0\2\161\0\0\0\0\34\0\0\0\34'; head -c $((160000 * 784)) /dev/zero | tr '\0' '\125'; } >"$WORK/images"
{ printf '\0\0\10\1\0\2\161\0'; head -c 160000 /dev/zero; } >"$WORK/labels"
"$bin/tfrecord" convert --idx "$WORK/images" "$WORK/labels" --output "$WORK/t" --shards 4 --quiet >"$WORK/convert.log" 2>&1 || fail "convert"
rm "$WORK/images"
read_arguments=(read data --connect "$WORK/s" --batch 1000 --shuffle global --epochs 4 --json --quiet)

# ---- refused, not killed ----

start --memory 1GiB && fail "--memory 1GiB starts within $limit_mib MiB"
wait $daemon
[ $? = 1 ] || fail "--memory 1GiB ends with another status than 1"
grep -q -- '--memory' "$WORK/daemon.log" || fail "the refusal does not name --memory"
[ "$(wc -l <"$WORK/daemon.log")" = 1 ] || fail "the refusal is not one line"

# ---- larger than the limit ----

start --memory 32MiB || fail "--memory 32MiB does not start"
timeout 120 "$bin/batchctl" "${read_arguments[@]}" >"$WORK/whole" 2>"$WORK/whole.log" || fail "a dataset larger than the limit"
[ "$(grep -c '"rows":1000' "$WORK/whole")" = 640 ] || fail "not 640 batches"
[ "$(killed)" = 0 ] || fail "the limit killed"

# ---- killed ----

# The program itself is what has to stop, not a shell before it; on a loaded machine it may be at its end before.
for _ in $(seq 20); do
	: >"$WORK/again"
	"$bin/batchctl" "${read_arguments[@]}" >"$WORK/again" 2>"$WORK/again.log" &
	reader=$!
	for _ in $(seq 400); do
		[ "$(wc -l <"$WORK/again")" -lt 20 ] || break
		sleep 0.02
	done
	kill -STOP $reader
	while grep -q '^State:.*[RSD] ' "/proc/$reader/status"; do sleep 0.01; done
	grep -q '^State:.*T ' "/proc/$reader/status" && break
done
[ "$(wc -l <"$WORK/again")" -lt 640 ] || fail "the reader was too fast"
echo 1000 >/proc/$daemon/oom_score_adj # of this group's processes the kernel shall take the daemon
(in_group bash -c "head -c $((4 * limit_mib << 20)) /dev/zero | tail") >/dev/null 2>&1 & # one endless line: tail keeps it all
eater=$!
for _ in $(seq 400); do
	kill -0 $daemon 2>/dev/null || break
	sleep 0.05
done
kill -0 $daemon 2>/dev/null && fail "the kernel did not kill"
wait $daemon 2>/dev/null
[ $? = 137 ] || fail "the daemon was not killed"
wait $eater 2>/dev/null # killed next, or at its end
[ "$(killed)" -gt 0 ] || fail "it was not the limit that killed"
start --memory 32MiB || fail "the next daemon does not start"
kill -CONT $reader
wait $reader || fail "the trainer did not get over the daemon's death"
cmp -s "$WORK/whole" "$WORK/again" || fail "the trainer had other batches than without the death"
reader=
kill -TERM $daemon
wait $daemon || fail "the daemon ended with $?"
daemon=
echo "cgroup OOM costs no batch"
