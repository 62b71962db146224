#!/bin/sh
# full-disk - every command of every program with standard output on a full disk: where it has something to say there, it fails and says
# why; the end of no table is lost with exit 0. The commands come from --help: one that is new has no words below, and fails the test.
. tests/support/commands.sh
cd "$WORK"
unset BATCHD_SOCKET
[ -c /dev/full ] || { echo "skipped: no /dev/full"; exit 77; }
pictures images/a/1.png images/a/2.png images/b/3.png
expect 0 "$bin/tfrecord" convert images --output data --shards 1
shard=data-00000-of-00001.tfrecord
echo 'input: {height: 1, width: 1, channels: 3}
layers: [flatten, {type: dense, units: 2, activation: softmax}]
loss: sparse_categorical_crossentropy
metrics: [accuracy]' >model.yaml
expect 0 "$bin/batchtrain" train model.yaml --data data.yaml --model-dir run --batch 2 --steps 2 --report-every 1 --json
cp out log.json
socket=$WORK/socket daemon=

start_daemon() {
	"$bin/batchd" --socket "$socket" --dataset data=data.yaml >daemon.log 2>&1 </dev/null &
	daemon=$!
	wait_for_daemon "$socket" daemon.log
}

# words PROGRAM COMMAND: the rest of a command line that succeeds, in $words; files that it makes have a new name each time
number=0
words() {
	number=$((number + 1))
	case "$1 $2" in
	'batchtrain train') words="model.yaml --data data.yaml --model-dir run$number --batch 2 --steps 2 --report-every 1" ;;
	'batchtrain evaluate') words='--model-dir run --data data.yaml --confusion' ;;
	'batchtrain predict') words='--model-dir run images' ;;
	'batchtrain export') words="--model-dir run --format onnx --output made$number.onnx" ;;
	'batchtrain summary') words='model.yaml' ;;
	'batchtrain plot') words="log.json --output made$number.png" ;;
	'batchctl status' | 'batchctl streams' | 'batchctl metrics' | 'batchctl drain' | 'batchctl datasets') words="--connect $socket" ;;
	'batchctl top') words="--connect $socket --frames 1" ;;
	'batchctl preview') words="data.yaml --output made$number.png" ;;
	'batchctl read') words='data.yaml' ;;
	'batchctl bench') words='data.yaml --seconds 0.1' ;;
	'tfrecord convert') words="images --output made$number --shards 1" ;;
	'tfrecord info' | 'tfrecord cat' | 'tfrecord verify') words=$shard ;;
	'tfrecord index') words="$shard --force" ;;
	*) fail "$1 $2: a command that this test does not know" && words= ;;
	esac
}

# once OUTPUT PROGRAM COMMAND OPTION...: sets $status; errors go to $WORK/err
once() {
	output=$1 program=$2 command=$3
	shift 3
	words "$program" "$command"
	if [ "$program" = batchctl ] && [ -z "$daemon" ]; then start_daemon; fi
	status=0
	# shellcheck disable=SC2086 # words
	"$bin/$program" "$command" $words "$@" >"$output" 2>err </dev/null || status=$?
	if [ "$command" = drain ]; then
		wait "$daemon" || true
		daemon=
	fi
}

judge() { # judge TEXT: of what the first run gave in $WORK/out, and the second, onto a full disk, in $status and $WORK/err
	if [ -s out ]; then
		[ $status = 1 ] || fail "$1 >/dev/full: status $status"
		grep -q 'could not be written\|cannot write' err || fail "$1 >/dev/full: $(cat err)"
		told=$((told + 1))
	else
		[ $status = 0 ] || fail "$1 says nothing on standard output, and fails: $(cat err)"
	fi
}

told=0
walk() { # walk PROGRAM COMMAND OPTION...
	once out "$@"
	[ $status = 0 ] || fail "$*: status $status: $(cat err)"
	once /dev/full "$@"
	judge "$*"
}
for program in batchtrain batchctl tfrecord; do
	commands=$("$bin/$program" --help | sed -n '/^Commands/,$s/^  \([a-z]*\) .*/\1/p')
	[ "$(echo "$commands" | wc -l)" -ge 5 ] || fail "the commands of $program: $commands"
	for command in $commands; do
		walk "$program" "$command"
		walk "$program" "$command" --json
	done
done
walk batchtrain predict --csv
walk batchtrain evaluate --quiet
for option in --help --version; do
	for program in batchd batchtrain batchctl tfrecord; do
		"$bin/$program" $option >out 2>err || fail "$program $option"
		status=0
		"$bin/$program" $option >/dev/full 2>err || status=$?
		judge "$program $option"
	done
done
# Every command that gives a result, in both forms; the count tells that the first runs did print.
[ $told -ge 30 ] || fail "only $told of the runs had something to say"

# The lines of a training that were lost while the disk was full are told, though the last one was written: a pipe without a reader.
expect 0 sh -c "(\"$bin/batchtrain\" train model.yaml --data data.yaml --model-dir pipe --batch 2 --steps 30 --report-every 1 --json 2>pipe.err; echo \$? >pipe.status) | :"
[ "$(cat pipe.status)" = 1 ] || fail "train --json into a pipe that nobody reads: status $(cat pipe.status)"
[ "$(grep -c 'cannot write.*; training goes on' pipe.err)" = 1 ] || fail "train --json into a pipe that nobody reads: $(cat pipe.err)"
[ -e pipe/checkpoint-30.safetensors ] || fail "a training ended with its reader"
exit $failed
