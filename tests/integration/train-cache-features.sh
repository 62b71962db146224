#!/bin/sh
# --cache-features: the same weights as without, in memory and on disk; refused where it would be wrong.
. tests/support/training.sh
# With OpenBLAS a picture rounds differently at another place of a batch, so that features kept from one batch change the bits.
export BATCHD_BLAS=own
make_data
cat >"$WORK/model.yaml" <<-YAML
	input: {height: 8, width: 8, channels: 1}
	layers:
	  - {type: rescaling, scale: 0.01, trainable: false}
	  - {type: conv2d, filters: 8, kernel_size: 3, padding: same, activation: relu, trainable: false}
	  - {type: max_pooling2d}
	  - {type: flatten}
	  - {type: dense, units: 16, activation: relu}
	  - {type: dropout, rate: 0.3}
	  - {type: dense, units: 1, activation: sigmoid}
	loss: binary_crossentropy
	optimizer: {name: rmsprop, learning_rate: 0.01}
	metrics: [accuracy]
YAML
options="--eval-data $WORK/data/test.yaml --steps 70 --report-every 10 --eval-every 35 --checkpoint-every 20"
numbers() {
	grep '^{"step"' "$1" | sed 's/"images_per_s":[^,}]*,"waited_share":[^,}]*//'
}
# shellcheck disable=SC2086
{
	train plain $options || fail "$(cat "$WORK/plain.log")"
	train memory $options --cache-features || fail "$(cat "$WORK/memory.log")"
	train disk $options --cache-features --memory 64MiB || fail "$(cat "$WORK/disk.log")"
}
for run in memory disk; do
	cmp "$WORK/plain/checkpoint-70.safetensors" "$WORK/$run/checkpoint-70.safetensors" || fail "features in $run: other weights"
	numbers "$WORK/plain.json" >"$WORK/plain.numbers"
	numbers "$WORK/$run.json" | cmp - "$WORK/plain.numbers" || fail "features in $run: other losses"
done
[ -z "$(find "$WORK/disk" -name '.features*')" ] || fail "the features' file was left behind"

# Resumed with kept features: still the same.
# shellcheck disable=SC2086
train resumed $options --steps 33 --cache-features || fail "$(cat "$WORK/resumed.log")"
# shellcheck disable=SC2086
train resumed $options --cache-features || fail "$(cat "$WORK/resumed.log")"
cmp "$WORK/plain/checkpoint-70.safetensors" "$WORK/resumed/checkpoint-70.safetensors" || fail "resumed with features: other weights"

# A dropout in front of the first trained layer is drawn anew in each step, features or not.
sed -i 's/  - {type: flatten}/&\n  - {type: dropout, rate: 0.4}/' "$WORK/model.yaml"
train drawn --steps 30 || fail "$(cat "$WORK/drawn.log")"
train kept --steps 30 --cache-features || fail "$(cat "$WORK/kept.log")"
cmp "$WORK/drawn/checkpoint-30.safetensors" "$WORK/kept/checkpoint-30.safetensors" || fail "a dropout behind the features: other weights"

sed 's/^    dtype: float32/&\n    flip: horizontal/' "$WORK/data/train.yaml" >"$WORK/data/flipped.yaml"
refuses 1 "cache-features would be wrong: 'image' has 'flip: horizontal'" "$bin/batchtrain" train "$WORK/model.yaml" --data "$WORK/data/flipped.yaml" \
	--model-dir "$WORK/flipped" --steps 5 --cache-features --quiet
sed 's/, trainable: false//' "$WORK/model.yaml" >"$WORK/trained.yaml"
refuses 1 "no frozen base" "$bin/batchtrain" train "$WORK/trained.yaml" --data "$WORK/data/train.yaml" --model-dir "$WORK/trained" --steps 5 --cache-features --quiet
echo "the same weights with kept features"
