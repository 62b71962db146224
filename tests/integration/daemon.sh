#!/bin/bash
# daemon - batchd's command line and its life: options, socket files, reload, other users, drain, signals, memory that is not there.
set -u
bin=$BUILD/bin
socket=$WORK/s
passed=0 failed=0
ok() {
	passed=$((passed + 1))
	echo "ok   $*"
}
bad() {
	failed=$((failed + 1))
	echo "FAIL $*"
	tail -3 "$WORK/out" "$WORK/log" 2>/dev/null | sed 's/^/     /'
}
check() { # check NAME COMMAND...
	local name=$1
	shift
	if "$@" >"$WORK/out" 2>&1; then ok "$name"; else bad "$name"; fi
}
# refuses NAME STATUS WORDS COMMAND...: exit status and one line with these words
refuses() {
	local name=$1 wanted=$2 words=$3 status=0
	shift 3
	timeout 60 "$@" >"$WORK/out" 2>&1 || status=$?
	if [ $status = "$wanted" ] && grep -q -- "$words" "$WORK/out"; then ok "$name"; else
		bad "$name (status $status)"
	fi
}
within() { # within SECONDS COMMAND...
	local end=$((SECONDS + $1))
	shift
	until "$@" 2>/dev/null; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}
start() { # start ARGUMENTS...: in the background; its log is $WORK/log
	rm -f "$WORK/log" # else the line of the one before may be found
	"$bin/batchd" "$@" >"$WORK/log" 2>&1 </dev/null &
	daemon=$!
	within 60 grep -q 'ready on' "$WORK/log"
}
stop() { # stop SIGNAL SECONDS: sends the signal, returns the exit status, 124 where it takes longer
	kill -"$1" $daemon
	within "$2" sh -c "! kill -0 $daemon" || {
		kill -9 $daemon
		wait $daemon 2>/dev/null
		return 124
	}
	wait $daemon
}
read_one() { # read_one DATASET [ARGUMENTS...]
	timeout 60 "$bin/batchctl" read "$1" --connect "$socket" --batches 1 --json --quiet "${@:2}"
}

mkdir -p "$WORK/data/images/cats" "$WORK/data/images/dogs"
pixel='\211PNG\015\012\032\012\000\000\000\015IHDR\000\000\000\001\000\000\000\001\010\000\000\000\000:~\233U\000\000\000\012IDATx\234c\370\017\000\001\001\001\000\261\070\366\024\000\000\000\000IEND\256B`\202'
for picture in cats/1 cats/2 dogs/1; do
	# shellcheck disable=SC2059 # the picture is the format
	printf "$pixel" >"$WORK/data/images/$picture.png"
done
cat >"$WORK/data/pets.yaml" <<'Y'
shards: {folder: images}
features:
  image: {type: image, channels: grey, dtype: uint8, resize: {height: 2, width: 2, method: nearest}}
  label: {type: int64}
Y
pets=$WORK/data/pets.yaml

# ---- command line and configuration ----

check "--help" "$bin/batchd" --help
check "--version" "$bin/batchd" --version
refuses "an unknown option names the nearest" 2 "did you mean '--socket'" "$bin/batchd" --soket x
refuses "no socket at all" 2 "give --socket PATH" "$bin/batchd"
refuses "a socket without a name" 1 "path is empty" "$bin/batchd" --socket ""
refuses "a dataset without a name" 2 "NAME=FILE" "$bin/batchd" --socket "$socket" --dataset "$pets"
refuses "a dataset of the command line that is missing" 1 "dataset 'p'" "$bin/batchd" --socket "$socket" --dataset "p=$pets.missing"
refuses "memory that the host does not have" 1 "memory" "$bin/batchd" --socket "$socket" --memory 900TiB
check "and no socket file is left" test ! -e "$socket"
refuses "--private-fd that is no socket" 1 "SOCK_SEQPACKET" "$bin/batchd" --private-fd 0
cat >"$WORK/batchd.yaml" <<Y
socket: {path: s, mode: "0666"}
memory: 64MiB
datasets:
  pets: {file: data/pets.yaml}
  closed: {file: data/pets.yaml, allow: {users: [12345]}}
