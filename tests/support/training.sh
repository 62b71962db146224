# training.sh - sourced by the tests of batchtrain: a small dataset made here, a small net, and words to check with.
#
# 240 pictures of 8x8: class 0 is bright on the left, class 1 on the right, under noise from a fixed generator. The net has every kind
# of state that a checkpoint must carry: dropout, batch normalisation's moving averages, Adam's two moments.
set -eu
: "${BUILD:=build/release}" "${WORK:?}"
bin=$PWD/$BUILD/bin
export LC_ALL=C

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

# make_idx RECORDS SEED PREFIX: PREFIX-images and PREFIX-labels as IDX files
make_idx() {
	awk -v records="$1" -v seed="$2" -v images="$3-images.txt" -v labels="$3-labels.txt" 'BEGIN {
		n = records
		printf "\\0\\0\\010\\003\\0\\0\\%03o\\%03o\\0\\0\\0\\010\\0\\0\\0\\010", int(n / 256), n % 256 >images
		printf "\\0\\0\\010\\001\\0\\0\\%03o\\%03o", int(n / 256), n % 256 >labels
		x = seed
		for (i = 0; i < n; i++) {
			class = i % 2
			for (p = 0; p < 64; p++) {
				x = (x * 16807) % 2147483647
				bright = (p % 8 < 4) == (class == 0)
				printf "\\%03o", (bright ? 90 : 40) + x % 120 >images
			}
			printf "\\%03o", class >labels
		}
	}'
	# shellcheck disable=SC2059
	for what in images labels; do
		printf "$(cat "$3-$what.txt")" >"$3-$what"
		rm "$3-$what.txt"
	done
}

make_data() {
	mkdir -p "$WORK/data"
	make_idx 240 7 "$WORK/data/train"
	make_idx 60 11 "$WORK/data/test"
	for what in train test; do
		"$bin/tfrecord" convert --idx "$WORK/data/$what-images" "$WORK/data/$what-labels" --output "$WORK/data/$what" --shards 3 --quiet >/dev/null
	done
}

# make_model FILE [LEARNING_RATE]
make_model() {
	cat >"$1" <<-YAML
		input: {height: 8, width: 8, channels: 1}
		layers:
		  - {type: rescaling, scale: 0.01}
		  - {type: conv2d, filters: 8, kernel_size: 3, padding: same, use_bias: false}
		  - {type: batch_normalization}
		  - {type: activation, activation: relu}
		  - {type: max_pooling2d}
		  - {type: flatten}
		  - {type: dense, units: 16, activation: relu}
		  - {type: dropout, rate: 0.3}
		  - {type: dense, units: 1, activation: sigmoid}
		loss: binary_crossentropy
		optimizer: {name: adam, learning_rate: ${2:-0.01}}
		metrics: [accuracy, auc]
	YAML
}

# train NAME OPTION...: into $WORK/NAME, JSON lines to NAME.json, the rest to NAME.log
train() {
	name=$1
	shift
	"$bin/batchtrain" train "$WORK/model.yaml" --data "$WORK/data/train.yaml" --model-dir "$WORK/$name" --batch 20 --threads 2 --json --quiet "$@" \
		>>"$WORK/$name.json" 2>>"$WORK/$name.log"
}

# number KEY: its value in the JSON line on stdin
number() {
	sed -n "s/.*\"$1\":\([-+0-9.eE]*\).*/\1/p" | tail -n 1
}

# at_least VALUE LIMIT WHAT
at_least() {
	awk -v value="$1" -v limit="$2" 'BEGIN { exit !(value >= limit) }' || fail "$3 is $1, at least $2 was expected"
}

# refuses STATUS TEXT COMMAND...: exits with STATUS and one line on stderr that says TEXT
refuses() {
	status=$1 text=$2 got=0
	shift 2
	"$@" >"$WORK/out" 2>"$WORK/err" || got=$?
	[ "$got" = "$status" ] || fail "exit $got instead of $status: $* ($(cat "$WORK/err"))"
	[ "$(wc -l <"$WORK/err")" = 1 ] || fail "not one line: $(cat "$WORK/err")"
	grep -q -e "$text" "$WORK/err" || fail "'$(cat "$WORK/err")' does not say '$text'"
}
