#!/bin/sh
# tfrecord_convert - convert as a person or a script calls it: usage, failures that leave nothing, the same bytes at any jobs.
. tests/support/commands.sh
tfrecord=$bin/tfrecord
shared=${BATCHD_SHARED:-../shared}

# says TEXT: the one line of standard error holds the text
says() {
	[ "$(wc -l <"$WORK/err")" = 1 ] || fail "not one line: $(cat "$WORK/err")"
	grep -qF -- "$1" "$WORK/err" || fail "no '$1' in: $(cat "$WORK/err")"
}

# nothing_at PATH: not even a hidden file is left
nothing_at() {
	[ ! -e "$1" ] || [ -z "$(find "$1" -type f)" ] || fail "left behind: $(find "$1" -type f)"
}

# ---- an IDX pair of its own: 40 pictures of 3x2 in 4 classes ----

zeros() {
	head -c "$1" /dev/zero
}
idx=$WORK/idx
mkdir "$idx"
{
	printf '\0\0\010\003\0\0\0\050\0\0\0\003\0\0\0\002'
	zeros 240 | tr '\0' 'x'
} >"$idx/images"
{
	printf '\0\0\010\001\0\0\0\050'
	for i in 1 2 3 4 5 6 7 8 9 10; do printf '\0\001\002\003'; done
} >"$idx/labels"
gzip -k "$idx/images"

expect 0 "$tfrecord" convert --idx "$idx/images" "$idx/labels" --output "$WORK/a/set" --json --quiet
grep -qF '"records":40,"skipped":0,"shards":8,' "$WORK/out" || fail "result: $(cat "$WORK/out")"
grep -qF '"classes":["0","1","2","3"]' "$WORK/out" || fail "classes: $(cat "$WORK/out")"
[ ! -s "$WORK/err" ] || fail "--quiet is not quiet: $(cat "$WORK/err")"
grep -qF 'shape: [3, 2, 1]' "$WORK/a/set.yaml" || fail "no shape in the dataset file"
expect 0 "$tfrecord" verify "$WORK"/a/set-*.tfrecord
expect 0 "$tfrecord" info "$WORK/a/set.yaml" --json

expect 0 "$tfrecord" convert --idx "$idx/images" "$idx/labels" --output "$WORK/people/set" --quiet
holds out "40 records of 4 classes in 8 shards, " "; 0 left out. Dataset file: $WORK/people/set.yaml"
[ ! -s "$WORK/err" ] || fail "results on standard error: $(cat "$WORK/err")"

