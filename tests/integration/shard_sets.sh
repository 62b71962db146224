#!/bin/sh
# shard_sets - shards that are missing or empty, as batchctl and tfrecord tell of them.
. tests/support/commands.sh

for number in 1 2 3 4 5 6 7 8; do pictures "$WORK/pics/cats/$number.png"; done
expect 0 "$bin/tfrecord" convert "$WORK/pics" --output "$WORK/d/k" --shards 4 --quiet
data=$WORK/d/k.yaml
expect 0 "$bin/batchctl" read "$data"
holds out '8 records'
expect 0 "$bin/tfrecord" verify "$data"
[ ! -s "$WORK/err" ] || ! grep -q 'missing\|empty' "$WORK/err" || fail "a whole set: $(cat "$WORK/err")"

# ---- one of the set is gone ----

rm "$WORK/d/k-00002-of-00004.tfrecord"
gap='1 of 4 shards is missing; the first is '$WORK/d/k-00002-of-00004.tfrecord
for command in "batchctl read" "tfrecord verify" "tfrecord info" "tfrecord cat" "tfrecord index"; do
	# shellcheck disable=SC2086 # two words
	expect 1 "$bin"/$command "$data"
	holds err "$gap" "'partial: true' reads those that are there"
done

cp "$data" "$WORK/d/partial.yaml"
echo 'partial: true' >>"$WORK/d/partial.yaml"
for command in "batchctl read" "tfrecord verify" "tfrecord info"; do
	# shellcheck disable=SC2086 # two words
	expect 0 "$bin"/$command "$WORK/d/partial.yaml"
	holds err "$gap"
	# shellcheck disable=SC2086 # two words
	expect 0 "$bin"/$command "$WORK/d/partial.yaml" --quiet
	[ ! -s "$WORK/err" ] || fail "$command --quiet: $(cat "$WORK/err")"
done

# a list is taken as it stands
sed "s/^shards:.*/shards: [k-00000-of-00004.tfrecord, k-00001-of-00004.tfrecord]/" "$data" >"$WORK/d/list.yaml"
expect 0 "$bin/batchctl" read "$WORK/d/list.yaml"
holds out '4 records'

# ---- one of the set is empty ----

: >"$WORK/d/k-00002-of-00004.tfrecord"
expect 0 "$bin/batchctl" read "$data"
holds out '6 records'
holds err '1 of 4 shards is empty (0 bytes): '"$WORK/d/k-00002-of-00004.tfrecord"
expect 0 "$bin/tfrecord" info "$data"
holds err "$WORK/d/k-00002-of-00004.tfrecord: is empty (0 bytes)"

# ---- one that cannot be looked at ----

rm "$WORK/d/k-00002-of-00004.tfrecord"
ln -s nowhere "$WORK/d/k-00002-of-00004.tfrecord"
expect 1 "$bin/batchctl" read "$data"
holds err "$WORK/d/k-00002-of-00004.tfrecord: cannot open: No such file or directory"

# ---- one is another file: its records are lost, and count as those of its siblings ----

rm "$WORK/d/k-00002-of-00004.tfrecord"
echo '<html><title>Quota exceeded</title></html>' >"$WORK/d/k-00002-of-00004.tfrecord"
cp "$data" "$WORK/d/skip.yaml"
echo 'on_error: skip' >>"$WORK/d/skip.yaml"
for file in "$data" "$WORK/d/skip.yaml"; do
	expect 1 "$bin/batchctl" read "$file"
	holds err "$WORK/d/k-00002-of-00004.tfrecord: no TFRecord shard but an HTML page"
done
holds err 'about 2 of 8 records of the dataset are lost, more than skip_limit 0.01 allows'
echo 'skip_limit: 0.25' >>"$WORK/d/skip.yaml"
expect 0 "$bin/batchctl" read "$WORK/d/skip.yaml"
holds out '6 records'
holds err 'about 2 of its records are lost'
# a damaged record besides is one too many
printf '\377' | dd of="$WORK/d/k-00000-of-00004.tfrecord" bs=1 seek=20 conv=notrunc status=none
expect 1 "$bin/batchctl" read "$WORK/d/skip.yaml"
holds err '3 of 8 records are damaged, more than skip_limit 0.25 allows'

exit $failed
