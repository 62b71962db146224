#!/bin/sh
# Batches through the real daemon: the same at any thread count, from any start, from compressed shards; damage; bounded memory.
set -eu
bin=${BUILD:-build/release}/bin
data=/usr/share/datasets/fashion-mnist
[ -f $data/t10k-images-idx3-ubyte.gz ] || {
	echo "skipped: no dataset-fashion-mnist"
	exit 77
}
fail() {
	echo "data-plane: $*" >&2
	exit 1
}
convert() {    # NAME OPTIONS...
	name=$1
	shift
	"$bin/tfrecord" convert --idx $data/t10k-images-idx3-ubyte.gz $data/t10k-labels-idx1-ubyte.gz --output "$WORK/$name/t" --shards 4 \
		--quiet "$@" >"$WORK/convert.log" 2>&1 || fail "convert: $(cat "$WORK/convert.log")"
}
read_batches() {    # OUTPUT DATASET OPTIONS...
	output=$1
	shift
	timeout 120 "$bin/batchctl" read "$@" --batch 500 --json --quiet >"$WORK/$output" 2>"$WORK/$output.log"
}
batches() {    # without the last line, the result
	sed '$d' "$WORK/$1"
}

mkdir -p "$WORK/plain" "$WORK/gzip"
convert plain
convert gzip --compression gzip

# the same batches at any thread count
for shuffle in none window global; do
	for threads in 1 2 8; do
		read_batches $shuffle-$threads "$WORK/plain/t.yaml" --shuffle $shuffle --threads $threads || fail "read: $(cat "$WORK/$shuffle-$threads.log")"
	done
	[ "$(batches $shuffle-1 | wc -l)" = 20 ] || fail "$shuffle: not 20 batches"
	cmp -s "$WORK/$shuffle-1" "$WORK/$shuffle-2" || fail "$shuffle: 2 threads give other batches than 1"
	cmp -s "$WORK/$shuffle-1" "$WORK/$shuffle-8" || fail "$shuffle: 8 threads give other batches than 1"
	read_batches $shuffle-gzip "$WORK/gzip/t.yaml" --shuffle $shuffle || fail "gzip: $(cat "$WORK/$shuffle-gzip.log")"
	cmp -s "$WORK/$shuffle-1" "$WORK/$shuffle-gzip" || fail "$shuffle: gzip shards give other batches"
done
# also where the uncompressed shards (7.8 MB) do not fit, and records are inflated ahead in windows
for shuffle in window global; do
	read_batches $shuffle-small "$WORK/gzip/t.yaml" --shuffle $shuffle --threads 2 --memory 28MiB || fail "gzip in little memory: $(cat "$WORK/$shuffle-small.log")"
	cmp -s "$WORK/$shuffle-1" "$WORK/$shuffle-small" || fail "$shuffle: gzip shards in little memory give other batches"
done
cmp -s "$WORK/none-1" "$WORK/global-1" && fail "global shuffle is the records' own order"

