/*
 * train.h - the parts of the command `train`: its command line and order of work (train.c), its data (train_data.c), what it says and
 * saves while the loop runs (train_hooks.c).
 */
#ifndef BD_COMMANDS_TRAIN_H
#define BD_COMMANDS_TRAIN_H

#include "common/base/progress.h"
#include "trainer/commands/data_options.h"
#include "trainer/learning/feature_cache.h"
#include "trainer/learning/loop.h"
#include "trainer/model/data_match.h"
#include "trainer/learning/model_folder.h"
#include "common/base/notes.h"
#include "trainer/learning/saving.h"
#include "trainer/report/training_events.h"
#include "trainer/report/training_report.h"

struct bd_train {
	/* the command line */
	struct bd_data_options data;
	struct bd_stream_spec spec;
	struct bd_stream_options stream;
	const char *model_path, *model_dir, *train_data, *eval_data, *best;
	uint64_t steps, report_every, eval_every, checkpoint_every, keep, patience;
	bool eval_every_given, checkpoint_every_given;
	bool fresh, cache_features, exact;
	int on_nan;
	bool json, quiet;
	uint64_t start_ns;

	/* what it becomes, in the order of its making */
	const volatile int *stop;
	struct bd_model_file file;
	struct bd_model_folder folder;
	struct bd_client *client;
	struct bd_network network;
	struct bd_optimizer *optimizer;
	struct bd_metric_set window_metrics, evaluation_metrics;
	struct bd_saving saving;
	struct bd_notes notes; /* on the checkpoint that it goes on from */
	struct bd_feed *feed;
	struct bd_data_match *match; /* what the model is trained on: of a run that goes on its data.yaml, else the training data */
	char *description; /* of the training data, for data.yaml */
	struct bd_feature_cache train_cache, eval_cache;
	struct bd_progress *progress;
	bool away; /* the daemon */
	struct bd_training_report *report;
	struct bd_training_events *events;
	struct bd_loop loop;
};

/* ---- train_data.c ---- */

/* Every record of a dataset once, checked against the model. */
BD_MUST_CHECK int bd_train_open(struct bd_train *train, const struct bd_stream_request *request, struct bd_feed **ret_feed,
                                struct bd_error *error);

/* Whether --eval-data is there and fits: said before hours of training, not after them. */
BD_MUST_CHECK int bd_train_check_evaluation(struct bd_train *train, struct bd_error *error);

/* The training data from the loop's position on: the stream, or features kept by --cache-features. Sets train->feed and train->description. */
BD_MUST_CHECK int bd_train_open_data(struct bd_train *train, struct bd_error *error);

/* Hook of the loop: the evaluation data. `context` is the struct bd_train. */
BD_MUST_CHECK int bd_train_open_evaluation(void *context, struct bd_feed **ret_feed, struct bd_error *error);

/* Ends a progress line that indexing or features drew. */
void bd_train_end_progress(struct bd_train *train);

/* ---- train_hooks.c ---- */

struct bd_loop_hooks bd_train_hooks(struct bd_train *train);

#endif
