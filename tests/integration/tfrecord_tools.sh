#!/bin/sh
# tfrecord_tools - info, cat, verify and index as a person or a script calls them.
. tests/support/commands.sh
tfrecord=$bin/tfrecord
shared=${BATCHD_SHARED:-../shared}

# ---- shards of their own: two pictures of two classes, converted ----

for picture in cats/a dogs/b dogs/c; do pictures "$WORK/images/$picture.png"; done
for compression in none gzip zlib; do
	"$tfrecord" convert "$WORK/images" --output "$WORK/$compression" --shards 1 --encoding keep --compression $compression --quiet >"$WORK/out" 2>&1 ||
		fail "convert: $(cat "$WORK/out")"
done
plain=$WORK/none-00000-of-00001.tfrecord

expect 0 "$tfrecord" info --json --quiet "$WORK/none.yaml"
holds out '"records":3' '"compression":"none"' '"type":"Example"' '"label":{"kind":"int64","shape":[],"records":3}' '"format":"png"'
expect 0 "$tfrecord" info --json --quiet "$WORK"/zlib-*
holds out '"records":3' '"compression":"zlib"'
expect 0 "$tfrecord" info "$plain"
holds out 'label: int64' 'png 1x1x1'

for compression in none gzip zlib; do
	expect 0 "$tfrecord" cat --json "$WORK/$compression"-00000-of-00001.tfrecord
	[ "$(wc -l <"$WORK/out")" = 3 ] || fail "cat: not three lines"
	holds out '"record":0,"offset":0,' '"record":2,' '"label":{"int64":[1]}' '"image":{"bytes":["iVBORw0KGgo'
	expect 0 "$tfrecord" verify --json --quiet "$WORK/$compression"-00000-of-00001.tfrecord
	holds out '"records":3,"ok":true,"errors":[]'
done
expect 0 "$tfrecord" cat --json "$plain" --record 1
[ "$(wc -l <"$WORK/out")" = 1 ] || fail "cat --record: not one line"
holds out '"record":1,'
expect 0 "$tfrecord" cat --limit 2 --json "$plain" "$plain"
[ "$(wc -l <"$WORK/out")" = 2 ] || fail "cat --limit: not two lines"
expect 0 sh -c '"$1" cat --json - <"$2"' sh "$tfrecord" "$plain"
holds out '"file":"-","record":0'
expect 1 "$tfrecord" cat "$plain" --record 3
holds err 'tfrecord cat: ' 'there is no record 3'
expect 1 "$tfrecord" cat "$WORK/missing"
holds err "$WORK/missing: cannot open: No such file or directory"
expect 1 "$tfrecord" cat "$WORK"
holds err 'is a folder'
expect 2 "$tfrecord" cat
expect 2 "$tfrecord" cat "$plain" --recrd 1
holds err "--record"

# ---- index ----

expect 0 "$tfrecord" index --json --quiet --text "$plain"
holds out '"records":3' "\"index\":\"$plain.idx\""
awk -v size="$(wc -c <"$plain")" 'NF != 2 || $1 != at { exit 1 } { at = $1 + $2 } END { exit !(NR == 3 && at == size) }' "$plain.idx" || fail "index: $(cat "$plain.idx")"
expect 1 "$tfrecord" index "$plain"
holds err 'none-00000-of-00001.tfrecord.idx'
expect 0 "$tfrecord" index "$plain" --force --quiet
expect 0 "$tfrecord" index --quiet "$WORK"/gzip-00000-of-00001.tfrecord
[ -s "$WORK"/gzip-00000-of-00001.tfrecord.idx ] || fail "index of a compressed shard: no file"
expect 0 "$tfrecord" info --json --quiet "$WORK"/none.yaml
holds out '"files":1'

# ---- results for people: on standard output, also with --quiet ----

expect 0 "$tfrecord" info "$WORK/none.yaml" --quiet
holds out ': 3 records, ' '3 records; features of the 3 looked at (Example):' '  label: int64, in 3 records'
expect 0 "$tfrecord" verify "$WORK/none.yaml" --quiet
holds out '1 files, 3 records, 0 files damaged'
expect 0 "$tfrecord" index "$plain" --force --quiet
holds out "$plain.idx: 3 records"
[ ! -s "$WORK/err" ] || fail "index: results on standard error: $(cat "$WORK/err")"
expect 0 "$tfrecord" info "$WORK/none.yaml"
grep -q 'label' "$WORK/err" && fail "info: results on standard error: $(cat "$WORK/err")"

