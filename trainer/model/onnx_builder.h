/*
 * onnx_builder.h - nodes and constants of an ONNX graph, one after the other.
 *
 * Everything comes from one list of blocks and is freed at once. Without memory `failed` is set and every further call does nothing;
 * calls take NULL nodes, so that only the end has to look.
 */
#ifndef BD_MODEL_ONNX_BUILDER_H
#define BD_MODEL_ONNX_BUILDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#include "proto/onnx.pb-c.h"

/* TensorProto.DataType */
#define BD_ONNX_FLOAT 1
#define BD_ONNX_INT64 7

typedef Batchd__Onnx__NodeProto bd_onnx_node;
typedef Batchd__Onnx__TensorProto bd_onnx_tensor;
typedef Batchd__Onnx__AttributeProto bd_onnx_attribute;

struct bd_onnx_builder {
	void **blocks;
	size_t block_count;
	bool failed;
	bd_onnx_node **nodes;
	size_t node_count;
	bd_onnx_tensor **tensors;
	size_t tensor_count;
};

void bd_onnx_builder_finish(struct bd_onnx_builder *builder);

/* Zeroed memory and formatted text that live as long as the builder; NULL after a failure. */
void *bd_onnx_reserve(struct bd_onnx_builder *builder, size_t count, size_t size);
char *bd_onnx_text(struct bd_onnx_builder *builder, const char *format, ...) BD_PRINTF(2, 3);

/* Constants; the bytes are borrowed until the file is written. They return their name. */
char *bd_onnx_add_tensor(struct bd_onnx_builder *builder, char *name, int type, const int64_t *dims, size_t rank, const void *bytes,
                         size_t length);
char *bd_onnx_add_floats(struct bd_onnx_builder *builder, char *name, const int64_t *dims, size_t rank, const float *values,
                         size_t count);

/* `count` times one value; rank 0 or 1. */
char *bd_onnx_add_constant(struct bd_onnx_builder *builder, char *name, float value, size_t count, size_t rank);

/* A node with one output, which is also its name. */
bd_onnx_node *bd_onnx_add_node(struct bd_onnx_builder *builder, const char *type, char *output);
void bd_onnx_add_input(struct bd_onnx_builder *builder, bd_onnx_node *node, char *name);
bd_onnx_attribute *bd_onnx_add_attribute(struct bd_onnx_builder *builder, bd_onnx_node *node, const char *name, int type);
void bd_onnx_set_int(struct bd_onnx_builder *builder, bd_onnx_node *node, const char *name, int64_t value);
void bd_onnx_set_ints(struct bd_onnx_builder *builder, bd_onnx_node *node, const char *name, const int64_t *values, size_t count);

#endif
