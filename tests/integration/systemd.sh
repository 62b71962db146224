#!/bin/bash
# systemd - the service under a real systemd: socket activation, users, kill -9, watchdog, reload, metrics, stop. Boots a Debian root in a container; the
# root is made once and kept outside of the clone.
set -euo pipefail
skip() {
	echo "skipped: $*"
	exit 77
}
case $BUILD in
*release) ;;
*) skip "only the release build is installed" ;;
esac
[ "$(id -u)" = 0 ] || skip "containers need root"
for program in systemd-nspawn mmdebstrap; do
	command -v "$program" >/dev/null || skip "no $program (packages.txt, group test)"
done
probe=$(mktemp -d)
mount -t tmpfs probe "$probe" 2>/dev/null || {
	rmdir "$probe"
	skip "this environment lets root mount nothing"
}
umount "$probe"
rmdir "$probe"

cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/batchd-tests
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
tests/systemd/make-root "$cache/root" libuv1 libprotobuf-c1 zlib1g libjpeg62-turbo libpng16-16 libyaml-0-2 libjansson4 libnettle8 libmicrohttpd12 \
	libsystemd0 || skip "no Debian root could be made (no package mirror?)"
flock -u 9

make -s install DESTDIR="$WORK/installed" PREFIX=/usr >"$WORK/install.log"
# Not what the container has no libraries for.
rm -f "$WORK/installed/usr/bin/batchtrain"
cat >"$WORK/inside" <<'TOP'
#!/bin/bash
systemd-sysusers && systemd-tmpfiles --create
exec /run-inside
TOP
install -m 755 tests/systemd/inside "$WORK/installed/run-inside"
status=0
tests/systemd/boot "$cache/root" "$WORK/installed" "$WORK/inside" "$WORK/out" || status=$?
cat "$WORK/out/test.log" 2>/dev/null || true
if [ $status = 125 ]; then
	tail -5 "$WORK/out/console.log"
	grep -q 'Operation not permitted\|Permission denied\|Failed to' "$WORK/out/console.log" && skip "systemd-nspawn does not boot here"
fi
exit $status
