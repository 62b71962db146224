#!/bin/sh
# demo.sh - the whole job on Fashion-MNIST, in build/demo: pictures, shards, daemon, training, evaluation, predictions.
# Called by `make demo`; DEMO_EPOCHS changes how long it trains.
set -eu
cd "$(dirname "$0")/.."
bin=$PWD/build/${MODE:-release}/bin
demo=$PWD/build/demo
pictures=${FASHION_MNIST:-/usr/share/datasets/fashion-mnist}
epochs=${DEMO_EPOCHS:-6}

[ -e "$pictures/train-images-idx3-ubyte.gz" ] || {
	echo "demo: $pictures holds no Fashion-MNIST; ./bootstrap.sh demo installs the package dataset-fashion-mnist" >&2
	exit 1
}

step() {
	printf '\n== %s\n' "$*" >&2
}

# value FILE KEY: a number or string of the last line of JSON that has the key at its top or one level below
value() {
	grep -o "\"$2\":[^,}]*" "$1" | tail -n 1 | sed 's/^[^:]*://; s/"//g'
}

rm -rf "$demo"
mkdir -p "$demo"
cd "$demo"
export BATCHD_CACHE_DIR="$demo/cache"

daemon=
finish() {
	[ -z "$daemon" ] || kill "$daemon" 2>/dev/null || :
	[ -z "$daemon" ] || wait "$daemon" 2>/dev/null || :
}
trap finish EXIT
trap 'exit 130' INT TERM

classes=t-shirt,trouser,pullover,dress,coat,sandal,shirt,sneaker,bag,boot
step "pictures to TFRecord: 60,000 to train, 10,000 to test"
"$bin/tfrecord" convert --idx "$pictures/train-images-idx3-ubyte.gz" "$pictures/train-labels-idx1-ubyte.gz" --shards 8 \
	--output fashion-train --classes $classes --json >convert-train.json
"$bin/tfrecord" convert --idx "$pictures/t10k-images-idx3-ubyte.gz" "$pictures/t10k-labels-idx1-ubyte.gz" --shards 1 \
	--output fashion-test --classes $classes --json >convert-test.json
step "the loader daemon: one for all who train on this host"
socket=$demo/batchd.sock
"$bin/batchd" --socket "$socket" --dataset train=fashion-train.yaml --dataset test=fashion-test.yaml --memory 512MiB 2>batchd.log &
daemon=$!
tries=100
until "$bin/batchctl" status --connect "$socket" --json >status.json 2>/dev/null; do
	tries=$((tries - 1))
	[ $tries -gt 0 ] && kill -0 $daemon 2>/dev/null || { cat batchd.log >&2; exit 1; }
	sleep 0.05
done
export BATCHD_SOCKET="$socket"

step "training, $epochs epochs"
"$bin/batchtrain" train "$OLDPWD/examples/models/fashion_cnn.yaml" --data train --eval-data test --model-dir model \
	--batch 64 --epochs "$epochs" --seed 1 --json >train.json

step "evaluation on the 10,000 test pictures"
"$bin/batchtrain" evaluate --model-dir model --data test --json >evaluate.json

step "predictions"
"$bin/batchtrain" predict --model-dir model --data test --limit 40 --sheet predictions.png --json >predict.json
"$bin/batchctl" streams --json >streams.json

accuracy=$(value evaluate.json accuracy)
rate=$(value train.json images_per_s)
wall=$(value train.json wall_s)
waited=$(grep -o '"waited_share":[^,}]*' train.json | tail -n 1 | cut -d: -f2)
shown=$(grep -c '"class"' predict.json)
printf '{"accuracy":%s,"images_per_s":%s,"wall_s":%s,"waited_share":%s,"epochs":%s,"predictions":%s}\n' \
	"$accuracy" "$rate" "$wall" "${waited:-null}" "$epochs" "$shown" >report.json

cat <<SUMMARY

  Fashion-MNIST, end to end
  -------------------------
  test accuracy     $accuracy on 10,000 pictures
  training          $epochs epochs in $(printf '%.0f' "$wall") s, $(printf '%.0f' "$rate") pictures/s
  waited for data   $(awk -v share="${waited:-0}" 'BEGIN { printf "%.1f %%", 100 * share }') of the time

  shards            build/demo/fashion-train-*.tfrecord, described by fashion-train.yaml
  model             build/demo/model (checkpoints are safetensors)
  TensorBoard       tensorboard --logdir build/demo/model
  predictions       build/demo/predictions.png

  What to try next
    build/release/bin/batchctl bench build/demo/fashion-train.yaml --batch 64 --shuffle global
    build/release/bin/batchctl preview build/demo/fashion-train.yaml --output sheet.png
    build/release/bin/batchtrain summary examples/models/fashion_cnn.yaml
    your own pictures, one folder a class: build/release/bin/tfrecord convert FOLDER --output DIR/NAME --resize 150x150
SUMMARY
printf "\n%s\n" "$(cat report.json)"
