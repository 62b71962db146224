#!/bin/sh
# From pictures to a trained model and out of it again: train, evaluate, predict, export, summary.
. tests/support/training.sh
make_data
make_model "$WORK/model.yaml"

train run --eval-data "$WORK/data/test.yaml" --steps 60 --report-every 20 --eval-every 30 || fail "train: $(cat "$WORK/run.log")"
[ "$(grep -c '^{"step":[246]0,' "$WORK/run.json")" = 3 ] || fail "reports: $(cat "$WORK/run.json")"
for key in '"step"' '"epoch"' '"loss"' '"accuracy"' '"images_per_s"' '"waited_share"'; do
	head -n 1 "$WORK/run.json" | grep -q "$key" || fail "a report line has no $key"
done
for key in '"steps":60' '"loss"' '"eval":{"records":60,' '"images_per_s"' '"wall_s"' '"peak_rss_bytes"'; do
	tail -n 1 "$WORK/run.json" | grep -q "$key" || fail "the last line has no $key"
done
accuracy=$(tail -n 1 "$WORK/run.json" | number accuracy)
at_least "$accuracy" 0.9 "accuracy after 60 steps"
for file in model.yaml data.yaml best.json checkpoint-60.safetensors eval/predictions.png; do
	[ -s "$WORK/run/$file" ] || fail "the model directory has no $file"
done
ls "$WORK"/run/events.out.tfevents.* "$WORK"/run/eval/events.out.tfevents.* >/dev/null || fail "no events"

# The same command again: nothing is left to do, and it says the same.
train run --eval-data "$WORK/data/test.yaml" --steps 60 || fail "train again: $(cat "$WORK/run.log")"
[ "$(tail -n 1 "$WORK/run.json" | number accuracy)" = "$accuracy" ] || fail "another accuracy the second time"
"$bin/batchtrain" train "$WORK/model.yaml" --data "$WORK/data/train.yaml" --model-dir "$WORK/run" --steps 60 2>&1 | grep -q "60 steps of an earlier run" ||
	fail "a run with nothing to do does not say so"

"$bin/batchtrain" evaluate --model-dir "$WORK/run" --data "$WORK/data/test.yaml" --confusion --json --quiet >"$WORK/evaluate.json"
[ "$(number accuracy <"$WORK/evaluate.json")" = "$accuracy" ] || fail "evaluate: $(cat "$WORK/evaluate.json"), train said $accuracy"
grep -q '"records":60.*"confusion":\[\[' "$WORK/evaluate.json" || fail "$(cat "$WORK/evaluate.json")"

"$bin/batchtrain" predict --model-dir "$WORK/run" --data "$WORK/data/test.yaml" --json --quiet --sheet "$WORK/sheet.png" >"$WORK/predict.json"
[ "$(wc -l <"$WORK/predict.json")" = 60 ] || fail "predict gave $(wc -l <"$WORK/predict.json") lines"
right=$(grep -c '"index":0,.*"label":0\|"index":1,.*"label":1' "$WORK/predict.json")
awk -v right="$right" -v accuracy="$accuracy" 'BEGIN { exit !(right / 60 - accuracy < 1e-6 && accuracy - right / 60 < 1e-6) }' ||
	fail "predict is right $right times of 60, evaluate says $accuracy"
head -c 8 "$WORK/sheet.png" | grep -q PNG || fail "the sheet is no PNG"
[ "$("$bin/batchtrain" predict --model-dir "$WORK/run" --data "$WORK/data/test.yaml" --csv --quiet --limit 3 | wc -l)" = 4 ] || fail "CSV lines"

# Three records of 4x4x8 floats behind a header of 192 bytes.
"$bin/batchtrain" predict --model-dir "$WORK/run" --data "$WORK/data/test.yaml" --limit 3 --output-layer max_pooling2d --save "$WORK/layer.npy" --quiet
[ "$(wc -c <"$WORK/layer.npy")" = $((192 + 3 * 4 * 4 * 8 * 4)) ] || fail "layer.npy has $(wc -c <"$WORK/layer.npy") bytes"
# The last layer's output is the probability, as predict says it, though the net itself ends at the logit.
"$bin/batchtrain" predict --model-dir "$WORK/run" --data "$WORK/data/test.yaml" --limit 1 --output-layer dense_1 --save "$WORK/last.npy" --quiet
saved=$(tail -c 4 "$WORK/last.npy" | od -An -tfF | tr -d ' ')
said=$(head -n 1 "$WORK/predict.json" | sed -n 's/.*"output":\[\([^]]*\)\].*/\1/p')
awk -v a="$saved" -v b="$said" 'BEGIN { exit !(a - b < 1e-6 && b - a < 1e-6) }' || fail "the last layer's output is saved as $saved, predict says $said"
refuses 1 "is there already" "$bin/batchtrain" predict --model-dir "$WORK/run" --data "$WORK/data/test.yaml" --output-layer max_pooling2d --save "$WORK/layer.npy" --quiet
refuses 1 "did you mean 'dense'" "$bin/batchtrain" predict --model-dir "$WORK/run" --data "$WORK/data/test.yaml" --output-layer dens --save "$WORK/other.npy" --quiet

