#!/bin/sh
# train-nan - a loss that is no number: data that holds such numbers is named, weights that have run away are never saved, and no
# command calls them good.
. tests/support/commands.sh
cd "$WORK"
unset BATCHD_SOCKET
pictures train/cat/1.png train/cat/2.png train/dog/1.png train/dog/2.png
expect 0 "$bin/tfrecord" convert train --output data --shards 1 --resize 4x4 --label-key class
dataset() { # dataset FILE LABEL: of the shards; they have no feature `label`, so its default is every label
	echo "shards: [data-00000-of-00001.tfrecord]
features:
  image: {type: image, encoding: raw, shape: [4, 4, 3], scale: 0.004}
  label: {$2}" >"$1"
}
dataset nan.yaml 'type: float, default: .nan'
dataset good.yaml 'type: float, default: 1.0'
model() { # model FILE OPTIMIZER
	echo "input: {height: 4, width: 4, channels: 3}
layers:
  - {type: conv2d, filters: 4, kernel_size: 3, activation: relu}
  - flatten
  - {type: dense, units: 8}
  - {type: dense, units: 1}
loss: mean_squared_error
optimizer: $2
metrics: [mean_absolute_error]" >"$1"
}
model model.yaml '{name: sgd, learning_rate: 0.001}'

# The data's fault: the record and what of it.
expect 1 "$bin/batchtrain" train model.yaml --data nan.yaml --model-dir a --batch 4 --steps 3
holds err 'step 1: the loss is NaN: ' "/data-00000-of-00001.tfrecord: record " ' at byte ' 'its label holds NaN'
# ... at the byte where the tools see that record.
number=$(sed -n 's/.*: record \([0-9]*\) at byte.*/\1/p' err) byte=$(sed -n 's/.* at byte \([0-9]*\):.*/\1/p' err)
expect 0 "$bin/tfrecord" cat data-00000-of-00001.tfrecord --record "$number"
holds out "record $number at byte $byte,"
expect 1 "$bin/batchtrain" train model.yaml --data nan.yaml --model-dir a --batch 4 --steps 3 --on-nan skip --json --report-every 1
holds err 'all 3 batches were left out, and nothing was learned: ' '.tfrecord: record '
holds out '"step":1,"epoch":1,"loss":null,"mean_absolute_error":null,"learning_rate":0.001'
! ls a/checkpoint-* 2>/dev/null || fail "a checkpoint of a run that learned nothing"
! grep -q mean_absolute_error a/events.out.* || fail "TensorBoard has a curve of a run that learned nothing"
expect 0 "$bin/batchtrain" train model.yaml --data good.yaml --model-dir b --batch 4 --steps 3 --report-every 1 --quiet
grep -q mean_absolute_error b/events.out.* || fail "TensorBoard has no curve of a run that learned"
expect 1 "$bin/batchtrain" evaluate --model-dir b --data nan.yaml --json
holds out '"loss":null'
holds err 'nan.yaml: the loss is no finite number: ' '.tfrecord: record ' 'its label holds NaN'

# An evaluation whose loss is not a number is not the best one, whatever its accuracy.
echo "input: {height: 4, width: 4, channels: 3}
layers: [flatten, {type: dense, units: 1, activation: sigmoid}]
loss: binary_crossentropy
optimizer: {name: sgd, learning_rate: 0.001}
metrics: [accuracy]" >accuracy.yaml
for labels in good nan; do
	expect 0 "$bin/batchtrain" train accuracy.yaml --data good.yaml --eval-data $labels.yaml --best accuracy --eval-every 2 --model-dir best-$labels \
		--batch 4 --steps 4 --quiet
done
[ -e best-good/best.json ] || fail "no best evaluation among good ones"
[ ! -e best-nan/best.json ] || fail "an evaluation without a loss is the best: $(cat best-nan/best.json)"

# Weights that run away in step 21 (the rate of a boundary begins behind it): finite, and no good. Steps 10 and 20 are.
model late.yaml '{name: sgd, schedule: {name: step, boundaries: [19], values: [0.001, 1.0e+30]}}'
expect 1 "$bin/batchtrain" train late.yaml --data good.yaml --model-dir c --batch 4 --steps 400 --checkpoint-every 10 --keep 2 --on-nan skip --quiet
holds err 'the last good checkpoint is that of step 20'
[ "$(ls c/checkpoint-* | sort -V | tr '\n' ' ')" = 'c/checkpoint-10.safetensors c/checkpoint-20.safetensors ' ] || fail "checkpoints: $(ls c)"
# The step of the checkpoint itself breaks them: it is not saved, and starting again ends at the same step.
model broken.yaml '{name: sgd, schedule: {name: step, boundaries: [18], values: [0.001, 1.0e+30]}}'
for start in 1 2; do
	expect 1 "$bin/batchtrain" train broken.yaml --data good.yaml --model-dir d --batch 4 --steps 400 --checkpoint-every 10 --quiet
	holds err 'step 21: the loss is' 'the last good checkpoint is that of step 10'
	[ ! -e d/checkpoint-20.safetensors ] || fail "start $start: broken weights were saved"
done
expect 0 "$bin/batchtrain" evaluate --model-dir d --data good.yaml
# ... also where it is the last step.
expect 1 "$bin/batchtrain" train broken.yaml --data good.yaml --model-dir e --batch 4 --steps 20 --checkpoint-every 10 --quiet
holds err 'step 20: the weights give a loss that is no finite number, and are not saved; the last good checkpoint is that of step 10'

# Weights that give no numbers, from a file: predict and export say so.
cat >huge.yaml <<'Y'
input: {height: 4, width: 4, channels: 3}
layers:
  - {type: rescaling, scale: 1.0e+12}
  - {type: rescaling, scale: 1.0e+12}
  - {type: rescaling, scale: 1.0e+12}
  - {type: rescaling, scale: 1.0e+12}
  - flatten
  - {type: dense, units: 1, kernel_initializer: ones}
Y
expect 1 "$bin/batchtrain" predict huge.yaml --data good.yaml --json
holds out '"output":[null]'
holds err '4 of 4 outputs are no finite numbers'
expect 1 "$bin/batchtrain" export huge.yaml --format onnx --output huge.onnx
holds err 'no finite number'
[ ! -e huge.onnx ] || fail "export wrote a model that gives no numbers"
exit $failed