# compressed input gives the same bytes; so does any number of jobs
expect 0 "$tfrecord" convert --idx "$idx/images.gz" "$idx/labels" --output "$WORK/b/set" --jobs 3 --quiet
for file in "$WORK"/a/*; do cmp -s "$file" "$WORK/b/${file##*/}" || fail "${file##*/} differs"; done

# options
expect 0 "$tfrecord" convert --idx "$idx/images" "$idx/labels" --output "$WORK/c/set" --shards 3 --compression zlib --encoding png \
	--resize 9x8 --filter box --seed 7 --image-key image/encoded --label-key image/class --classes one,two,three,four --quiet
grep -qF '"image/encoded":' "$WORK/c/set.yaml" || fail "the image key is not in the dataset file"
grep -qF 'classes: ["one", "two", "three", "four"]' "$WORK/c/set.yaml" || fail "the classes are not in the dataset file"
expect 0 "$tfrecord" verify "$WORK"/c/set-*.tfrecord

# ---- classes: their order, and other names; what is beside them ----

pictures=$WORK/pictures
pictures "$pictures/cat/1.png" "$pictures/cat/kitten/2.png" "$pictures/dog/3.png" "$pictures/loose.png"
mkdir "$pictures/bird"
expect 0 "$tfrecord" convert "$pictures" --output "$WORK/classes/set" --shards 1 --classes dog,cat,bird --json
grep -qF '"records":3,"skipped":0,' "$WORK/out" || fail "nested pictures: $(cat "$WORK/out")"
grep -qF '"ignored":1,"classes":["dog","cat","bird"]' "$WORK/out" || fail "order of the classes: $(cat "$WORK/out")"
grep -qF '1 file beside the class folders is left out: loose.png' "$WORK/err" || fail "a loose picture is not said: $(cat "$WORK/err")"
grep -qF '1 class has no pictures: bird' "$WORK/err" || fail "an empty class is not said: $(cat "$WORK/err")"
expect 0 "$tfrecord" cat "$WORK/classes/set-00000-of-00001.tfrecord"
[ "$(grep -c 'label: int64\[1\] 0' "$WORK/out")" = 1 ] || fail "the one dog is not 0: $(cat "$WORK/out")"
[ "$(grep -c 'label: int64\[1\] 1' "$WORK/out")" = 2 ] || fail "the two cats are not 1: $(cat "$WORK/out")"
expect 0 "$tfrecord" convert "$pictures" --output "$WORK/renamed/set" --shards 1 --rename-classes Vogel,Katze,Hund --json --quiet
grep -qF '"classes":["Vogel","Katze","Hund"]' "$WORK/out" || fail "names of the classes: $(cat "$WORK/out")"
expect 0 "$tfrecord" cat "$WORK/renamed/set-00000-of-00001.tfrecord"
[ "$(grep -c 'label: int64\[1\] 1' "$WORK/out")" = 2 ] || fail "the two cats are not 1: $(cat "$WORK/out")"
expect 1 "$tfrecord" convert "$pictures" --output "$WORK/d/set" --classes Vogel,Katze,Hund
says "--rename-classes"
expect 1 "$tfrecord" convert "$pictures" --output "$WORK/d/set" --rename-classes Katze,Hund
says "2 names for the classes, the pictures have 3 classes"
printf 'cat/1.png,cat\ncat/kitten/2.png, cat\ndog/3.png,dog\n' >"$pictures/list.csv"
expect 0 "$tfrecord" convert "$pictures/list.csv" --output "$WORK/blank/set" --json
holds out '"records":3,"skipped":0,"shards":3,' '"classes":[" cat","cat","dog"]'
holds err "the classes ' cat' and 'cat' differ in blanks or case only"
printf 'cat/1.png,c\033at\ncat/kitten/2.png,c\033 at\n' >"$pictures/list.csv"
expect 0 "$tfrecord" convert "$pictures/list.csv" --output "$WORK/escape/set" --json
holds err "the classes 'c? at' and 'c?at' differ in blanks or case only"
rm "$pictures/list.csv"
ln -s /no/such/file "$pictures/cat/gone.png"
expect 1 "$tfrecord" convert "$pictures" --output "$WORK/d/set"
says "cat/gone.png: cannot open: No such file or directory; '--on-error skip' leaves such pictures out"
expect 0 "$tfrecord" convert "$pictures" --output "$WORK/gone/set" --on-error skip --json --quiet
grep -qF '"records":3,"skipped":1,' "$WORK/out" || fail "a dangling link: $(cat "$WORK/out")"
says "left out: "
says "cat/gone.png: cannot open: No such file or directory"

# ---- refusals: one line, the right status, nothing written ----

expect 2 "$tfrecord" convert --idx "$idx/images" "$idx/labels"
expect 2 "$tfrecord" convert --output "$WORK/d/set"
expect 2 "$tfrecord" convert "$idx" --idx "$idx/images" "$idx/labels" --output "$WORK/d/set"
expect 2 "$tfrecord" convert --idx "$idx/images" "$idx/labels" --output "$WORK/d/set" --encoding keep
expect 2 "$tfrecord" convert --idx "$idx/images" "$idx/labels" --output "$WORK/d/set" --shards 2 --shard-size 1MiB
expect 2 "$tfrecord" convert --idx "$idx/images" "$idx/labels" --output "$WORK/d/set" --filtre box
expect 2 "$tfrecord" convert --idx "$idx/images" "$idx/labels" --output "$WORK/d/se*t"
nothing_at "$WORK/d"
expect 1 "$tfrecord" convert --idx "$idx/images" "$idx/labels" --output "$WORK/a/set"
says "--force"
expect 0 "$tfrecord" convert --idx "$idx/images" "$idx/labels" --output "$WORK/a/set" --force --shards 2 --quiet
[ "$(ls "$WORK/a")" = "set-00000-of-00002.tfrecord
set-00001-of-00002.tfrecord
set.yaml" ] || fail "--force left: $(ls "$WORK/a")"
expect 1 "$tfrecord" convert --idx "$idx/images" "$idx/labels" --output "$WORK/d/set" --mean 1,2,3
holds err 'grey pictures have one mean, not three'
expect 1 "$tfrecord" convert "$WORK/nowhere" --output "$WORK/d/set"
says "nowhere"
expect 1 "$tfrecord" convert --idx "$idx/labels" "$idx/images" --output "$WORK/d/set"
head -c 200 "$idx/images" >"$idx/cut"
expect 1 "$tfrecord" convert --idx "$idx/cut" "$idx/labels" --output "$WORK/d/set"
says "promises 240 values"
mkdir "$WORK/empty"
expect 1 "$tfrecord" convert "$WORK/empty" --output "$WORK/d/set"
says "sub-folders"
nothing_at "$WORK/d"

# ---- photographs ----

train=$shared/data/cats_vs_dogs/train
if [ -d "$train" ]; then
	mkdir -p "$WORK/photos/cats" "$WORK/photos/dogs"
	cp "$train"/cats/cat.1?.jpg "$WORK/photos/cats/"
	cp "$train"/dogs/dog.1?.jpg "$WORK/photos/dogs/"
	expect 1 "$tfrecord" convert "$WORK/photos" --output "$WORK/d/set" --jobs 2 --quiet
	says "--resize"
	head -c 3000 "$train/cats/cat.1.jpg" >"$WORK/photos/cats/broken.jpg"
	expect 1 "$tfrecord" convert "$WORK/photos" --output "$WORK/d/set" --resize 32x48 --quiet
	says "broken.jpg"
	nothing_at "$WORK/d"
	expect 0 "$tfrecord" convert "$WORK/photos" --output "$WORK/e/set" --resize 32x48 --on-error skip --json --quiet
	grep -qF '"records":20,"skipped":1,' "$WORK/out" || fail "skip: $(cat "$WORK/out")"
	grep -qF 'broken.jpg' "$WORK/err" || fail "what was left out is not named"
	for encoding in jpeg png keep; do
		resize='--resize 32x48'
		[ $encoding != keep ] || resize=
		# shellcheck disable=SC2086 # two words or none
		expect 0 "$tfrecord" convert "$WORK/photos" --output "$WORK/e/$encoding" --encoding $encoding $resize --on-error skip --quiet
		expect 0 "$tfrecord" verify "$WORK/e/$encoding"-*.tfrecord
	done

	# a full disk: the output is named, and nothing is left of it
	if [ "$(id -u)" = 0 ] && mkdir "$WORK/disk" && mount -t tmpfs -o size=1m tmpfs "$WORK/disk" 2>/dev/null; then
		expect 1 "$tfrecord" convert "$train" --output "$WORK/disk/set" --resize 150x150 --quiet
		says "disk/set: cannot write: No space left on device"
		[ -z "$(ls -A "$WORK/disk")" ] || fail "a full disk: left are $(ls -A "$WORK/disk")"
		umount "$WORK/disk"
	fi

	# killed at some moment while it writes, politely or not: nothing is left
	for signal in INT TERM KILL; do
		"$tfrecord" convert "$train" --output "$WORK/killed/set" --resize 150x150 --jobs 1 --quiet 2>/dev/null &
		process=$!
		while [ ! -d "$WORK/killed" ] && kill -0 $process 2>/dev/null; do sleep 0.01; done
		sleep 0.1
		kill -$signal $process 2>/dev/null || true
		status=0
		wait $process || status=$?
		[ $signal = KILL ] || [ $status = 130 ] || [ $status = 0 ] || fail "$signal: status $status"
		[ $status = 0 ] || nothing_at "$WORK/killed"
		rm -rf "$WORK/killed"
	done
else
	echo "   without photographs: $train is missing"
fi

exit $failed
