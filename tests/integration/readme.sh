#!/bin/sh
# readme - the commands of README.md, in their order and as they stand: the blocks marked `sh`. Each must exit 0.
#
# In place of the reader's pictures: the folder cats_vs_dogs of the shared data where README_WHOLE=1 asks for the whole thing (a few
# minutes; the accuracy is checked), else pictures made here and a training of 4 steps.
. tests/support/commands.sh
project=$PWD
cd "$WORK"
ln -s "$project/examples" "$project/build" .
if [ "${README_WHOLE:-}" = 1 ]; then
	ln -s "${BATCHD_SHARED:-$project/../shared}/data/cats_vs_dogs" .
	[ -d cats_vs_dogs/train ] || {
		echo "skipped: README_WHOLE=1 needs the shared data's cats_vs_dogs"
		exit 77
	}
	steps='s/^$//'
else
	for class in cats dogs; do
		for set in train test; do
			for number in 01 02 03 04 11 12 21 22 31 32; do pictures "cats_vs_dogs/$set/$class/$number.jpg"; done
		done
	done
	steps='s/--steps [0-9]*/--steps 4/'
fi

# bootstrap.sh is left out: CI and tests/bare-root run it, and its check runs this test.
awk '/^```sh$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$project/README.md" | grep -v '^\./bootstrap.sh' >commands.sh
[ "$(wc -l <commands.sh)" -ge 12 ] || fail "README.md: $(wc -l <commands.sh) commands found"
grep -q 'batchctl drain' commands.sh || fail "README.md: the daemon of the block is never drained"
# $PWD/build/release/bin is this build; `set -e` ends at the first command that fails, `set -x` says which.
{
	echo 'set -e -x'
	sed "$steps; s|build/release|$BUILD|" commands.sh
	echo 'wait'
} >run.sh
expect 0 env -u BATCHD_SOCKET sh run.sh
[ "$failed" = 0 ] || cat out err >&2
for made in data/train.yaml data/test.yaml model predictions.png preview.png second; do
	[ -e $made ] || fail "README.md: no $made was made"
done
if [ "${README_WHOLE:-}" = 1 ]; then
	"$bin/batchtrain" evaluate --model-dir model --data data/test.yaml --json >evaluation.json
	accuracy=$(grep -o '"accuracy":[0-9.]*' evaluation.json | head -n 1 | cut -d: -f2)
	echo "test accuracy $accuracy"
	awk -v accuracy="$accuracy" 'BEGIN { exit !(accuracy > 0.75) }' || fail "test accuracy $accuracy, not above 0.75"
fi
exit $failed
