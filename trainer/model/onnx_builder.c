#include "trainer/model/onnx_builder.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ATTRIBUTES 8

static void *keep(struct bd_onnx_builder *builder, void *block)
{
	void **blocks = block ? realloc(builder->blocks, (builder->block_count + 1) * sizeof *blocks) : NULL;
	if (!blocks) {
		free(block);
		builder->failed = true;
		return NULL;
	}
	builder->blocks = blocks;
	return blocks[builder->block_count++] = block;
}

void *bd_onnx_reserve(struct bd_onnx_builder *builder, size_t count, size_t size)
{
	return builder->failed ? NULL : keep(builder, calloc(count + 1, size));
}

char *bd_onnx_text(struct bd_onnx_builder *builder, const char *format, ...)
{
	char *made = NULL;
	va_list arguments;
	va_start(arguments, format);
	if (builder->failed || vasprintf(&made, format, arguments) < 0)
		made = NULL;
	va_end(arguments);
	return keep(builder, made);
}

/* A constant tensor; the bytes are borrowed. Returns its name. */
char *bd_onnx_add_tensor(struct bd_onnx_builder *builder, char *name, int type, const int64_t *dims, size_t rank, const void *bytes,
                         size_t length)
{
	bd_onnx_tensor *tensor = bd_onnx_reserve(builder, 1, sizeof *tensor), **tensors;
	int64_t *shape = bd_onnx_reserve(builder, rank, sizeof *shape);
	if (builder->failed)
		return name;
	tensors = realloc(builder->tensors, (builder->tensor_count + 1) * sizeof *tensors);
	if (!tensors) {
		builder->failed = true;
		return name;
	}
	batchd__onnx__tensor_proto__init(tensor);
	memcpy(shape, dims, rank * sizeof *shape);
	tensor->name = name;
	tensor->data_type = type;
	tensor->dims = shape;
	tensor->n_dims = rank;
	tensor->raw_data = (ProtobufCBinaryData){ .len = length, .data = (uint8_t *)(uintptr_t)bytes };
	builder->tensors = tensors;
	tensors[builder->tensor_count++] = tensor;
	return name;
}

char *bd_onnx_add_floats(struct bd_onnx_builder *builder, char *name, const int64_t *dims, size_t rank, const float *values,
                         size_t count)
{
	return bd_onnx_add_tensor(builder, name, BD_ONNX_FLOAT, dims, rank, values, count * sizeof *values);
}

/* `count` times one value. */
char *bd_onnx_add_constant(struct bd_onnx_builder *builder, char *name, float value, size_t count, size_t rank)
{
	float *values = bd_onnx_reserve(builder, count, sizeof *values);
	const int64_t dims[1] = { (int64_t)count };
	for (size_t i = 0; values && i < count; i++)
		values[i] = value;
	return bd_onnx_add_floats(builder, name, dims, rank, values, values ? count : 0);
}

bd_onnx_node *bd_onnx_add_node(struct bd_onnx_builder *builder, const char *type, char *output)
{
	bd_onnx_node *node = bd_onnx_reserve(builder, 1, sizeof *node), **nodes;
	char **outputs = bd_onnx_reserve(builder, 1, sizeof *outputs), *copy = bd_onnx_text(builder, "%s", type);
	bd_onnx_attribute **attributes = bd_onnx_reserve(builder, MAX_ATTRIBUTES, sizeof *attributes);
	if (builder->failed)
		return NULL;
	nodes = realloc(builder->nodes, (builder->node_count + 1) * sizeof *nodes);
	if (!nodes) {
		builder->failed = true;
		return NULL;
	}
	batchd__onnx__node_proto__init(node);
	outputs[0] = output;
	node->op_type = copy;
	node->name = output;
	node->output = outputs;
	node->n_output = 1;
	node->attribute = attributes;
	builder->nodes = nodes;
	return nodes[builder->node_count++] = node;
}

void bd_onnx_add_input(struct bd_onnx_builder *builder, bd_onnx_node *node, char *name)
{
	char **inputs = node ? bd_onnx_reserve(builder, node->n_input + 1, sizeof *inputs) : NULL;
	if (!inputs)
		return;
	if (node->n_input)
		memcpy(inputs, node->input, node->n_input * sizeof *inputs);
	inputs[node->n_input++] = name;
	node->input = inputs;
}

bd_onnx_attribute *bd_onnx_add_attribute(struct bd_onnx_builder *builder, bd_onnx_node *node, const char *name, int type)
{
	bd_onnx_attribute *attribute = node ? bd_onnx_reserve(builder, 1, sizeof *attribute) : NULL;
	char *copy = bd_onnx_text(builder, "%s", name);
	if (!attribute || !copy)
		return NULL;
	batchd__onnx__attribute_proto__init(attribute);
	attribute->name = copy;
	attribute->type = (Batchd__Onnx__AttributeProto__AttributeType)type;
	node->attribute[node->n_attribute++] = attribute;
	return attribute;
}

void bd_onnx_set_int(struct bd_onnx_builder *builder, bd_onnx_node *node, const char *name, int64_t value)
{
	bd_onnx_attribute *attribute = bd_onnx_add_attribute(builder, node, name,
	                                                     BATCHD__ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
	if (attribute)
		attribute->i = value;
}

void bd_onnx_set_ints(struct bd_onnx_builder *builder, bd_onnx_node *node, const char *name, const int64_t *values, size_t count)
{
	bd_onnx_attribute *attribute = bd_onnx_add_attribute(builder, node, name,
	                                                     BATCHD__ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
	int64_t *copy = bd_onnx_reserve(builder, count, sizeof *copy);
	if (!attribute || !copy)
		return;
	memcpy(copy, values, count * sizeof *copy);
	attribute->ints = copy;
	attribute->n_ints = count;
}

void bd_onnx_builder_finish(struct bd_onnx_builder *builder)
{
	for (size_t i = 0; i < builder->block_count; i++)
		free(builder->blocks[i]);
	free(builder->blocks);
	free(builder->nodes);
	free(builder->tensors);
	*builder = (struct bd_onnx_builder){ 0 };
}
