#!/bin/sh
# A run that is killed at any moment, interrupted, or that evaluates in between ends with the same bits as one that is left alone.
. tests/support/training.sh
make_data
make_model "$WORK/model.yaml"
steps=900
options="--eval-data $WORK/data/test.yaml --steps $steps --report-every 10 --eval-every 150 --checkpoint-every 7"

# shellcheck disable=SC2086
train whole $options || fail "$(cat "$WORK/whole.log")"

# what does not depend on the clock, by step
numbers() {
	grep '^{"step"' "$1" | sed 's/"images_per_s":[^,}]*,"waited_share":[^,}]*//' | sort -u
}

# in_background NAME: the run, and its process id
start() {
	# shellcheck disable=SC2086
	train "$1" $options &
	runner=$!
}

# the batchtrain below the background shell
trainer_of() {
	pgrep -P "$1" -x batchtrain || true
}

# lines_or_end NAME LINES: waits until the run has said so much, or is done
wait_for_lines() {
	while [ "$(grep -c '"step"' "$WORK/$1.json" 2>/dev/null || true)" -lt "$2" ] && kill -0 $runner 2>/dev/null; do sleep 0.01; done
}

# A run that nobody got to kill in time on a loaded machine is done again.
kills=0 status=1 lines=1 attempts=1
touch "$WORK/killed.json"
while [ $status != 0 ] || { [ $kills -lt 2 ] && [ $attempts -lt 20 ]; }; do
	if [ $status = 0 ]; then
		rm -r "$WORK/killed"
		: >"$WORK/killed.json"
		kills=0 lines=1 attempts=$((attempts + 1))
	fi
	start killed
	wait_for_lines killed $lines
	victim=$(trainer_of $runner)
	if [ -n "$victim" ] && [ $kills -lt 6 ] && kill -9 "$victim" 2>/dev/null; then kills=$((kills + 1)); fi
	lines=$(($(grep -c '"step"' "$WORK/killed.json") + 9))
	status=0
	wait $runner 2>/dev/null || status=$?
	[ $status = 0 ] || [ $status = 137 ] || fail "exit $status: $(cat "$WORK/killed.log")"
done
[ $kills -ge 2 ] || fail "the run ended before it could be killed twice"
cmp "$WORK/whole/checkpoint-$steps.safetensors" "$WORK/killed/checkpoint-$steps.safetensors" || fail "killed $kills times: another last checkpoint"
numbers "$WORK/whole.json" >"$WORK/whole.numbers"
numbers "$WORK/killed.json" >"$WORK/killed.numbers"
cmp "$WORK/whole.numbers" "$WORK/killed.numbers" || fail "killed $kills times: other losses"

# What a kill in the middle of saving leaves is removed by the next run; a person's copy is not.
touch "$WORK/killed/checkpoint-7.safetensors.a1B2c3" "$WORK/killed/checkpoint-7.safetensors.backup"
# shellcheck disable=SC2086
train killed $options || fail "$(cat "$WORK/killed.log")"
[ "$(ls "$WORK"/killed/checkpoint-7.safetensors.*)" = "$WORK/killed/checkpoint-7.safetensors.backup" ] || fail "left: $(ls "$WORK/killed")"

# Killed between the best checkpoint and best.json: the next run names it.
best=$(sed -n 's/.*"step":\([0-9]*\).*/\1/p' "$WORK/killed/best.json")
echo '{"step":1}' >"$WORK/killed/best.json"
# shellcheck disable=SC2086
train killed $options || fail "$(cat "$WORK/killed.log")"
grep -q "\"step\":$best," "$WORK/killed/best.json" || fail "best.json was not mended: $(cat "$WORK/killed/best.json")"

