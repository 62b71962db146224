#!/bin/sh
# train-data-match - a model and data that do not belong together: labels are matched by the classes' names, pictures that are made otherwise
# than in training are refused, and going on never gives the model's outputs other names.
. tests/support/commands.sh
cd "$WORK"
unset BATCHD_SOCKET
model='input: {height: 2, width: 2, channels: 3}
layers:
  - flatten
  - {type: dense, units: 3, activation: softmax}
loss: sparse_categorical_crossentropy
optimizer: {name: sgd, learning_rate: 0.01}
metrics: [accuracy]'
echo "$model" >model.yaml

# Three pictures of class cat only are told from the others by nothing: a net that says cat always has learned its number.
pictures train/bird/1.png train/cat/1.png train/cat/2.png train/cat/3.png train/cat/4.png train/dog/1.png test/cat/1.png test/cat/2.png
dataset() { # dataset FILE FOLDER MORE
	echo "shards: {folder: $2}
features:
  image: {type: image, resize: {height: 2, width: 2}, scale: 0.004$3}
  label: {type: int64}" >"$1"
}
dataset train.yaml train ''
dataset test.yaml test ''
dataset bgr.yaml test ', channels: bgr'
dataset swapped.yaml train ''
echo 'classes: [dog, cat, bird]' >>swapped.yaml
expect 0 "$bin/batchtrain" train model.yaml --data train.yaml --eval-data test.yaml --model-dir m --batch 6 --steps 100 --quiet

accuracy() { sed -n 's/.*"accuracy":\([0-9.]*\).*/\1/p' out | tail -n 1; }
expect 0 "$bin/batchtrain" evaluate --model-dir m --data test.yaml --json --confusion
[ "$(accuracy)" = 1.0 ] || fail "a test folder of cats alone: accuracy $(accuracy): $(cat out)"
holds out '"confusion":[[0,0,0],[0,2,0],[0,0,0]]' '"classes":["bird","cat","dog"]'
expect 0 "$bin/batchtrain" evaluate --model-dir m --data train.yaml --json
cp out first
expect 0 "$bin/batchtrain" evaluate --model-dir m --data swapped.yaml --json
cmp -s out first || fail "classes in another order: $(cat out), not $(cat first)"
cp m/data.yaml before.yaml

# What reaches the model is another thing: refused, with both values and the way out.
expect 1 "$bin/batchtrain" evaluate --model-dir m --data bgr.yaml
holds err 'channels is bgr, and rgb in m/data.yaml' '--allow-other-preprocessing'
expect 0 "$bin/batchtrain" evaluate --model-dir m --data bgr.yaml --allow-other-preprocessing
expect 1 "$bin/batchtrain" predict --model-dir m --data bgr.yaml
holds err 'channels is bgr'
expect 1 "$bin/batchtrain" train model.yaml --data train.yaml --eval-data bgr.yaml --model-dir n --batch 6 --steps 3
holds err 'bgr.yaml: channels is bgr, and rgb in train.yaml'
[ ! -e n ] || fail "a refused run made its folder"

# Going on: with other names refused, with another order of the same names matched, and data.yaml stays.
mkdir other
cp -r train/cat other/cat
cp -r train/dog other/horse
dataset other.yaml other ''
expect 1 "$bin/batchtrain" train model.yaml --data other.yaml --model-dir m --batch 6 --steps 110
holds err "class 'horse' is none of the model's"
expect 0 "$bin/batchtrain" train model.yaml --data swapped.yaml --model-dir m --batch 6 --steps 110 --quiet
cmp -s m/data.yaml before.yaml || fail "going on wrote another data.yaml"
expect 0 "$bin/batchtrain" predict --model-dir m test/cat/1.png
holds out 'cat 0.'
exit $failed
