#include "common/record/foreign_file.h"

#include <string.h>

#include "common/base/arithmetic.h"

#define UNPACK(with) "unpack it with " with ", or compress it with gzip instead"

/* Of three bytes at least: a damaged header of a shard is none of them by chance. */
static const struct signature {
	const char *bytes;
	size_t length;
	const char *kind;
} signatures[] = {
#define SIGNATURE(bytes, kind)                                                                                                     \
	{                                                                                                                          \
		bytes, sizeof(bytes) - 1, kind                                                                                     \
	}
	SIGNATURE("BZh", "a bzip2 file: " UNPACK("bunzip2")),
	SIGNATURE("\x28\xb5\x2f\xfd", "a zstd file: " UNPACK("unzstd")),
	SIGNATURE("\xfd"
	          "7zXZ",
	          "an xz file: " UNPACK("unxz")),
	SIGNATURE("\x04\x22\x4d\x18", "an lz4 file: " UNPACK("unlz4")),
	SIGNATURE("\xff\x06\x00\x00sNaPpY", "a snappy file: unpack it, or compress it with gzip instead"),
	SIGNATURE("\x1f\x9d\x90", "a file of compress: " UNPACK("uncompress")),
	SIGNATURE("\x1f\x8b\x08", "a gzip file: do not name another compression, or leave 'compression' away"),
	SIGNATURE("PK\x03\x04", "a zip archive: unpack it and name the shards in it"),
	SIGNATURE("7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it and name the shards in it"),
	SIGNATURE("\x89HDF\r\n\x1a\n", "an HDF5 file: write its contents as TFRecords"),
	SIGNATURE("\x93NUMPY", "a NumPy file: write its contents as TFRecords"),
	SIGNATURE("PAR1", "a Parquet file: write its contents as TFRecords"),
	SIGNATURE("ORC", "an ORC file: write its contents as TFRecords"),
	SIGNATURE("Obj\x01", "an Avro file: write its contents as TFRecords"),
	SIGNATURE("ARROW1", "an Arrow file: write its contents as TFRecords"),
	SIGNATURE("SQLite format 3", "an SQLite database: write its contents as TFRecords"),
	SIGNATURE("\x0a\x23\xd7\xce", "a RecordIO file of MXNet: write its contents as TFRecords"),
	SIGNATURE("SEQ", "a Hadoop sequence file: write its contents as TFRecords"),
	SIGNATURE("\xff\xd8\xff", "a JPEG picture: 'shards: {files: [...]}' takes pictures"),
	SIGNATURE("\x89PNG\r\n\x1a\n", "a PNG picture: 'shards: {files: [...]}' takes pictures"),
	SIGNATURE("%PDF-", "a PDF document"),
	SIGNATURE("version https://", "a pointer of Git LFS: 'git lfs pull' fetches the file itself"),
	SIGNATURE("<!DOCTYPE", "an HTML page: what should have been downloaded was not"),
	SIGNATURE("<!doctype", "an HTML page: what should have been downloaded was not"),
	SIGNATURE("<html", "an HTML page: what should have been downloaded was not"),
	SIGNATURE("<HTML", "an HTML page: what should have been downloaded was not"),
	SIGNATURE("<?xml", "an XML file: perhaps an error of the server that it came from"),
	SIGNATURE("\0\0\0\0\0\0\0\0\0\0\0\0", "a file of zero bytes: it was not written or not copied"),
};

const char *bd_foreign_file_kind(const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < BD_COUNT_OF(signatures); i++) {
		const struct signature *signature = &signatures[i];
		if (signature->length <= length && !memcmp(bytes, signature->bytes, signature->length))
			return signature->kind;
	}
	return NULL;
}
