#!/bin/sh
# library - a program of somebody else, built with the header and libbatchd.so alone, reads a dataset.
. tests/support/commands.sh
case $BUILD in
*asan | *tsan)
	echo "skipped: a program without the sanitizer cannot load a library with it"
	exit 77
	;;
esac
pictures "$WORK/images/a/1.png" "$WORK/images/a/2.png" "$WORK/images/b/3.png"
cat >"$WORK/program.c" <<'C'
#include <batchd/client.h>

#include <errno.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	struct bd_error error;
	struct bd_client *client;
	struct bd_stream *stream;
	struct bd_stream_request request;
	bd_stream_request_init(&request);
	request.dataset = "labels";
	request.dataset_text = "shards: {folder: images}\nfeatures:\n  image: {type: image, channels: grey, dtype: uint8, resize: {height: 2, width: 2, method: nearest}}\n  label: {type: int64}\n";
	request.dataset_folder = argv[1];
	request.spec.batch = 2;
	if (argc != 2 || bd_client_connect(NULL, NULL, &client, &error) < 0 || bd_stream_open(client, &request, &stream, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	struct bd_batch batch;
	int result;
	while ((result = bd_stream_next(stream, 5000, &batch, &error)) == 0) {
		for (uint32_t row = 0; row < batch.rows; row++)
			for (size_t i = 0; i < batch.array_count; i++)
				if (batch.arrays[i].dtype == BD_INT64)
					printf("%llu:%lld ", (unsigned long long)batch.records[row], (long long)((const int64_t *)batch.arrays[i].data)[row]);
		bd_stream_release(stream, &batch);
	}
	printf("%s\n", result == -ENODATA ? "end" : error.text);
	bd_stream_close(stream);
	bd_client_close(client);
	return 0;
}
C
${CC:-cc} -std=c99 -Wall -Wextra -Werror -pedantic -Icommon/include -o "$WORK/program" "$WORK/program.c" -L"$BUILD" -lbatchd -Wl,-rpath,"$PWD/$BUILD"
got=$(env -u BATCHD_SOCKET BATCHD_DAEMON="$bin/batchd" "$WORK/program" "$WORK")
[ "$got" = "0:0 1:0 2:1 end" ] || {
	echo "FAILED: got '$got'" >&2
	exit 1
}
# Nothing but the interface is visible.
! nm -D --defined-only "$BUILD/libbatchd.so" | grep -v ' bd_\(client\|stream\)_' | grep ' [TDB] '
