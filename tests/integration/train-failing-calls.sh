#!/bin/sh
# train-failing-calls - one call of batchtrain fails: memory, descriptors, the disk. A training that ends with 0 has the checkpoints and the
# lines of one that was left alone; what is exported is whole or not there; a good checkpoint is never called damaged. The shim that fails the
# calls is ../shared's; its sweep tries many more.
. tests/support/commands.sh
source=${BATCHD_SHARED:-$PWD/../shared}/examples/injected-faults/inject.c
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
cd "$WORK"
unset BATCHD_SOCKET

# hurt FAMILY ERROR WHEN COMMAND...: the WHEN-th call of the family fails in batchtrain
hurt() {
	what="$1 $2 $3"
	export LD_PRELOAD="$WORK/inject.so" INJECT_PROGRAM=batchtrain INJECT_FAMILY="$1" INJECT_ERROR="$2" INJECT_WHEN="$3"
	shift 3
	status=0
	"$@" >out 2>err || status=$?
	unset LD_PRELOAD
	# jansson 2.14 ends in an assertion of its own where a string of its parser has no memory
	[ $status -le 1 ] || grep -q lex_scan_string err || fail "$what: status $status of $*: $(cat err)"
	[ $status = 0 ] || [ -s err ] || fail "$what: no reason from $*"
	! grep -q 'remove checkpoint-\|--fresh' err || fail "$what: advice to remove what is good: $(cat err)"
}

pictures in/cat/1.png in/cat/2.png in/dog/3.png in/dog/4.png
expect 0 "$bin/tfrecord" convert in --shards 2 --output data --quiet
echo 'input: {height: 1, width: 1, channels: 3}
layers: [flatten, {type: dense, units: 4, activation: relu}, {type: dropout, rate: 0.5}, {type: dense, units: 1, activation: sigmoid}]
loss: binary_crossentropy
optimizer: {name: adam, learning_rate: 0.01}
metrics: [accuracy]' >model.yaml
train() { # train WHERE STEPS
	set -- "$bin/batchtrain" train model.yaml --data data.yaml --model-dir "$1" --batch 2 --threads 1 --checkpoint-every 2 --report-every 1 --json --quiet --steps "$2"
	if [ -n "$family" ]; then hurt "$family" "$error" $n "$@"; else expect 0 "$@"; fi
}
lines() { sed 's/,"images_per_s":.*//' out; }
family=
train half 3
train whole 3
train whole 6
lines >whole.lines

# ---- training that goes on ----
refused=0 whole=0
for kind in alloc:ENOMEM:1200:23 open:EMFILE:30:1 read:EIO:40:1; do
	family=${kind%%:*} kind=${kind#*:}
	error=${kind%%:*} kind=${kind#*:}
	last=${kind%:*} step=${kind#*:} n=1
	while [ $n -lt "$last" ]; do
		rm -rf run
		cp -r half run
		train run 6
		if [ $status = 0 ]; then
			whole=$((whole + 1))
			lines | cmp -s - whole.lines || fail "$what: exit 0 with other lines: $(cat out err)"
			cmp -s whole/checkpoint-6.safetensors run/checkpoint-6.safetensors || fail "$what: exit 0 with another checkpoint: $(cat err)"
		else
			refused=$((refused + 1))
		fi
		# Whatever happened: the same command afterwards ends as if nothing had.
		family=''
		train run 6
		family=${what%% *}
		cmp -s whole/checkpoint-6.safetensors run/checkpoint-6.safetensors || fail "$what: the run after it has another checkpoint"
		n=$((n + step))
	done
done
[ $refused -gt 20 ] && [ $whole -gt 0 ] || fail "train: $refused of the runs were refused, $whole were whole"

# ---- exports: whole, or none ----
refused=0
expect 0 "$bin/batchtrain" export --model-dir whole --format safetensors --output whole.safetensors
n=100
while [ $n -lt 900 ]; do
	rm -f made.safetensors
	hurt alloc ENOMEM $n "$bin/batchtrain" export --model-dir whole --format safetensors --output made.safetensors
	if [ -e made.safetensors ]; then
		cmp -s whole.safetensors made.safetensors || fail "$what: another file than that of a run left alone"
	else
		[ $status = 1 ] || fail "$what: no file, status $status"
		refused=$((refused + 1))
	fi
	n=$((n + 37))
done
[ $refused -gt 3 ] || fail "export: only $refused calls failed"
exit $failed