"$bin/batchtrain" export --model-dir "$WORK/run" --format safetensors --output "$WORK/weights.safetensors" >/dev/null
grep -q 'dense_1/kernel' "$WORK/weights.safetensors" || fail "the exported weights have no dense_1/kernel"
"$bin/batchtrain" export --model-dir "$WORK/run" --format onnx --output "$WORK/model.onnx" >/dev/null
"$bin/batchtrain" export --model-dir "$WORK/run" --format keras-h5 --output "$WORK/model.h5" >/dev/null
[ -s "$WORK/model.onnx" ] && [ -s "$WORK/model.h5" ] || fail "an export is empty"
"$bin/batchtrain" export --model-dir "$WORK/run" --format safetensors --output - | cmp - "$WORK/weights.safetensors" || fail "standard output is not the file"
refuses 2 "both want standard output" "$bin/batchtrain" export --model-dir "$WORK/run" --format onnx --output - --json
refuses 2 "want a file" "$bin/batchtrain" predict --model-dir "$WORK/run" --data "$WORK/data/test.yaml" --sheet -
refuses 1 "model.onnx" "$bin/batchtrain" export --model-dir "$WORK/run" --format onnx --output "$WORK/model.onnx"
"$bin/batchtrain" summary "$WORK/model.yaml" --json | tail -n 1 | grep -q '"parameters":2185' || fail "summary: $("$bin/batchtrain" summary "$WORK/model.yaml" --json | tail -n 1)"
# Who multiplies: own products where there is vector code for them.
for choice in openblas:baseline: own:baseline:own openblas:avx512:openblas; do
	IFS=: read -r products simd blas <<-END
		$choice
	END
	BATCHD_SIMD=$simd BATCHD_BLAS=$blas "$bin/batchtrain" summary "$WORK/model.yaml" --json | tail -n 1 | grep -q "\"products\":\"$products\"" || fail "not $products with BATCHD_SIMD=$simd BATCHD_BLAS=$blas"
done
BATCHD_SIMD=baseline "$bin/batchtrain" summary "$WORK/model.yaml" | grep -q 'kernels: openblas (' || fail "summary does not name openblas"
BATCHD_BLAS=mkl refuses 1 "BATCHD_BLAS is 'openblas' or 'own', not 'mkl'" "$bin/batchtrain" summary "$WORK/model.yaml"

# Training needs the dense kernels' gradients (128 x 16 and 16 floats) as a whole only where they are clipped by norm.
sed 's/learning_rate: /clipnorm: 1, learning_rate: /' "$WORK/model.yaml" >"$WORK/clipped.yaml"
clipped=$("$bin/batchtrain" summary "$WORK/clipped.yaml" --json | number memory_bytes) plain=$("$bin/batchtrain" summary "$WORK/model.yaml" --json | number memory_bytes)
[ $((clipped - plain)) = $((4 * (128 * 16 + 16))) ] || fail "$clipped bytes with clipping, $plain without"

grep -q '"classes":\["0","1"\]' "$WORK/evaluate.json" || fail "no names beside the confusion matrix"
"$bin/batchtrain" evaluate "$WORK/model.yaml" --data "$WORK/data/test.yaml" --confusion --quiet >"$WORK/out" 2>"$WORK/err"
grep -q '^0 was taken for: ' "$WORK/out" || fail "the classes' names: $(cat "$WORK/out")"
grep -q ': 4 of its layers have random weights' "$WORK/err" || fail "a net that nobody trained was evaluated without a word: $(cat "$WORK/err")"

# A model file may begin with weights of another run: the first evaluation is that run's last.
(cat "$WORK/model.yaml" && echo "weights: weights.safetensors") >"$WORK/warm.yaml"
"$bin/batchtrain" evaluate "$WORK/warm.yaml" --data "$WORK/data/test.yaml" --json --quiet >"$WORK/warm.json" 2>"$WORK/err"
[ ! -s "$WORK/err" ] || fail "all weights are in the file, and yet: $(cat "$WORK/err")"
[ "$(number accuracy <"$WORK/warm.json")" = "$accuracy" ] || fail "with exported weights: $(cat "$WORK/warm.json")"

