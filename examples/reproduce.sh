#!/bin/sh
# reproduce.sh - the tutorial's experiment: a head on a frozen base, once fed with picture files, once with TFRecord. In build/reproduce;
# called by `make reproduce`. What it needs, and where it looks:
#
#   PICTURES            a folder with train/cats, train/dogs, test/cats, test/dogs   (../shared/data/cats_vs_dogs)
#   SQUEEZENET_WEIGHTS  squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5       (../shared/data/weights/…)
#   VGG16_WEIGHTS       vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5; without it only SqueezeNet is trained
#   STEPS, BATCH        500 and 20 as in the tutorial
#
# Prints and writes report.md: accuracy, both times and their ratio, waited shares, CPU seconds a picture, the loader alone, and
# --cache-features, told apart. Curves are PNG files beside it.
set -eu
export LC_ALL=C
root=$(cd "$(dirname "$0")/.." && pwd)
bin=$root/build/${MODE:-release}/bin
shared=${BATCHD_SHARED:-$root/../shared}
pictures=${PICTURES:-$shared/data/cats_vs_dogs}
squeezenet=${SQUEEZENET_WEIGHTS:-$shared/data/weights/squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5}
vgg16=${VGG16_WEIGHTS:-}
steps=${STEPS:-500} batch=${BATCH:-20}
# 25 points a curve
every=$((steps / 25))
[ $every -ge 1 ] || every=1
work=$root/build/reproduce