quota: {streams: 2}
metrics: {listen: "127.0.0.1:0"}
Y
check "--check of a good file" "$bin/batchd" --config "$WORK/batchd.yaml" --check
check "--check for programs" sh -c "'$bin/batchd' --config '$WORK/batchd.yaml' --check --json | grep -qx '{\"config\":\"$WORK/batchd.yaml\",\"good\":true,\"datasets\":2}'"
sed 's/quota:/quotta:/' "$WORK/batchd.yaml" >"$WORK/typo.yaml"
refuses "--check of a typo: line and nearest key" 1 "line 6: unknown key 'quotta'.*did you mean 'quota'" "$bin/batchd" --config "$WORK/typo.yaml" --check
sed 's|data/pets|data/nothing|' "$WORK/batchd.yaml" >"$WORK/missing.yaml"
refuses "--check of a missing dataset" 1 "dataset 'pets'" "$bin/batchd" --config "$WORK/missing.yaml" --check

start --config "$WORK/missing.yaml" # a service: its disk may be mounted later
check "a missing dataset of the configuration is a warning each" within 60 sh -c "[ \$(grep -c 'nothing.yaml: no such file' '$WORK/log') = 2 ]"
check "and the daemon runs" "$bin/batchctl" status --connect "$socket"
refuses "and says so to who asks for it" 1 "nothing.yaml: No such file" "$bin/batchctl" read pets --connect "$socket" --batches 1
cp "$pets" "$WORK/data/nothing.yaml"
check "and has it once the file is there" read_one pets
rm "$WORK/data/nothing.yaml"
kill -HUP $daemon
check "and looks again at a reload" within 60 sh -c "[ \$(grep -c 'nothing.yaml: no such file' '$WORK/log') = 4 ]"
stop TERM 5

# ---- socket files ----

start --config "$WORK/batchd.yaml" || bad "it does not start"
check "mode of the socket" test "$(stat -c %a "$socket")" = 666
check "a named dataset" read_one pets
check "a dataset's path" read_one "$pets"
refuses "a second daemon on the same socket" 1 "another process listens there" "$bin/batchd" --socket "$socket" --dataset "p=$pets"
check "and the first one lives" read_one pets
kill -9 $daemon
wait $daemon 2>/dev/null
check "killed, it leaves its socket file" test -S "$socket"
start --config "$WORK/batchd.yaml"
check "a stale socket file is replaced" read_one pets
refuses "a file that is no socket" 1 "no socket" "$bin/batchd" --socket "$pets" --dataset "p=$pets"
check "and stays" test -f "$pets"

# ---- reload ----

sed -i "s/  pets:/  animals:/" "$WORK/batchd.yaml"
kill -HUP $daemon
within 60 grep -q 'SIGHUP: 2 datasets' "$WORK/log"
check "reload: the new name" read_one animals
refuses "reload: the old name" 1 "no dataset 'pets' is configured" "$bin/batchctl" read pets --connect "$socket" --batches 1
echo "threads: many" >>"$WORK/batchd.yaml"
kill -HUP $daemon
within 60 grep -q 'stays as it was' "$WORK/log"
check "reload: a broken file changes nothing" read_one animals

# ---- other users ----