# Ctrl-C, and a terminal that is closed: a checkpoint of that very step, exit 130.
stop_with() {
	status=0 attempts=0
	while [ $status = 0 ] && [ $attempts -lt 20 ]; do # 0: it was done before the signal came
		attempts=$((attempts + 1))
		rm -rf "${WORK:?}/$1"
		: >"$WORK/$1.json"
		start "$1"
		wait_for_lines "$1" 5
		victim=$(trainer_of $runner)
		[ -z "$victim" ] || kill "-$1" "$victim" 2>/dev/null || true
		wait $runner || status=$?
	done
	[ $status = 130 ] || fail "exit $status after SIG$1: $(cat "$WORK/$1.log")"
	ls "$WORK/$1"/checkpoint-*.safetensors >/dev/null || fail "no checkpoint after SIG$1"
	# shellcheck disable=SC2086
	train "$1" $options || fail "$(cat "$WORK/$1.log")"
	cmp "$WORK/whole/checkpoint-$steps.safetensors" "$WORK/$1/checkpoint-$steps.safetensors" || fail "after SIG$1: another last checkpoint"
	numbers "$WORK/$1.json" >"$WORK/$1.numbers"
	cmp "$WORK/whole.numbers" "$WORK/$1.numbers" || fail "after SIG$1: other losses"
}
stop_with INT
# where the tests themselves run under nohup there is nothing to see
[ "$( (sh -c 'kill -HUP $$; echo ignored') 2>/dev/null || true)" = ignored ] || stop_with HUP

# One thread: the same bits too.
forty_steps() {
	"$bin/batchtrain" train "$WORK/model.yaml" --data "$WORK/data/train.yaml" --model-dir "$WORK/$1" --batch 20 --threads "$2" --steps 40 --quiet
}
forty_steps single 1
forty_steps double 2
cmp "$WORK/single/checkpoint-40.safetensors" "$WORK/double/checkpoint-40.safetensors" || fail "one thread and two: other weights"
for threads in 1 2 3; do
	BATCHD_BLAS=openblas forty_steps openblas-$threads $threads
	cmp "$WORK/openblas-1/checkpoint-40.safetensors" "$WORK/openblas-$threads/checkpoint-40.safetensors" || fail "openblas, one thread and $threads: other weights"
done

# A run that goes on says where, of how many steps in all; its bar counts all of them. A finished one does not go on.
grep -q 'going on from step' "$WORK/whole.log" && fail "a first run goes on: $(cat "$WORK/whole.log")"
loud() {
	"$bin/batchtrain" train "$WORK/model.yaml" --data "$WORK/data/train.yaml" --model-dir "$WORK/single" --batch 20 --threads 1 "$@" 2>"$WORK/loud.log" ||
		fail "$(cat "$WORK/loud.log")"
}
loud --steps 50
grep -qx 'batchtrain: going on from step 40 of 50' "$WORK/loud.log" || fail "going on: $(cat "$WORK/loud.log")"
loud --steps 50
grep -q 'going on' "$WORK/loud.log" && fail "it was done: $(cat "$WORK/loud.log")"

# A daemon that goes away: one line says that the run waits, and how long it will; then it goes on with the same bits.
start_daemon() {
	"$bin/batchd" --socket "$WORK/socket" >"$WORK/daemon.log" 2>&1 </dev/null &
	daemon=$!
	until "$bin/batchctl" status --connect "$WORK/socket" >/dev/null 2>&1; do
		kill -0 $daemon 2>/dev/null || fail "no daemon: $(cat "$WORK/daemon.log")"
		sleep 0.05
	done
}
start_daemon
# shellcheck disable=SC2086
"$bin/batchtrain" train "$WORK/model.yaml" --data "$WORK/data/train.yaml" --model-dir "$WORK/away" --batch 20 --steps $steps --report-every 10 --json --slots 2 \
	--checkpoint-every 7 --connect "$WORK/socket" >"$WORK/away.json" 2>"$WORK/away.log" &
runner=$!
wait_for_lines away 1
kill -9 $daemon
wait $daemon 2>/dev/null || true
while kill -0 $runner 2>/dev/null && ! grep -q 'waiting for it' "$WORK/away.log"; do sleep 0.05; done
start_daemon
wait $runner || fail "$(cat "$WORK/away.log")"
kill $daemon
wait $daemon || true
[ "$(grep -c 'the daemon is away; waiting for it, 60 s at most' "$WORK/away.log")" = 1 ] || fail "away: $(cat "$WORK/away.log")"
grep -q 'the daemon is back' "$WORK/away.log" || fail "back: $(cat "$WORK/away.log")"
"$bin/batchtrain" train "$WORK/model.yaml" --data "$WORK/data/train.yaml" --model-dir "$WORK/there" --batch 20 --steps $steps --report-every 10 --quiet
cmp "$WORK/there/checkpoint-$steps.safetensors" "$WORK/away/checkpoint-$steps.safetensors" || fail "a daemon that was away: other weights"
echo "killed $kills times, interrupted, one thread or two: the same bits"
