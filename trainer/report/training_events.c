#include "trainer/report/training_events.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "common/base/file.h"
#include "common/image/picture.h"
#include "trainer/report/events.h"

#define SHEET_NAME "predictions.png"
/* A sheet of a few dozen pictures is some megabytes. */
#define SHEET_LIMIT_BYTES (256u << 20)
/* loss, learning rate, images/s, waited share */
#define OWN_SCALARS 4

struct bd_training_events {
	struct bd_events *training, *evaluation;
	char *sheet_path;
	bool failed;
};

int bd_training_events_create(const char *folder, const char *evaluation_folder, uint64_t step,
                              struct bd_training_events **ret_events, struct bd_error *error)
{
	struct bd_training_events *events = calloc(1, sizeof *events);
	if (!events)
		return bd_error_set(error, -ENOMEM, "no memory for events");
	int r = bd_events_open(folder, step, &events->training, error);
	if (r == 0 && evaluation_folder)
		r = bd_events_open(evaluation_folder, step, &events->evaluation, error);
	if (r == 0 && evaluation_folder && !(events->sheet_path = bd_path_join(evaluation_folder, SHEET_NAME)))
		r = bd_error_set(error, -ENOMEM, "no memory for a path");
	if (r < 0)
		bd_training_events_destroy(events);
	else
		*ret_events = events;
	return r;
}

void bd_training_events_destroy(struct bd_training_events *events)
{
	if (!events)
		return;
	bd_events_close(events->training);
	bd_events_close(events->evaluation);
	free(events->sheet_path);
	free(events);
}

static int once(struct bd_training_events *events, int r)
{
	if (r >= 0 || events->failed)
		return 0;
	events->failed = true;
	return r;
}

/* A point that is no number draws nothing, and TensorBoard would scale the curve for it. */
static size_t keep_finite(struct bd_event_scalar *scalars, size_t count)
{
	size_t kept = 0;
	for (size_t i = 0; i < count; i++)
		if (isfinite(scalars[i].value))
			scalars[kept++] = scalars[i];
	return kept;
}

static size_t add_metrics(struct bd_event_scalar *scalars, size_t count, const struct bd_metric_set *set, const double *values)
{
	for (size_t i = 0; i < set->count; i++)
		scalars[count++] = (struct bd_event_scalar){ bd_metric_name(set->metrics[i]), values[i] };
	return count;
}

int bd_training_events_report(struct bd_training_events *events, const struct bd_loop *loop, const struct bd_loop_report *report,
                              struct bd_error *error)
{
	if (!events)
		return 0;
	struct bd_event_scalar scalars[OWN_SCALARS + BD_MAX_METRICS] = {
		{ "loss", report->loss },
		{ "learning_rate", report->learning_rate },
		{ "images_per_s", report->images_per_s },
		{ "waited_share", report->waited_share },
	};
	size_t count = keep_finite(scalars, add_metrics(scalars, OWN_SCALARS, loop->window_metrics, report->metrics));
	return once(events, bd_events_scalars(events->training, report->step, scalars, count, error));
}

int bd_training_events_evaluation(struct bd_training_events *events, const struct bd_loop *loop, struct bd_error *error)
{
	struct bd_event_scalar scalars[1 + BD_MAX_METRICS] = { { "loss", loop->evaluation.loss } };
	size_t count = keep_finite(scalars, add_metrics(scalars, 1, loop->evaluation_metrics, loop->evaluation.metrics));
	if (!events || !events->evaluation)
		return 0;
	return once(events, bd_events_scalars(events->evaluation, loop->state.step, scalars, count, error));
}

int bd_training_events_weights(struct bd_training_events *events, const struct bd_loop *loop, struct bd_error *error)
{
	const struct bd_network *network = loop->network;
	int r = 0;
	for (size_t i = 0; events && r == 0 && i < network->parameter_count; i++) {
		const struct bd_parameter *parameter = network->parameters[i];
		if (parameter->trainable)
			r = bd_events_histogram(events->training, loop->state.step, parameter->name, parameter->value,
			                        parameter->count, error);
	}
	return events ? once(events, r) : 0;
}

int bd_training_events_sheet(struct bd_training_events *events, uint64_t step, const struct bd_prediction_sheet *sheet,
                             struct bd_error *error)
{
	uint8_t *png = NULL;
	size_t length;
	uint32_t height, width, channels;
	if (!events || !events->evaluation || bd_prediction_sheet_count(sheet) == 0)
		return 0;
	int r = bd_prediction_sheet_write(sheet, events->sheet_path, error);
	if (r == 0)
		r = bd_file_read_all(events->sheet_path, SHEET_LIMIT_BYTES, &png, &length, error);
	if (r == 0)
		r = bd_picture_size(png, length, &height, &width, &channels, error);
	if (r == 0)
		r = bd_events_image(events->evaluation, step, "predictions", png, length, width, height, channels, error);
	free(png);
	return once(events, r);
}