# ---- damage ----

# flip FILE BYTE: writes $WORK/damaged with that byte changed
flip() {
	cp "$1" "$WORK/damaged"
	printf '\377' | dd of="$WORK/damaged" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
second=$(awk 'NR == 2 { print $1 }' "$plain.idx")
flip "$plain" $((second + 20))
expect 1 "$tfrecord" verify --json "$WORK/damaged"
holds out "\"records\":3,\"ok\":false,\"errors\":[{\"record\":1,\"offset\":$second,\"reason\":\"data CRC\""
holds err "record 1 at byte $second: data CRC mismatch (stored 0x"
expect 1 "$tfrecord" cat --json "$WORK/damaged"
[ "$(wc -l <"$WORK/out")" = 1 ] || fail "cat: the good record before the damage, and no more"
[ "$(wc -l <"$WORK/err")" = 1 ] || fail "cat: one line of error"
expect 1 "$tfrecord" verify "$WORK/damaged" --quiet
holds out "record 1 at byte $second: data CRC mismatch (stored 0x" '1 files, 3 records, 1 files damaged'
[ ! -s "$WORK/err" ] || fail "verify: results on standard error: $(cat "$WORK/err")"
flip "$plain" $((second + 9))
expect 1 "$tfrecord" verify --json --quiet "$WORK/damaged" "$plain"
holds out "\"records\":3,\"ok\":false,\"errors\":[{\"record\":1,\"offset\":$second,\"reason\":\"length CRC\"" '"ok":true'
expect 1 "$tfrecord" index "$WORK/damaged"
holds err 'length CRC mismatch'
[ ! -e "$WORK/damaged.idx" ] || fail "index of a damaged shard left a file"
head -c $((second + 5)) "$plain" >"$WORK/damaged"
expect 1 "$tfrecord" verify --json --quiet "$WORK/damaged"
holds out "\"errors\":[{\"record\":1,\"offset\":$second,\"reason\":\"truncated\""
expect 1 "$tfrecord" verify --json --quiet "$WORK/missing" "$plain"
holds out '"ok":false' '"ok":true'
ls "$WORK" | grep -q 'tmp' && fail "temporary files are left: $(ls "$WORK")"

# ---- golden files ----

golden=$shared/golden/tfrecords
if [ -r "$golden/index.txt" ]; then
	expect 1 "$tfrecord" cat --json "$golden/damaged_zero_tail.tfrecord"
	[ "$(wc -l <"$WORK/out")" = 2 ] || fail "zero tail: not two records"
	expect 0 "$tfrecord" cat --json "$golden/members_one_is_empty.tfrecord.gz"
	[ "$(wc -l <"$WORK/out")" = 6 ] || fail "members: not six records"
	expect 0 "$tfrecord" cat --json --sequence "$golden/sequence.tfrecord"
	holds out '"context":{"id":{"int64":[5]},"name":{"bytes":["Zmlyc3Q="]}},"feature_lists":{"nums":[{"int64":[1]},{"int64":[2,3]},{"int64":[-4,5,6]}]'
	expect 0 "$tfrecord" cat --json "$golden/examples.tfrecord"
	[ "$(wc -l <"$WORK/out")" = 49 ] || fail "examples: not 49 lines"
	holds out '"f":{"float":[0.0,-0.0,1.0,"inf","-inf","nan"' '"a\u0000b":{"int64":[1]}' '"x":{}' '"data":"'
	[ "$(grep -c '"data":' "$WORK/out")" = 10 ] || fail "examples: not ten that protobuf refuses"
else
	echo "   $golden is missing: its part is left out"
fi

# ---- a file that cannot be read does not keep the others from being told ----

printf 'BZh91AY&SY and so on' >"$WORK/packed.bz2"
for command in info index; do
	expect 1 "$tfrecord" $command "$WORK/nowhere" "$WORK/packed.bz2" "$plain"
	holds err 'nowhere: cannot open' 'packed.bz2: no TFRecord shard but a bzip2 file: unpack it with bunzip2'
	[ $command = index ] || holds out 'none-00000-of-00001.tfrecord: 3 records'
done
printf 'shards: [packed.bz2]\nfeatures: {x: {type: int64}}\non_error: skip\n' >"$WORK/packed.yaml"
expect 1 "$bin/batchctl" read "$WORK/packed.yaml"
holds err 'packed.bz2: no TFRecord shard but a bzip2 file'
! grep -q 'on_error' "$WORK/err" || fail "advice to skip: $(cat "$WORK/err")"

exit $failed
