#!/bin/sh
# train-epochs - evaluations and checkpoints once an epoch come at the step that trains an epoch's last record, also where batches carry over
# from one epoch to the next; a run that goes on has them at the same steps.
. tests/support/commands.sh
cd "$WORK"
unset BATCHD_SOCKET
for number in 0 1 2 3 4; do pictures train/a/$number.png train/b/$number.png; done
echo 'shards: {folder: train}
features:
  image: {type: image, resize: {height: 2, width: 2}, scale: 0.004}
  label: {type: int64}' >train.yaml
echo 'input: {height: 2, width: 2, channels: 3}
layers: [flatten, {type: dense, units: 1, activation: sigmoid}]
loss: binary_crossentropy
metrics: [accuracy]' >model.yaml
train() { # train MODEL-DIR OPTION...
	folder=$1
	shift
	expect 0 "$bin/batchtrain" train model.yaml --data train.yaml --eval-data train.yaml --model-dir "$folder" --batch 4 --json --quiet "$@"
}
evaluated() { sed -n 's/^{"step":\([0-9]*\),.*"eval":{.*/\1/p' out | tr '\n' ' '; }

# 7 epochs of 10 records are 17.5 batches of 4: the epochs end in batches 3, 5, 8, 10, 13, 15 and 18.
train whole --epochs 7 --keep 100
[ "$(evaluated)" = '3 5 8 10 13 15 18 ' ] || fail "carry: evaluated at $(evaluated)"
[ "$(ls whole | grep -c '^checkpoint-')" = 7 ] || fail "carry: $(ls whole)"
train parts --epochs 7 --steps 5
first=$(evaluated)
train parts --epochs 7 --steps 9
second=$(evaluated)
train parts --epochs 7
[ "$first$second$(evaluated)" = '3 5 8 10 13 15 18 ' ] || fail "in parts: $first/ $second/ $(evaluated)"
cmp -s whole/checkpoint-18.safetensors parts/checkpoint-18.safetensors || fail "in parts: other weights or positions"

# Short and dropped remainders: 3 and 2 batches an epoch.
train short --epochs 3 --remainder short
[ "$(evaluated)" = '3 6 9 ' ] || fail "short: evaluated at $(evaluated)"
train drop --epochs 3 --remainder drop
[ "$(evaluated)" = '2 4 6 ' ] || fail "drop: evaluated at $(evaluated)"
train every --epochs 3 --eval-every 4
[ "$(evaluated)" = '4 8 ' ] || fail "--eval-every 4: evaluated at $(evaluated)"

# Slurm's warning: saved, and told as an interruption.
status=0
"$bin/batchtrain" train model.yaml --data train.yaml --model-dir long --batch 4 --steps 100000000 2>err &
until [ -e long/model.yaml ]; do sleep 0.05; done
kill -USR1 $!
wait $! || status=$?
[ $status = 130 ] || fail "SIGUSR1: status $status"
holds err 'interrupted after step'
ls long/checkpoint-* >/dev/null || fail "SIGUSR1: no checkpoint"
exit $failed