# Pictures from a list on standard input, as from the command line; without names the class is its number, in JSON and CSV alike.
mkdir "$WORK/pictures"
cp "$WORK/sheet.png" "$WORK/pictures/a b.png"
cp "$WORK/sheet.png" "$WORK/pictures/c.png"
sed '/^classes/d' "$WORK/data/test.yaml" >"$WORK/data/nameless.yaml"
ask() {
	"$bin/batchtrain" predict "$WORK/warm.yaml" --like "$WORK/data/nameless.yaml" --quiet "$@"
}
ask --json "$WORK/sheet.png" "$WORK/pictures" >"$WORK/words.json" || fail "predict on pictures"
printf '%s\n\n%s' "$WORK/sheet.png" "$WORK/pictures" | ask --json - >"$WORK/list.json" || fail "predict -"
[ "$(wc -l <"$WORK/list.json")" = 3 ] && cmp -s "$WORK/words.json" "$WORK/list.json" || fail "a list gave $(cat "$WORK/list.json")"
index=$(head -n 1 "$WORK/list.json" | number index)
grep -q "\"class\":\"$index\",\"index\":$index," "$WORK/list.json" || fail "a class without a name: $(cat "$WORK/list.json")"
ask --csv "$WORK/sheet.png" | grep -q ",0,\"$index\",$index," || fail "a class without a name in CSV"
cp "$WORK/words.json" "$WORK/pictures/b.jpg"
got=0
ask "$WORK/pictures" --limit 2 >"$WORK/out" 2>"$WORK/err" || got=$?
[ $got = 1 ] && grep -q "1 of 2 pictures" "$WORK/err" || fail "exit $got with a picture that cannot be read: $(cat "$WORK/err")"
refuses 1 "standard input: there is no file" ask - </dev/null
"$bin/batchtrain" predict --model-dir "$WORK/run" --data "$WORK/data/test.yaml" --limit 3 --output-layer dense --save "$WORK/dense.npy" --quiet --json >"$WORK/out"
grep -q '"records":3' "$WORK/out" || fail "nothing said about the saved layer: $(cat "$WORK/out")"

