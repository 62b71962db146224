/*
 * prediction_line.h - one row of outputs as a line: JSON, CSV, or words.
 *
 * Printing goes to standard output; whether all of it arrived is checked once, at the program's end (program.h).
 * Threads: the command's.
 */
#ifndef BD_REPORT_PREDICTION_LINE_H
#define BD_REPORT_PREDICTION_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/json.h"
#include "trainer/report/prediction.h"

/* All borrowed. */
struct bd_prediction_line {
	const struct bd_answers *answers;
	const char *name; /* of the file; NULL: a record without one */
	uint64_t record;
	const int64_t *label; /* NULL: none is known */
	const float *output; /* (answers->width) */
};

/* No class is the answer of outputs that are no finite numbers. */
bool bd_prediction_line_is_answer(const struct bd_prediction_line *line);

/* {"file", "record", "class", "index", "probability" | "classes", "output", "label"}: docs/model.md. */
json_t *bd_prediction_line_json(const struct bd_prediction_line *line);

/* The heading of a CSV, and a line of it. */
void bd_prediction_print_heading(const struct bd_answers *answers);
void bd_prediction_line_print_csv(const struct bd_prediction_line *line);

/* "picture.jpg: dogs 0.9800" */
void bd_prediction_line_print(const struct bd_prediction_line *line);

#endif
