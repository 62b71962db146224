/*
 * onnx.h - a model as an ONNX file, for onnxruntime and other runtimes.
 *
 * Input "input": float32 (N, height, width, channels), as the model takes it (the dataset's mean and scale are applied before);
 * output "output": what the model gives, pictures as NHWC. Inside everything is NCHW. Opset 17, IR version 8; the batch N is free.
 * Batch normalisation is written as such, with the moving statistics; dropout is left out; `same` padding is explicit.
 */
#ifndef BD_MODEL_ONNX_H
#define BD_MODEL_ONNX_H

#include <stdbool.h>
#include <stddef.h>

#include <batchd/error.h>

#include "trainer/model/parameter.h"

/*
 * `parameters`: all of the model's. -EINVAL: a layer that cannot be exported; -EEXIST unless force; -EFBIG: more than the 2 GiB that
 * a protobuf message holds; -ENOMEM; -errno.
 */
BD_MUST_CHECK int bd_onnx_export(const char *path, bool force, const struct bd_model *model, struct bd_parameter *const *parameters,
                                 size_t count, struct bd_error *error);

#endif
