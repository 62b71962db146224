/*
 * training_events.h - a training run in TensorBoard: DIR for training, DIR/eval for evaluations, so that their curves lie in one chart.
 *
 * Training: loss, the metrics, learning_rate, images_per_s, waited_share at each report; a histogram of each trained weight at each
 * evaluation or checkpoint. Evaluation: loss and the metrics; a sheet of predictions, which also lies at DIR/eval/predictions.png.
 * Events that cannot be written (a full disk) are said once and end no training. Threads: one.
 */
#ifndef BD_REPORT_TRAINING_EVENTS_H
#define BD_REPORT_TRAINING_EVENTS_H

#include "trainer/learning/loop.h"
#include "trainer/report/prediction_sheet.h"

struct bd_training_events;

/* evaluation_folder NULL: nothing is evaluated. `step`: where this run begins. Destroy takes NULL. */
BD_MUST_CHECK int bd_training_events_create(const char *folder, const char *evaluation_folder, uint64_t step,
                                            struct bd_training_events **ret_events, struct bd_error *error);
void bd_training_events_destroy(struct bd_training_events *events);

/* `events` NULL: nothing happens. Each returns 0, or the first failure of the run; later ones return 0 and stay silent. */
BD_MUST_CHECK int bd_training_events_report(struct bd_training_events *events, const struct bd_loop *loop,
                                            const struct bd_loop_report *report, struct bd_error *error);
BD_MUST_CHECK int bd_training_events_evaluation(struct bd_training_events *events, const struct bd_loop *loop,
                                                struct bd_error *error);
BD_MUST_CHECK int bd_training_events_weights(struct bd_training_events *events, const struct bd_loop *loop, struct bd_error *error);
BD_MUST_CHECK int bd_training_events_sheet(struct bd_training_events *events, uint64_t step,
                                           const struct bd_prediction_sheet *sheet, struct bd_error *error);

#endif
