#!/bin/sh
# batchctl - its commands as a person or a script calls them: what they print, and how they end.
. tests/support/commands.sh
batchctl=$bin/batchctl
unset BATCHD_SOCKET || true

# ---- a dataset: seven pictures of one pixel in two classes ----

for picture in cats/a cats/b cats/c dogs/d dogs/e dogs/f dogs/g; do pictures "$WORK/images/$picture.png"; done
data=$WORK/data.yaml
cat >"$data" <<'YAML'
shards: {folder: images}
features:
  image: {type: image, channels: grey, dtype: uint8, resize: {height: 2, width: 3, method: nearest}}
  label: {type: int64}
YAML

# ---- read ----

expect 0 "$batchctl" read "$data" --batch 4 --json --quiet
[ "$(wc -l <"$WORK/out")" = 3 ] || fail "read: not two batches and a result"
holds out '{"epoch":0,"batch":0,"rows":4,"records":[0,1,2,3],"sha256":{"image":"' '"batch":1,"rows":3,"records":[4,5,6]' \
	'{"batches":2,"skipped":0,"quarantine":[]}'
# 24 bytes of 255
holds out '"image":"'"$(head -c 24 /dev/zero | tr '\000' '\377' | sha256sum | cut -d' ' -f1)"'"'
expect 0 "$batchctl" read --json "$data" --batch 4 --epochs 0 --batches 5 --start 3:1
holds out '"epoch":3,"batch":1' '{"batches":5,'
expect 0 "$batchctl" read "$data" --batch 4 --save "$WORK/saved"
[ "$(wc -c <"$WORK/saved/000000.image.npy")" = $((192 + 24)) ] || fail "000000.image.npy has the wrong size"
[ "$(wc -c <"$WORK/saved/000001.label.npy")" = $((192 + 24)) ] || fail "000001.label.npy has the wrong size"
expect 1 "$batchctl" read "$data" --batch 4 --save "$WORK/saved"
expect 0 "$batchctl" read "$data" --batch 4 --save "$WORK/saved" --force
sed 's|  image: \(.*\)|  a/b: \1\n  a_b: \1|' "$data" >"$WORK/slash.yaml"
expect 1 "$batchctl" read "$WORK/slash.yaml" --batch 4 --save "$WORK/slash"
holds err "'a/b' and 'a_b' would share the file 000000.a_b.npy"
[ -z "$(ls "$WORK/slash")" ] || fail "read --save wrote files before it refused"
expect 0 "$batchctl" read "$WORK/slash.yaml" --batch 4 --json --quiet
expect 1 "$batchctl" read "$WORK/none.yaml"
holds err 'none.yaml'
expect 1 "$batchctl" read "$data" --batch 4 --start 0:9
# a start at the end or behind it, and a batch that is never full, are told instead of reading nothing
expect 2 "$batchctl" read "$data" --batch 4 --start 1:1
holds err 'start: 1:1 is behind the end'
for start in 1:0 0:2; do
	expect 1 "$batchctl" read "$data" --batch 4 --start $start --quiet
	holds err "no batch was read: the data ends at --start $start"
done
expect 1 "$batchctl" read "$data" --batch 8 --remainder drop --json
holds err 'the 7 records fill no batch of 8 rows'
from_input() { # from_input COMMAND ARGUMENTS...: the dataset file on standard input, in its folder
	(cd "$WORK" && "$batchctl" "$@" <"$data")
}
expect 0 from_input read - --batch 4 --json --quiet
holds out '{"batches":2,'
expect 0 from_input bench - --batch 4 --seconds 0.3 --consumers 2 --json --quiet
expect 0 from_input preview - --output "$WORK/sheet-.png" --quiet
printf 'shards: x\nfeaturs: {}\n' >"$WORK/typo.yaml"
expect 1 sh -c "'$batchctl' read - <'$WORK/typo.yaml'"
holds err "-: line 2: unknown key 'featurs'"
expect 1 sh -c "printf 'a\\000b' | '$batchctl' read -"
holds err 'NUL'
expect 2 "$batchctl" read "$data" --shufle global
holds err "did you mean '--shuffle'"
expect 2 "$batchctl" read "$data" --batch 7 --world 2 --rank 0
# options that would do nothing
expect 2 "$batchctl" read "$data" --force
holds err '--force belongs to --save'
expect 2 "$batchctl" read "$data" --window 100
holds err '--window needs --shuffle window'
expect 2 "$batchctl" read "$data" --cache 1MiB
holds err '--epochs is 1'
expect 2 "$batchctl" read
# the help tells each command's own defaults
expect 0 "$batchctl" read --help
holds out 'passes over the data; 0: endless (1)' 'none, window or global (none)'
expect 0 "$batchctl" bench --help
holds out 'passes over the data; 0: endless (0)'

# ---- bench and preview ----

expect 0 "$batchctl" bench "$data" --batch 4 --seconds 0.3 --json --quiet
holds out '"images_per_s":' '"batches":' '"bytes_per_s":' '"waited_s":' '"bottleneck":"' '"first_batch_s":' '"daemon_peak_rss_bytes":' '"handover_us":{"median":' '"p99":'
expect 0 "$batchctl" bench "$data" --batch 4 --seconds 0.3 --consumers 3 --share-group g --json --quiet
holds out '"consumers":3'
expect 0 "$batchctl" read "$data" --batch 4 --quiet
holds out 'epoch 0 batch 1: 3 rows' '2 batches, 7 records, 0 damaged records left out'
[ ! -s "$WORK/err" ] || fail "read: results on standard error: $(cat "$WORK/err")"
expect 0 "$batchctl" bench "$data" --batch 4 --seconds 0.1 --quiet
holds out ' records/s, ' 'hand-over '
[ ! -s "$WORK/err" ] || fail "bench: results on standard error: $(cat "$WORK/err")"
expect 0 "$batchctl" preview "$data" --output "$WORK/sheet.png" --rows 2 --columns 2 --json --quiet
holds out '"pictures":4'
head -c 4 "$WORK/sheet.png" | grep -q PNG || fail "the sheet is no PNG"
expect 1 "$batchctl" preview "$data" --output "$WORK/sheet.png"
expect 2 "$batchctl" preview "$data"

