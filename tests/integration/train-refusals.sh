#!/bin/sh
# What cannot be right is refused in one line that names the thing, the place and the way out; a full disk ends no training.
. tests/support/training.sh
make_data
make_model "$WORK/model.yaml"
run() {
	model=$1 folder=$2
	shift 2
	"$bin/batchtrain" train "$model" --data "$WORK/data/train.yaml" --model-dir "$folder" --steps 20 --quiet "$@"
}

# wrong usage
refuses 2 "data is missing" "$bin/batchtrain" train "$WORK/model.yaml" --model-dir "$WORK/x" --steps 1
refuses 2 "steps or --epochs" "$bin/batchtrain" train "$WORK/model.yaml" --data "$WORK/data/train.yaml" --model-dir "$WORK/x"
refuses 2 "checkpoint-every" "$bin/batchtrain" train "$WORK/model.yaml" --checkpoint-evry 3
# options that would do nothing
nothing() {
	text=$1
	shift
	refuses 2 "$text" run "$WORK/model.yaml" "$WORK/x" "$@"
}
nothing "eval-every needs --eval-data" --eval-every 5
nothing "best needs --eval-data" --best loss
nothing "early-stopping needs --eval-data" --early-stopping 2
nothing "window needs --shuffle window" --window 100
nothing "share-group does nothing with --cache-features" --cache-features --share-group all
nothing "cache does nothing with --cache-features" --cache-features --cache 1MiB
refuses 2 "checkpoint needs --model-dir" "$bin/batchtrain" evaluate "$WORK/model.yaml" --data "$WORK/data/test.yaml" --checkpoint best
refuses 2 "not 'last'" "$bin/batchtrain" predict --model-dir "$WORK/data" --data "$WORK/data/test.yaml" --checkpoint last
refuses 2 "csv" "$bin/batchtrain" predict --model-dir "$WORK/data" --data "$WORK/data/test.yaml" --csv --output-layer dense --save "$WORK/x.npy"
refuses 2 "give --model-dir" "$bin/batchtrain" evaluate --data "$WORK/data/test.yaml"

refuses 1 "240 records never fill a batch of 500" "$bin/batchtrain" train "$WORK/model.yaml" --data "$WORK/data/train.yaml" --model-dir "$WORK/x" --epochs 2 \
	--remainder drop --batch 500 --quiet
refuses 1 "memory bound of" "$bin/batchtrain" train "$WORK/model.yaml" --data "$WORK/data/train.yaml" --model-dir "$WORK/x" --steps 1 --memory 64KiB --quiet

# More rows than the host has memory for (terabytes of activations): refused at once, not killed.
printf 'input: {height: 512, width: 512, channels: 3}\nlayers: [{type: conv2d, filters: 64, kernel_size: 1}, {type: relu}, {type: conv2d, filters: 64, kernel_size: 1}, global_average_pooling2d]\nloss: mse\n' >"$WORK/wide.yaml"
refuses 1 "batches of 65536 rows need .* make --batch smaller" run "$WORK/wide.yaml" "$WORK/x" --batch 65536

# wrong model files
sed 's/units: 16/unit: 16/' "$WORK/model.yaml" >"$WORK/bad.yaml"
refuses 1 "bad.yaml: line 9: .*'units'" run "$WORK/bad.yaml" "$WORK/x"
sed 's/height: 8/height: 9/' "$WORK/model.yaml" >"$WORK/bad.yaml"
refuses 1 "8x8x1.*9x8x1" run "$WORK/bad.yaml" "$WORK/x"
sed 's/kernel_size: 3, padding: same/kernel_size: 9/' "$WORK/model.yaml" >"$WORK/bad.yaml"
refuses 1 "conv2d" run "$WORK/bad.yaml" "$WORK/x"
sed 's/units: 1,/units: 3,/' "$WORK/model.yaml" >"$WORK/bad.yaml"
refuses 1 "3" run "$WORK/bad.yaml" "$WORK/x"
sed '/^loss/d' "$WORK/model.yaml" >"$WORK/bad.yaml"
refuses 1 "no loss" run "$WORK/bad.yaml" "$WORK/x"
(cat "$WORK/model.yaml" && echo "weights: nowhere.h5") >"$WORK/bad.yaml"
refuses 1 "nowhere.h5" run "$WORK/bad.yaml" "$WORK/x"
refuses 1 "nowhere.yaml" run "$WORK/nowhere.yaml" "$WORK/x"
refuses 1 "nowhere.yaml" "$bin/batchtrain" train "$WORK/model.yaml" --data "$WORK/nowhere.yaml" --model-dir "$WORK/x" --steps 1 --quiet
for shard in "$WORK"/data/train-00000-*; do
	refuses 1 "no text, and so no dataset file; it is YAML" "$bin/batchtrain" train "$WORK/model.yaml" --data "$shard" --model-dir "$WORK/x" --steps 1 --quiet
