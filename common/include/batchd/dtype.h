/*
 * dtype.h - the kinds of numbers that a batch holds.
 *
 * One enum for dataset files, messages, shared memory and the client library; the values are part of the protocol.
 */
#ifndef BATCHD_DTYPE_H
#define BATCHD_DTYPE_H

enum bd_dtype {
	BD_UINT8 = 1,
	BD_FLOAT32 = 2,
	BD_INT64 = 3,
};

#endif