if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	chmod 755 "$WORK" "$WORK/data"
	chmod -R a+rX "$WORK/data"
	mkdir -p "$WORK/bin"
	cp "$bin/batchctl" "$WORK/bin/"
	as_other() { timeout 60 setpriv --reuid=12346 --regid=12346 --clear-groups env HOME=/nonexistent "$WORK/bin/batchctl" "$@" --connect "$socket"; }
	export -f as_other
	export WORK socket
	check "another user reads what it may read" as_other read "$pets" --batches 1 --json --quiet
	refuses "allow: a user that is not listed" 1 "'allow' does not list" bash -c "as_other read closed --batches 1"
	chmod 600 "$pets"
	refuses "a dataset file that it may not read" 1 "user 12346 may not read it" bash -c "as_other read $pets --batches 1"
	chmod 644 "$pets"
	chmod 600 "$WORK/data/images/dogs/1.png"
	refuses "a picture that it may not read" 1 "may not read" bash -c "as_other read $pets --batches 1"
	chmod 644 "$WORK/data/images/dogs/1.png"
	chmod 700 "$WORK/data/images"
	refuses "a folder that it may not enter" 1 "may not" bash -c "as_other read $pets --batches 1"
	chmod 755 "$WORK/data/images"
	# what lies in a closed folder, and whether it does, is nobody else's business: the answers are the same
	mkdir -p "$WORK/data/closed" "$WORK/data/open"
	echo x >"$WORK/data/closed/secret.tfrecord"
	chmod 700 "$WORK/data/closed"
	for name in secret.tfrecord none.tfrecord 's*' 'n*'; do
		printf 'shards: "%s"\nfeatures: {label: {type: int64}}\n' "$WORK/data/closed/$name" >"$WORK/data/look.yaml"
		refuses "a closed folder: $name" 1 "user 12346 may not" bash -c "as_other read $WORK/data/look.yaml --batches 1"
	done
	for name in secret none; do
		ln -sf "$WORK/data/closed/$name.tfrecord" "$WORK/data/open/link.tfrecord"
		printf 'shards: "%s"\nfeatures: {label: {type: int64}}\n' "$WORK/data/open/*.tfrecord" >"$WORK/data/look.yaml"
		refuses "a link into a closed folder: $name" 1 "user 12346 may not" bash -c "as_other read $WORK/data/look.yaml --batches 1"
	done
	rm "$WORK/data/open/link.tfrecord"
	refuses "no match in an open folder is said to be that" 1 "no file matches" bash -c "as_other read $WORK/data/look.yaml --batches 1"
	ln -s /etc/shadow "$WORK/data/images/cats/3.png"
	refuses "a link to what it may not read" 1 "may not read" bash -c "as_other read $pets --batches 1"
	rm "$WORK/data/images/cats/3.png"
	refuses "drain is for root and the daemon's user" 1 "only root" bash -c "as_other drain"
	"$bin/batchctl" read "$pets" --connect "$socket" --epochs 0 --json --quiet >/dev/null 2>&1 &
	reader=$!
	within 60 sh -c "'$bin/batchctl' streams --connect '$socket' --json | grep -q dataset"
	check "streams of others are not shown" sh -c "! bash -c 'as_other streams --json' | grep -q dataset"
	kill $reader
	wait $reader 2>/dev/null
else
	echo "     not root: other users are not tried"
fi

# ---- quota ----

readers=
for i in 1 2; do
	"$bin/batchctl" read animals --connect "$socket" --epochs 0 --json --quiet >/dev/null 2>&1 &
	readers="$readers $!"
done
within 60 sh -c "[ \$('$bin/batchctl' streams --connect '$socket' --json | wc -l) = 2 ]"
refuses "quota of streams" 1 "quota: streams" "$bin/batchctl" read animals --connect "$socket" --batches 1
# shellcheck disable=SC2086 # one word a process
kill $readers
# shellcheck disable=SC2086
wait $readers 2>/dev/null

sed 's/^quota:.*/quota: {memory: 20KiB}/' "$WORK/batchd.yaml" | grep -v '^threads: many' >"$WORK/quota.yaml"
stop TERM 5
start --config "$WORK/quota.yaml"
refuses "quota of memory, in sizes that can be read" 1 "[0-9.]* [KM]iB are needed, and of your quota of memory [0-9.]* KiB are left" \
	"$bin/batchctl" read animals --connect "$socket" --batch 10000 --batches 1

# ---- ends ----

# "At once" is less than the 20 s of draining; a loaded machine may take some seconds.

