/*
 * prediction_sheet.h - pictures with what was predicted, as one PNG: green where it was right, red where not.
 *
 * Rows are taken as they come from the data and turned back into pictures (mean, scale and channel order undone). A sheet holds its first
 * `capacity` pictures; later ones are counted out. Threads: one.
 */
#ifndef BD_REPORT_PREDICTION_SHEET_H
#define BD_REPORT_PREDICTION_SHEET_H

#include <batchd/client.h>

#include "trainer/learning/feed.h"
#include "trainer/report/prediction.h"

struct bd_prediction_sheet;

/*
 * `schema` says how the pictures were made; answers are borrowed. Where the model's input is no picture the sheet stays empty.
 * Destroy takes NULL.
 */
BD_MUST_CHECK int bd_prediction_sheet_create(const struct bd_schema *schema, const struct bd_answers *answers, size_t capacity,
                                             struct bd_prediction_sheet **ret_sheet, struct bd_error *error);
void bd_prediction_sheet_destroy(struct bd_prediction_sheet *sheet);

size_t bd_prediction_sheet_count(const struct bd_prediction_sheet *sheet);
bool bd_prediction_sheet_is_full(const struct bd_prediction_sheet *sheet);

/* Row `row` of a batch and its probabilities (width). Pictures past the capacity are left out. */
BD_MUST_CHECK int bd_prediction_sheet_add(struct bd_prediction_sheet *sheet, const struct bd_feed_batch *batch, uint32_t row,
                                          const float *probabilities, struct bd_error *error);

/* Writes what is there, over an older file. -ENODATA: there is no picture. */
BD_MUST_CHECK int bd_prediction_sheet_write(const struct bd_prediction_sheet *sheet, const char *path, struct bd_error *error);

#endif