done
refuses 1 "is a folder, not a file" "$bin/batchtrain" train "$WORK/model.yaml" --data "$WORK/data" --model-dir "$WORK/x" --steps 1 --quiet
refuses 1 "nowhere.yaml" run "$WORK/model.yaml" "$WORK/unseen" --eval-data "$WORK/nowhere.yaml"
[ ! -e "$WORK/unseen" ] || fail "data to evaluate on was looked for after training only, or the model directory stayed"
refuses 1 "no model directory" "$bin/batchtrain" evaluate --model-dir "$WORK/data" --data "$WORK/data/test.yaml" --quiet

# What is refused leaves nothing: neither a model directory nor the folders above it, and in one that was there nothing new.
[ ! -e "$WORK/x" ] || fail "refused runs have left $(find "$WORK/x")"
nowhere="$bin/batchtrain train $WORK/model.yaml --data $WORK/nowhere.yaml --steps 1 --quiet --model-dir"
refuses 1 "nowhere.yaml" $nowhere "$WORK/deep/er//x/"
[ ! -e "$WORK/deep" ] || fail "left: $(find "$WORK/deep")"
mkdir -p "$WORK/was/there/eval"
touch "$WORK/was/there/notes" "$WORK/was/there/data.yaml"
refuses 1 "nowhere.yaml" $nowhere "$WORK/was/there/"
[ "$(find "$WORK/was" | wc -l)" = 5 ] || fail "there were 5 names, now: $(find "$WORK/was")"
head -c 3000 /dev/zero >"$WORK/broken-00000-of-00001.tfrecord"
sed "s/shards:.*/shards: broken-*.tfrecord/" "$WORK/data/train.yaml" >"$WORK/broken.yaml"
refuses 1 "broken-00000" "$bin/batchtrain" train "$WORK/model.yaml" --data "$WORK/broken.yaml" --steps 1 --quiet --model-dir "$WORK/x"
[ ! -e "$WORK/x" ] || fail "damaged data has left $(find "$WORK/x")"

# --fresh deletes an older run only when nothing can be refused any more.
run "$WORK/model.yaml" "$WORK/older" 2>"$WORK/err" || fail "$(cat "$WORK/err")"
cp -r "$WORK/older" "$WORK/copy"
refuses 1 "nowhere.yaml" $nowhere "$WORK/older" --fresh
diff -r "$WORK/older" "$WORK/copy" || fail "--fresh with data that is not there has changed the model directory"

# ... which a batch may still be, too: the older run goes behind the first one that was good.
"$bin/tfrecord" convert --idx "$WORK/data/train-images" "$WORK/data/train-labels" --output "$WORK/data/bare" --label-key class --quiet >/dev/null
sed "s/\"class\": .*/label: {type: int64, default: 7}/" "$WORK/data/bare.yaml" >"$WORK/data/seven.yaml"
sed "s/\"class\": .*/label: {type: float, default: .nan}/" "$WORK/data/bare.yaml" >"$WORK/data/nan.yaml"
fresh="$bin/batchtrain train $WORK/model.yaml --batch 20 --steps 30 --model-dir $WORK/older --quiet --fresh"
refuses 1 "label" $fresh --data "$WORK/data/seven.yaml"
diff -r "$WORK/older" "$WORK/copy" || fail "--fresh with a label that no class has, has changed the model directory"
refuses 1 "its label holds NaN" $fresh --data "$WORK/data/nan.yaml"
diff -r "$WORK/older" "$WORK/copy" || fail "--fresh with labels of NaN has changed the model directory"
$fresh --data "$WORK/data/nan.yaml" --on-nan skip --checkpoint-every 1 2>"$WORK/err" && fail "a run that left out every batch ends well"
diff -r "$WORK/older" "$WORK/copy" || fail "--fresh with labels of NaN that are left out has changed the model directory"
# Then it goes whole, and what a person put beside it stays.
cp "$WORK/older/checkpoint-20.safetensors" "$WORK/older/checkpoint-20-mine.safetensors"
$fresh --data "$WORK/data/train.yaml" --steps 4 2>"$WORK/err" || fail "$(cat "$WORK/err")"
[ "$(ls "$WORK/older" | grep checkpoint | tr '\n' ' ')" = 'checkpoint-20-mine.safetensors checkpoint-4.safetensors ' ] || fail "after --fresh: $(ls "$WORK/older")"
[ "$(ls "$WORK/older"/events.out.* | wc -l)" = 1 ] || fail "events after --fresh: $(ls "$WORK/older")"