# ---- a running daemon ----

socket=$WORK/socket
expect 1 "$batchctl" status --connect "$socket"
holds err "$socket" 'no batchd listens there'
expect 1 "$batchctl" status --connect "$data"
holds err "is no socket, but a file"
expect 2 "$batchctl" status --connect "$socket" --json=1
holds err '--json takes no value'
expect 1 "$batchctl" status
holds err '--connect'
"$bin/batchd" --socket "$socket" --dataset small="$data" --memory 256MiB --threads 2 2>"$WORK/log" &
daemon=$!
wait_for_daemon "$socket" "$WORK/log"
expect 0 "$batchctl" status --connect "$socket" --json
holds out '"version":"' '"uptime_s":' "\"pid\":$daemon" '"streams":0' '"memory":{'
expect 0 "$batchctl" status --connect "$socket" --quiet
holds out "process $daemon, up " 'streams 0, '
expect 0 "$batchctl" streams --connect "$socket"
holds out 'no streams'
[ ! -s "$WORK/err" ] || fail "streams: results on standard error: $(cat "$WORK/err")"
expect 0 "$batchctl" streams --connect "$socket" --json
[ ! -s "$WORK/out" ] || fail "streams of an idle daemon: $(cat "$WORK/out")"
expect 0 env BATCHD_SOCKET="$socket" "$batchctl" read small --batch 4 --json --quiet
holds out '{"batches":2,'
pictures "$WORK/folder/cat/1.png" "$WORK/folder/loose.png"
printf 'shards: {folder: folder}\nfeatures: {image: {type: image, resize: {height: 8, width: 8}}}\n' >"$WORK/folder.yaml"
expect 0 "$batchctl" read "$WORK/folder.yaml" --connect "$socket" --json
holds err 'batchctl: ' 'folder: 1 file beside the class folders is left out: loose.png'
expect 0 "$batchctl" read "$WORK/folder.yaml" --connect "$socket" --json --quiet
[ ! -s "$WORK/err" ] || fail "notes with --quiet: $(cat "$WORK/err")"
expect 0 "$batchctl" read "$WORK/folder.yaml" --quiet
[ ! -s "$WORK/err" ] || fail "notes of a private daemon with --quiet: $(cat "$WORK/err")"
expect 1 "$batchctl" read large --connect "$socket"
holds err 'large'
"$batchctl" read small --batch 2 --epochs 0 --connect "$socket" --json --quiet >/dev/null 2>&1 &
reader=$!
tries=0
until "$batchctl" streams --connect "$socket" --json 2>/dev/null | grep -q '"state":"running"'; do
	tries=$((tries + 1))
	[ $tries -lt 1000 ] || { fail "no running stream is listed"; break; }
	sleep 0.05
done
expect 0 "$batchctl" streams --connect "$socket" --json
holds out '"dataset":"small"' '"user":"' '"skipped":0' '"bottleneck":"' '"state":"running"'
expect 0 "$batchctl" top --connect "$socket" --frames 2 --interval 100ms
holds out 'records/s' 'small' "processes: $reader ("
# Without a terminal it ends by itself; no line is wider than a terminal.
expect 0 "$batchctl" top --connect "$socket"
holds out 'records/s'
[ "$(wc -L <"$WORK/out")" -le 80 ] || fail "top: a line of $(wc -L <"$WORK/out") columns"

# ---- what a daemon serves by name, and where it is ----

expect 0 "$batchctl" datasets --connect "$socket"
holds out 'small' "$WORK"
expect 0 "$batchctl" datasets --connect "$socket" --json
holds out '{"name":"small","file":"'
expect 1 "$batchctl" read smal --connect "$socket"
holds err "no dataset 'smal' is configured here; did you mean 'small'?"
export BATCHD_SERVICE_SOCKET=$socket
expect 0 "$batchctl" status
expect 0 "$batchctl" read small --batch 2 --quiet
expect 1 "$batchctl" read "$data" --memory 1KiB --quiet # a file has a private daemon all the same
holds err 'memory'
for command in read bench; do
	expect 1 "$batchctl" $command small --memory 64MiB
	holds err '--memory is of a private daemon'
	expect 1 "$batchctl" $command small --threads 1 --connect "$socket"
	holds err '--threads is of a private daemon'
done
unset BATCHD_SERVICE_SOCKET
expect 1 env BATCHD_SERVICE_SOCKET="$WORK/none.sock" "$batchctl" status
holds err 'no daemon is named'

# ---- a daemon that is stopped: an answer or an error, never neither ----

kill -STOP $daemon
expect 1 timeout 60 "$batchctl" status --connect "$socket"
holds err 'the daemon does not answer'
kill -CONT $daemon
expect 0 "$batchctl" status --connect "$socket"
expect 0 "$batchctl" metrics --connect "$socket"
holds out '# TYPE '
kill -INT $reader
status=0
wait $reader || status=$?
[ $status = 130 ] || fail "read ended with $status after SIGINT"
expect 0 "$batchctl" drain --connect "$socket" --wait --json
holds out '"draining":true' '"ended":true'
status=0
wait $daemon || status=$?
[ $status = 0 ] || fail "the drained daemon ended with $status"
exit $failed