check "SIGTERM without streams: at once, exit 0" stop TERM 15
check "and the socket file is gone" test ! -e "$socket"
start --socket "$socket" --dataset "pets=$pets"
check "SIGINT likewise" stop INT 15
start --socket "$socket" --dataset "pets=$pets"
"$bin/batchctl" read pets --connect "$socket" --epochs 20 --batch 1 --json --quiet >"$WORK/read.json" 2>&1 &
reader=$!
check "drain: the last stream may end" sh -c "timeout 60 '$bin/batchctl' drain --connect '$socket' && wait"
within 60 sh -c "! kill -0 $daemon"
wait $daemon
check "drain: exit 0" test $? = 0
wait $reader 2>/dev/null
start --socket "$socket" --dataset "pets=$pets"
"$bin/batchctl" read pets --connect "$socket" --epochs 0 --json --quiet >/dev/null 2>&1 &
reader=$!
within 60 sh -c "'$bin/batchctl' streams --connect '$socket' --json | grep -q running"
kill -TERM $daemon
within 60 grep -q draining "$WORK/log"
check "draining, it still serves" kill -0 $daemon
check "a second SIGTERM stops at once, exit 0" stop TERM 15
kill $reader
wait $reader 2>/dev/null

# A disk that does not answer, or with errors: every read of a file in a folder named "hung" takes a minute, in one named "bad" it fails.
cat >"$WORK/disk.c" <<'EOF'
#include <sys/types.h>
#include <errno.h>
#include <unistd.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
static int lies_in(int fd, const char *folder)
{
	char link[64], path[4096] = { 0 };
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	return readlink(link, path, sizeof path - 1) > 0 && strstr(path, folder);
}
ssize_t pread(int fd, void *buffer, size_t bytes, off_t at)
{
	if (lies_in(fd, "/hung/"))
		sleep(60);
	if (lies_in(fd, "/bad/")) {
		errno = EIO;
		return -1;
	}
	return syscall(SYS_pread64, fd, buffer, bytes, at);
}
ssize_t pread64(int fd, void *buffer, size_t bytes, off_t at) { return pread(fd, buffer, bytes, at); }
EOF
if [ "${BUILD##*/}" = release ] && ${CC:-cc} -shared -fPIC -w -o "$WORK/disk.so" "$WORK/disk.c" 2>/dev/null; then
	for name in hung bad; do
		mkdir -p "$WORK/data/$name"
		cp -r "$WORK/data/images" "$WORK/data/$name/"
		sed "s/images/$name\/images/" "$pets" >"$WORK/data/$name.yaml"
	done
	echo 'on_error: skip' >>"$WORK/data/bad.yaml"
	LD_PRELOAD=$WORK/disk.so start --socket "$socket" --dataset "pets=$pets" --dataset "hung=$WORK/data/hung.yaml" --dataset "bad=$WORK/data/bad.yaml" --threads 1
	refuses "a disk error (EIO) is no damage that is skipped" 1 "bad/images/cats/1.png: record 0: .*Input/output error" \
		"$bin/batchctl" read bad --connect "$socket" --batches 1
	check "and costs no other stream" read_one pets
	"$bin/batchctl" read hung --connect "$socket" --json --quiet >/dev/null 2>&1 &
	reader=$!
	within 60 sh -c "'$bin/batchctl' streams --connect '$socket' --json | grep -q '\"running\"'"
	check "a disk that hangs holds up its own stream, also on one thread" read_one pets
	kill $reader
	wait $reader 2>/dev/null
	sleep 0.2
	check "threads that hang on a disk for a client that is gone do not keep it, exit 0" stop TERM 30
fi

# ---- private ----

"$bin/batchctl" read "$pets" --epochs 0 --json --quiet >"$WORK/private.json" 2>&1 &
reader=$!
within 60 test -s "$WORK/private.json"
child=$(pgrep -P $reader batchd)
check "a private daemon is the client's child" test -n "$child"
kill -9 $reader
wait $reader 2>/dev/null
check "and ends with it, however it ends" within 60 sh -c "! kill -0 $child"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