[ -d "$pictures/train/cats" ] && [ -d "$pictures/test/dogs" ] || {
	cat >&2 <<-TEXT
		reproduce: no pictures in $pictures. Download "Dogs vs. Cats" (https://www.kaggle.com/c/dogs-vs-cats/data), put 1000 cats and 1000
		dogs into DIR/train/cats and DIR/train/dogs, 500 others of each into DIR/test/cats and DIR/test/dogs, and run: make reproduce PICTURES=DIR
	TEXT
	exit 1
}
[ -f "$squeezenet" ] || [ -f "$vgg16" ] || {
	cat >&2 <<-TEXT
		reproduce: no weights. Download squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5 (https://github.com/DeepCognition/keras-squeezenet)
		and run: make reproduce SQUEEZENET_WEIGHTS=FILE
		or vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5
		(https://storage.googleapis.com/tensorflow/keras-applications/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5)
		and run: make reproduce VGG16_WEIGHTS=FILE
	TEXT
	exit 1
}
[ -z "$vgg16" ] || [ -f "$vgg16" ] || {
	echo "reproduce: there is no file $vgg16" >&2
	exit 1
}

rm -rf "$work"
mkdir -p "$work"
cd "$work"
export BATCHD_CACHE_DIR="$work/cache"

step() {
	printf '\n== %s\n' "$*" >&2
}

now() {
	date +%s.%N
}

# value FILE KEY: of the last line that has it
value() {
	grep -o "\"$2\":[^,}]*" "$1" | tail -n 1 | sed 's/^[^:]*://'
}

calculate() {
	awk "BEGIN { printf \"$1\", $2 }"
}

# children_s: user and system seconds of this shell's ended children (`times` in a subshell would not know them)
children_s() {
	awk 'NR == 2 { split($1, u, "m"); split($2, s, "m"); printf "%.2f", 60 * u[1] + u[2] + 60 * s[1] + s[2] }' times
}

# convert PART: the tutorial's records: 150x150 raw pixels, resized as Pillow did in 2018
convert() {
	"$bin/tfrecord" convert "$pictures/$1" --output "$1" --shards 4 --encoding raw --resize 150x150 --filter nearest --json --quiet >"convert-$1.json"
}

# datasets MEAN: files-PART.yaml and records-PART.yaml with the base's means, BGR
datasets() {
	for part in train test; do
		cat >"files-$part.yaml" <<-YAML
			shards: {folder: "$pictures/$part"}
			features:
			  image: {type: image, resize: {height: 150, width: 150, method: nearest}, mean: [$1], channels: bgr}
			  label: {type: int64}
		YAML
		cat >"records-$part.yaml" <<-YAML
			shards: "$part-*.tfrecord"
			features:
			  image: {type: image, encoding: raw, shape: [150, 150, 3], mean: [$1], channels: bgr}
			  label: {type: int64}
			classes: [cats, dogs]
		YAML
	done
}

# train NAME DATA OPTION...: NAME.json, and wall and CPU seconds of the whole command in NAME.wall and NAME.cpu
train() {
	name=$1 data=$2
	shift 2
	times >times
	begin=$(now) cpu=$(children_s)
	"$bin/batchtrain" train model.yaml --data "$data-train.yaml" --eval-data "$data-test.yaml" --model-dir "model-$name" --steps "$steps" --batch "$batch" \
		--report-every $every --seed 1 --json "$@" >"$name.json"
	calculate '%.2f' "$(now) - $begin" >"$name.wall"
	times >times
	calculate '%.2f' "$(children_s) - $cpu" >"$name.cpu"
}

row() {
	printf '| %s | %.3f | %s | %.1f | %.3f | %.2f |\n' "$2" "$(grep -o '"eval":{[^}]*}' "$1.json" | tail -n 1 | sed 's/.*"accuracy":\([^,}]*\).*/\1/')" \
		"$(cat "$1.wall")" "$(value "$1.json" images_per_s)" "$(value "$1.json" waited_share)" \
		"$(calculate '%.2f' "1000 * $(cat "$1.cpu") / ($steps * $batch)")"
}

step "2000 pictures to TFRecord, 1000 more to test"
begin=$(now)
convert train
conversion=$(calculate '%.2f' "$(now) - $begin")
convert test

{
	echo "# The tutorial's experiment"
	echo
	echo "$steps steps of $batch on $(value convert-train.json records) pictures of 150x150, tested on $(value convert-test.json records); $(nproc) processors."
	echo "Conversion of the training pictures: $conversion s."
} >report.md

# experiment BASE TITLE WEIGHTS MEAN
experiment() {
	base=$1
	step "$2: picture files, TFRecord, TFRecord with kept features"
	sed "s|weights: [^,]*|weights: \"$3\"|" "$root/examples/models/${base}_head.yaml" >model.yaml
	datasets "$4"
	train "$base-files" files
	train "$base-records" records
	train "$base-kept" records --cache-features
	for key in loss accuracy; do
		"$bin/batchtrain" plot "picture files=$base-files.json" "TFRecord=$base-records.json" --key $key --title "$2: $key" --output "$base-$key.png"
	done
	{
		echo
		echo "## $2"
		echo
		echo "| input | test accuracy | wall s | images/s | waited share | CPU ms a picture |"
		echo "| --- | --- | --- | --- | --- | --- |"
		row "$base-files" "picture files"
		row "$base-records" "TFRecord"
		row "$base-kept" "TFRecord, --cache-features"
		echo
		echo "Picture files take $(calculate '%.2f' "$(cat "$base-files.wall") / $(cat "$base-records.wall")") times TFRecord's wall time;" \
			"kept features are $(calculate '%.1f' "$(cat "$base-records.wall") / $(cat "$base-kept.wall")") times faster than TFRecord without."
		echo
		echo "![loss]($base-loss.png) ![accuracy]($base-accuracy.png)"
	} >>report.md
}

[ ! -f "$squeezenet" ] || experiment squeezenet "SqueezeNet 1.1" "$squeezenet" "123.68, 116.779, 103.939"
[ -z "$vgg16" ] || experiment vgg16 "VGG16" "$vgg16" "116.779, 116.779, 116.779"

step "the loader alone"
for data in files records; do
	"$bin/batchctl" bench "$data-train.yaml" --batch "$batch" --shuffle global --epochs 0 --seconds 5 --json >"bench-$data.json"
done
{
	echo
	echo "## The loader alone"
	echo
	printf 'Picture files: %.0f images/s; TFRecord: %.0f images/s, ' "$(value bench-files.json images_per_s)" "$(value bench-records.json images_per_s)"
	echo "$(calculate '%.1f' "$(value bench-records.json images_per_s) / $(value bench-files.json images_per_s)") times as fast."
} >>report.md
cat report.md
echo
echo "report and curves: $work"