# any start is the rest of the stream
read_batches whole "$WORK/plain/t.yaml" --shuffle global --epochs 2
for start in 0:1 0:19 1:0 1:7; do
	read_batches rest "$WORK/plain/t.yaml" --shuffle global --epochs 2 --start $start || fail "$start: $(cat "$WORK/rest.log")"
	skipped=$((${start%:*} * 20 + ${start#*:}))
	batches whole | tail -n +$((skipped + 1)) >"$WORK/expected"
	batches rest | cmp -s - "$WORK/expected" || fail "start $start is not the rest of the stream"
done

# ranks share each batch
read_batches rank0 "$WORK/plain/t.yaml" --world 2 --rank 0 && read_batches rank1 "$WORK/plain/t.yaml" --world 2 --rank 1 || fail "ranks"
[ "$(batches rank0 | grep -c '"rows":250')" = 20 ] || fail "rank 0 has not half of each batch"

# whatever the remainder and wherever they begin: the ranks' rows, put together, are the batches of a single reader
printf 'shards: "t-*.tfrecord"\nfeatures: {label: {type: int64}}\n' >"$WORK/plain/labels.yaml"
read_records() {    # OUTPUT OPTIONS...: batches of 498; the record numbers, a line a batch
	output=$1
	shift
	timeout 120 "$bin/batchctl" read "$WORK/plain/labels.yaml" --shuffle global --epochs 2 --batch 498 --json --quiet "$@" \
		>"$WORK/ranks.json" 2>"$WORK/ranks.log" || fail "$*: $(cat "$WORK/ranks.log")"
	sed -n 's/.*"records":\[\([0-9,]*\)\].*/\1/p' "$WORK/ranks.json" >"$WORK/$output"
}
for remainder in drop short carry; do
	read_records whole --remainder $remainder
	for start in 0:0 0:20 1:3; do
		[ $remainder != drop ] || [ $start != 0:20 ] || continue
		read_records rest --remainder $remainder --start $start
		[ "$(wc -l <"$WORK/rest")" -gt 10 ] || fail "$remainder, start $start: $(wc -l <"$WORK/rest") batches"
		tail -n "$(wc -l <"$WORK/rest")" "$WORK/whole" | cmp -s - "$WORK/rest" || fail "$remainder, start $start: not the rest"
		read_records of2-0 --remainder $remainder --start $start --world 2 --rank 0
		read_records of2-1 --remainder $remainder --start $start --world 2 --rank 1
		read_records of3-0 --remainder $remainder --start $start --world 3 --rank 0
		read_records of3-1 --remainder $remainder --start $start --world 3 --rank 1
		read_records of3-2 --remainder $remainder --start $start --world 3 --rank 2
		for world in 2 3; do
			# a rank may have no row of a short batch
			paste -d, "$WORK/of$world"-? | sed 's/,,*/,/g; s/,$//' | cmp -s - "$WORK/rest" ||
				fail "$remainder, start $start: $world ranks are not the whole"
		done
	done
done

# a damaged record ends the stream after the good batches; skip leaves it out
shard=$WORK/plain/t-00001-of-00004.tfrecord
printf '\377\377' | dd of="$shard" bs=1 seek=1000 conv=notrunc 2>/dev/null
read_batches damaged "$WORK/plain/t.yaml" && fail "a damaged record is no error"
grep -q 't-00001-of-00004.tfrecord: record 2501 at byte 8[0-9]*: data CRC mismatch' "$WORK/damaged.log" || fail "damage: $(cat "$WORK/damaged.log")"
[ "$(grep -c '"rows"' "$WORK/damaged")" = 5 ] || fail "$(grep -c '"rows"' "$WORK/damaged") batches before the damage, not 5"
sed 's/^compression:/on_error: skip\ncompression:/' "$WORK/plain/t.yaml" >"$WORK/plain/skip.yaml"
read_batches skip "$WORK/plain/skip.yaml" || fail "skip: $(cat "$WORK/skip.log")"
tail -n 1 "$WORK/skip" | grep -q '"skipped":1,"quarantine":\[{"record":2501,' || fail "skip: $(tail -n 1 "$WORK/skip")"
[ "$(grep -c '"rows":499' "$WORK/skip")" = 1 ] || fail "no batch is one row short"
grep -q '"record":2501' "$WORK"/cache/quarantine/*.jsonl || fail "the quarantine log has no line"

# a missing feature, an empty dataset, memory that does not suffice: one clear line each
sed 's/"label"/"labels"/' "$WORK/plain/t.yaml" >"$WORK/plain/missing.yaml"
read_batches missing "$WORK/plain/missing.yaml" && fail "a missing feature is no error"
grep -q "feature 'labels': is missing" "$WORK/missing.log" || fail "missing: $(cat "$WORK/missing.log")"
: >"$WORK/plain/empty.tfrecord"
printf 'shards: empty.tfrecord\nfeatures: {label: {type: int64}}\n' >"$WORK/plain/empty.yaml"
read_batches empty "$WORK/plain/empty.yaml" && fail "no records is no error"
grep -q "no records" "$WORK/empty.log" || fail "empty: $(cat "$WORK/empty.log")"
read_batches small "$WORK/gzip/t.yaml" --memory 1MiB --threads 1 && fail "1 MiB suffices"
grep -q -- "--memory" "$WORK/small.log" || fail "small: $(cat "$WORK/small.log")"

# more shards than descriptors
mkdir "$WORK/shards"
for i in $(seq 100 350); do ln "$WORK/gzip/t-00000-of-00004.tfrecord" "$WORK/shards/$i.tfrecord"; done
sed 's/^shards:.*/shards: "*.tfrecord"/' "$WORK/gzip/t.yaml" >"$WORK/shards/t.yaml"
(ulimit -n 96 && read_batches many "$WORK/shards/t.yaml" --start 0:1250) || fail "251 shards with 96 descriptors: $(cat "$WORK/many.log")"
[ "$(grep -c '"rows":500' "$WORK/many")" = 5 ] || fail "251 shards: $(grep -c '"rows":500' "$WORK/many") batches, not 5"

# the memory bound holds (sanitizers need memory of their own)
case $bin in
*release/bin | *debug/bin)
	timeout 120 "$bin/batchctl" bench "$WORK/gzip/t.yaml" --batch 500 --shuffle global --memory 24MiB --threads 2 --seconds 1 --json --quiet \
		>"$WORK/bench" 2>"$WORK/bench.log" || fail "bench: $(cat "$WORK/bench.log")"
	peak=$(tail -n 1 "$WORK/bench" | sed 's/.*"daemon_peak_rss_bytes":\([0-9]*\).*/\1/')
	[ "$peak" -gt 0 ] && [ "$peak" -le $(((24 + 32) * 1048576)) ] || fail "--memory 24MiB: peak RSS $peak"
	;;
esac
exit 0
