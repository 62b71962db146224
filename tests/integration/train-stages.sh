#!/bin/sh
# train-stages - one model directory through stages of fine-tuning: layers that are frozen and trained in turn go on, another model,
# another optimizer's options or other files do not without a word. And a model whose pictures have several classes.
. tests/support/commands.sh
cd "$WORK"
unset BATCHD_SOCKET
pictures train/a/1.png train/a/2.png train/b/1.png train/b/2.png
dataset() { # dataset FILE SHARDS
	echo "shards: $2
features:
  image: {type: image, resize: {height: 4, width: 4}, scale: 0.004}
  label: {type: int64}" >"$1"
}
dataset d.yaml '{folder: train}'
model() { # model FILE FIRST-LAYER-OPTIONS OPTIMIZER-OPTIONS
	echo "input: {height: 4, width: 4, channels: 3}
layers:
  - {type: conv2d, name: first, filters: 3, kernel_size: 3, $2}
  - flatten
  - {type: dense, name: head, units: 1, activation: sigmoid}
loss: binary_crossentropy
optimizer: {name: adam$3}" >"$1"
}
model frozen.yaml 'activation: relu, trainable: false' ''
model all.yaml 'activation: relu' ''
model tanh.yaml 'activation: tanh' ''
model wide.yaml 'activation: relu, kernel_initializer: he_normal, strides: [2, 2]' ''
model amsgrad.yaml 'activation: relu' ', amsgrad: true'
train() { # train STATUS MODEL STEPS [DATA]
	expect "$1" "$bin/batchtrain" train "$2.yaml" --data "${4:-d.yaml}" --model-dir m --batch 2 --steps "$3"
}

train 0 frozen 4
train 0 all 8
holds err "layer 'first' is trained now and was frozen before: its optimizer state begins anew"
train 0 all 10
! grep -q "begins anew" err || fail "said again: $(cat err)"
train 0 frozen 12
holds err "layer 'first' is frozen now and was trained before"
train 0 all 14

# Another model: the layer, both values, and nothing is changed.
cp m/model.yaml before.yaml
train 1 tanh 20
holds err "layer 'first': activation is tanh, and was relu in m/model.yaml" '--fresh begins anew'
train 1 wide 20
holds err "layer 'first': strides is [2, 2], and was ["
train 1 amsgrad 20
holds err "first/kernel/" "which this optimizer keeps"
cmp -s m/model.yaml before.yaml || fail "a refused run changed model.yaml"
sed 's/units: 1/units: 2/; s/sigmoid/softmax/; s/binary/sparse_categorical/' all.yaml >m/model.yaml
expect 1 "$bin/batchtrain" evaluate --model-dir m --data d.yaml
holds err "tensor 'head/kernel' has shape 12x1 there, and 12x2 in this model"
cp before.yaml m/model.yaml

# Other files of the same number of records: going on, and said.
mv train/b/2.png train/b/3.png
train 0 all 16
holds err "the data's files have other names or another order"
train 0 all 18
! grep -q "another order" err || fail "said again: $(cat err)"

# Several classes a picture: no single class is the answer.
sed 's/units: 1/units: 3/' all.yaml >several.yaml
expect 0 "$bin/tfrecord" convert train --output s --shards 1 --resize 4x4 --label-key class
echo 'shards: [s-00000-of-00001.tfrecord]
features:
  image: {type: image, encoding: raw, shape: [4, 4, 3], scale: 0.004}
  label: {type: float, shape: [3], default: [1.0, 0.0, 1.0]}
classes: [boat, beach, bridge]' >several-data.yaml
expect 0 "$bin/batchtrain" train several.yaml --data several-data.yaml --model-dir n --batch 4 --steps 300 --quiet
expect 1 "$bin/batchtrain" evaluate --model-dir n --data several-data.yaml --confusion
holds err "a picture may have several"
expect 0 "$bin/batchtrain" predict --model-dir n --data several-data.yaml --json
holds out '"classes":["boat","bridge"]'
! grep -q '"class":' out || fail "one class of several: $(cat out)"
expect 0 "$bin/batchtrain" predict --model-dir n --data several-data.yaml --csv
holds out '"boat;bridge",,'
expect 0 "$bin/batchtrain" predict --model-dir n train/a/1.png --sheet sheet.png
holds out 'boat 0.'
exit $failed