# wrong checkpoints
run "$WORK/model.yaml" "$WORK/good" --checkpoint-every 10 2>"$WORK/err" || fail "$(cat "$WORK/err")"
again() {
	"$bin/batchtrain" train "$model" --data "$WORK/data/train.yaml" --model-dir "$WORK/good" --steps 30 --quiet "$@"
}
model=$WORK/model.yaml
refuses 1 "batch 20, this run has 10" again --batch 10
refuses 1 "seed 0, this run has 5" again --seed 5
for optimizer in sgd rmsprop; do
	sed "s/name: adam/name: $optimizer/" "$WORK/model.yaml" >"$WORK/other.yaml"
	model=$WORK/other.yaml
	refuses 1 "optimizer adam, this run has $optimizer" again
done
sed 's/units: 16/units: 17/' "$WORK/model.yaml" >"$WORK/other.yaml"
model=$WORK/other.yaml
refuses 1 "layer 'dense': units is 17, and was 16" again
model=$WORK/model.yaml
refuses 1 "no best checkpoint; 'batchtrain train --eval-data'" "$bin/batchtrain" evaluate --model-dir "$WORK/good" --data "$WORK/data/test.yaml" --checkpoint best --quiet
cp "$WORK/good/checkpoint-20.safetensors" "$WORK/saved"
head -c 3000 "$WORK/saved" >"$WORK/good/checkpoint-20.safetensors"
refuses 1 "checkpoint-20.safetensors.*checkpoint-10" again
size=$(wc -c <"$WORK/saved")
(head -c $((size - 8)) "$WORK/saved" && printf 'flipped!') >"$WORK/good/checkpoint-20.safetensors"
refuses 1 "checkpoint-20.safetensors.*checkpoint-10" again
cp "$WORK/saved" "$WORK/good/checkpoint-20.safetensors"
again 2>"$WORK/err" || fail "the good checkpoint was refused: $(cat "$WORK/err")"

# a loss that is no number: the step is named, the last good checkpoint stays
make_model "$WORK/data/nan.yaml" 1e38
refuses 1 "step [0-9]*: the loss is" "$bin/batchtrain" train "$WORK/data/nan.yaml" --data "$WORK/data/train.yaml" --model-dir "$WORK/nan" --steps 50 --quiet
! ls "$WORK"/nan/checkpoint-*.safetensors 2>/dev/null || fail "weights that are no numbers were saved"

# --on-nan skip: batches are left out, but not for ever
got=0
"$bin/batchtrain" train "$WORK/data/nan.yaml" --data "$WORK/data/train.yaml" --model-dir "$WORK/skip" --steps 500 --quiet --on-nan skip 2>"$WORK/err" || got=$?
[ $got = 1 ] || fail "exit $got with nothing but NaN"
[ "$(grep -c 'its batch is left out' "$WORK/err")" = 100 ] || fail "$(grep -c 'its batch is left out' "$WORK/err") batches left out"

# a full disk: said, training goes on, the old checkpoint stays
if [ "$(id -u)" = 0 ] && mkdir "$WORK/small" && mount -t tmpfs -o size=200k tmpfs "$WORK/small" 2>/dev/null; then
	trap 'umount "$WORK/small"' EXIT
	run "$WORK/model.yaml" "$WORK/small/run" --checkpoint-every 5 --keep 1 2>"$WORK/err" || fail "200 KiB should do: $(cat "$WORK/err")"
	dd if=/dev/zero of="$WORK/small/filler" bs=1k 2>/dev/null || true
	got=0
	"$bin/batchtrain" train "$WORK/model.yaml" --data "$WORK/data/train.yaml" --model-dir "$WORK/small/run" --steps 40 --checkpoint-every 5 --json --quiet \
		>"$WORK/out" 2>"$WORK/err" || got=$?
	[ $got = 1 ] || fail "exit $got with a full disk"
	grep -q "step 25: no checkpoint saved: .*[Nn]o space" "$WORK/err" || fail "a full disk was not said: $(cat "$WORK/err")"
	grep -q "step 40: no checkpoint saved" "$WORK/err" || fail "training did not go on: $(cat "$WORK/err")"
	"$bin/batchtrain" evaluate --model-dir "$WORK/small/run" --data "$WORK/data/test.yaml" --json --quiet | grep -q '"step":20' || fail "the old checkpoint is gone"
	rm "$WORK/small/filler"
	run "$WORK/model.yaml" "$WORK/small/run" --keep 1 2>"$WORK/err" || fail "after the disk was cleared: $(cat "$WORK/err")"
else
	echo "full disk: not tested (needs root and mount)"
fi
echo "refused as it should be"