# What was most likely forgotten is said, once; it is no error.
sed 's/units: 1, activation: sigmoid/units: 1/' "$WORK/model.yaml" >"$WORK/linear.yaml"
sed 's/\(type: [a-z0-9_]*\)/\1, trainable: false/' "$WORK/model.yaml" >"$WORK/frozen.yaml"
sed 's/  - {type: flatten}/  - {type: flatten, name: astray}\n  - {type: flatten, inputs: [max_pooling2d]}/' "$WORK/model.yaml" >"$WORK/astray.yaml"
for doubt in "astray layer 'astray' leads nowhere" "linear 'activation: sigmoid'" "frozen no weight of the model is trained"; do
	"$bin/batchtrain" train "$WORK/${doubt%% *}.yaml" --data "$WORK/data/train.yaml" --model-dir "$WORK/doubt-${doubt%% *}" --steps 1 --quiet 2>"$WORK/err" ||
		fail "$(cat "$WORK/err")"
	[ "$(grep -c "${doubt#* }" "$WORK/err")" = 1 ] || fail "'$(cat "$WORK/err")' does not say '${doubt#* }'"
done

# A branch that leads nowhere changes no number: what it hands back once was garbage of other layers' gradients.
cat >"$WORK/branch.yaml" <<-YAML
	input: {height: 8, width: 8, channels: 1}
	layers:
	  - {type: rescaling, scale: 0.01}
	  - {type: conv2d, name: a, filters: 4, kernel_size: 3, activation: relu}
	  - {type: conv2d, name: dead, filters: 4, kernel_size: 3, activation: relu}
	  - {type: conv2d, name: c, filters: 4, kernel_size: 3, padding: same, activation: relu, inputs: [a]}
	  - {type: concatenate, name: mix, inputs: [a, c]}
	  - {type: max_pooling2d, name: dead1}
	  - {type: conv2d, name: dead2, filters: 4, kernel_size: 1, inputs: [mix]}
	  - {type: conv2d, name: dead3, filters: 4, kernel_size: 3}
	  - {type: conv2d, name: dead4, filters: 4, kernel_size: 3, activation: relu}
	  - {type: global_average_pooling2d, name: g1, inputs: [mix]}
	  - {type: global_max_pooling2d, name: g2, inputs: [a]}
	  - {type: concatenate, inputs: [g1, g2]}
	  - {type: dense, units: 1, activation: sigmoid}
	loss: binary_crossentropy
	optimizer: {name: sgd, learning_rate: 0.1}
YAML
sed '/name: dead/d' "$WORK/branch.yaml" >"$WORK/trunk.yaml"
for model in branch trunk; do
	"$bin/batchtrain" train "$WORK/$model.yaml" --data "$WORK/data/train.yaml" --model-dir "$WORK/$model" --steps 4 --report-every 1 --json --quiet 2>/dev/null |
		sed -n 's/^{"step":\([0-9]*\),.*"loss":\([^,]*\),.*/\1 \2/p' >"$WORK/$model.losses"
done
cmp "$WORK/branch.losses" "$WORK/trunk.losses" && [ "$(wc -l <"$WORK/trunk.losses")" = 4 ] || fail "with and without a branch that leads nowhere: other losses"

# Pictures that are made vectors and joined: the net that only predicts, which joins in place, says what training's net said.
cat >"$WORK/joined.yaml" <<-YAML
	input: {height: 8, width: 8, channels: 1}
	layers:
	  - {type: conv2d, name: a, filters: 3, kernel_size: 3, activation: sigmoid}
	  - {type: max_pooling2d, name: p, inputs: [a]}
	  - {type: flatten, name: f}
	  - {type: conv2d, name: c, filters: 2, kernel_size: 3, activation: relu, inputs: [a]}
	  - {type: flatten, name: g}
	  - {type: concatenate, inputs: [f, g]}
	  - {type: dense, units: 1, activation: sigmoid}
	loss: binary_crossentropy
	optimizer: {name: sgd, learning_rate: 0.01}
YAML
"$bin/batchtrain" train "$WORK/joined.yaml" --data "$WORK/data/train.yaml" --eval-data "$WORK/data/test.yaml" --model-dir "$WORK/joined" --steps 9 --json --quiet >"$WORK/joined.json"
"$bin/batchtrain" evaluate --model-dir "$WORK/joined" --data "$WORK/data/test.yaml" --json --quiet >"$WORK/out" || fail "evaluate of joined vectors"
told=$(tail -n 1 "$WORK/joined.json" | sed -n 's/.*"eval":{"records":60,"loss":\([^,}]*\).*/\1/p')
awk -v a="$told" -v b="$(number loss <"$WORK/out")" 'BEGIN { exit !(a > 0 && a - b < 1e-5 * a && b - a < 1e-5 * a) }' ||
	fail "training said loss $told, evaluate says $(cat "$WORK/out")"

# An epoch that drops its last records is as many steps as batches come out of it: two of 100 out of 240.
train drop --eval-data "$WORK/data/test.yaml" --epochs 3 --batch 100 --remainder drop --report-every 100 || fail "drop: $(cat "$WORK/drop.log")"
grep -q '^{"step":2,.*"eval":{' "$WORK/drop.json" && grep -q '^{"step":4,.*"eval":{' "$WORK/drop.json" || fail "evaluated at $(cat "$WORK/drop.json")"

# Early stopping: a rate of nearly nothing does not get better often.
make_model "$WORK/model.yaml" 1e-30
train early --eval-data "$WORK/data/test.yaml" --steps 1000 --eval-every 5 --early-stopping 2 || fail "early: $(cat "$WORK/early.log")"
tail -n 1 "$WORK/early.json" | grep -q '"stopped_early":true' || fail "not stopped early: $(tail -n 1 "$WORK/early.json")"

# A best loss is none of a best accuracy: with another --best the next evaluation is the first to count.
[ "$(tail -n 1 "$WORK/early.json" | grep -c '"best":{')" = 1 ] || fail "no best: $(tail -n 1 "$WORK/early.json")"
steps=$(tail -n 1 "$WORK/early.json" | number steps)
train early --eval-data "$WORK/data/test.yaml" --steps $((steps + 5)) --eval-every 5 --best accuracy || fail "another --best: $(cat "$WORK/early.log")"
tail -n 1 "$WORK/early.json" | grep -q "\"best\":{\"step\":$((steps + 5))," || fail "after --best accuracy: $(tail -n 1 "$WORK/early.json")"

# The best checkpoint outlives runs that evaluate nothing, and is not taken for the best in something else.
make_model "$WORK/model.yaml"
best() {
	train best --checkpoint-every 5 --keep 2 "$@" || fail "best: $(cat "$WORK/best.log")"
	"$bin/batchtrain" evaluate --model-dir "$WORK/best" --checkpoint best --data "$WORK/data/test.yaml" --json --quiet >"$WORK/out" || fail "the best checkpoint is gone"
}
best --eval-data "$WORK/data/test.yaml" --steps 10 --eval-every 5 --best accuracy
kept=$(number step <"$WORK/out")
best --steps 30
[ "$(number step <"$WORK/out")" = "$kept" ] || fail "the best was step $kept, then $(cat "$WORK/out")"
tail -n 1 "$WORK/best.json" | grep -q "\"best\":{\"step\":$kept," || fail "no best is known any more: $(tail -n 1 "$WORK/best.json")"
head -c 8192 "$WORK/best/checkpoint-30.safetensors" | grep -aq 'best_metric[^,]*accuracy' || fail "the checkpoint does not say in what"
echo "accuracy $accuracy"
