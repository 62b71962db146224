/*
 * loss.h - the losses: value and gradient, from logits or from probabilities.
 *
 * Definitions are Keras 3's (keras/src/backend, losses.py); `compatibility` BD_KERAS2 changes binary cross-entropy from
 * probabilities, the one place where Keras 2 differs. A sigmoid or softmax in front of its cross-entropy should be left out of the
 * graph and the logits form used: Keras does the same behind the scenes, and probabilities that were clipped have no gradient.
 *
 * Shapes: outputs (rows, width) float32. Targets are either floats (rows, width) or class numbers (rows).
 * Threads: no state.
 */
#ifndef BD_LEARNING_LOSS_H
#define BD_LEARNING_LOSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#include "trainer/model/compatibility.h"

enum bd_loss_kind {
	BD_BINARY_CROSSENTROPY,
	BD_CATEGORICAL_CROSSENTROPY,
	BD_SPARSE_CATEGORICAL_CROSSENTROPY,
	BD_MEAN_SQUARED_ERROR,
};

/* Keras' names, in the order of the enum, NULL at the end; `mse` is taken too (bd_loss_kind_parse). */
extern const char *const bd_loss_names[];

struct bd_loss {
	enum bd_loss_kind kind;
	bool from_logits; /* the outputs were not passed through sigmoid or softmax */
	float label_smoothing; /* 0 = none; binary: t (1-a) + a/2, categorical: t (1-a) + a/width */
	enum bd_compatibility compatibility;
};

/* One batch's targets: exactly one of the two is not NULL. */
struct bd_targets {
	const float *values; /* (rows, width) */
	const int64_t *classes; /* (rows): the class; for an output of width 1 the value itself */
};

/* "binary_crossentropy" ...; -EINVAL names the nearest. */
BD_MUST_CHECK int bd_loss_kind_parse(const char *name, enum bd_loss_kind *ret_kind, struct bd_error *error);

/*
 * Checks once that the loss fits the model: width 1 or more, class numbers only where they mean something (sparse, or one-hot by
 * class for categorical, or width 1). -EINVAL with the reason.
 */
BD_MUST_CHECK int bd_loss_check(const struct bd_loss *loss, size_t width, bool class_targets, struct bd_error *error);

/*
 * *ret_mean: the mean over the rows (double sums; for more batches weight by rows). gradient (rows, width), or NULL: of the mean,
 * with respect to the outputs. It may be the array of the outputs itself.
 * -ERANGE: a class number outside 0 .. width-1 (width 1: 0 .. 1 for binary cross-entropy), with the row; nothing is written then.
 * A NaN or infinite value is returned as it is: the caller decides.
 */
BD_MUST_CHECK int bd_loss_compute(const struct bd_loss *loss, const float *outputs, const struct bd_targets *targets, size_t rows,
                                  size_t width, double *ret_mean, float *gradient, struct bd_error *error);

/*
 * Adds the loss of each row to *sum, in the order of the rows: the sum over many batches is the same to the bit however the rows were
 * cut into batches. -ERANGE as above; *sum is unchanged then.
 */
BD_MUST_CHECK int bd_loss_add(const struct bd_loss *loss, const float *outputs, const struct bd_targets *targets, size_t rows,
                              size_t width, double *sum, struct bd_error *error);

#endif
