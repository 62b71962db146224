/*
 * dataset_text.h - the dataset file that `tfrecord convert` writes beside its shards.
 *
 * With it the main job needs no hand-written YAML; what a user changes most (size, mean, channel order) stands in it.
 */
#ifndef BD_TOOLS_TFRECORD_DATASET_TEXT_H
#define BD_TOOLS_TFRECORD_DATASET_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <batchd/error.h>

#include "tools/tfrecord/picture_list.h"
#include "tools/tfrecord/picture_record.h"

/* Pictures of mixed sizes need a size to be batched; this is what most nets take. */
#define BD_CONVERT_DEFAULT_SIDE_PX 224u

struct bd_dataset_text {
	const char *name; /* of the shards */
	uint32_t shards;
	uint64_t records;
	const struct bd_picture_list *list;
	const struct bd_record_options *record;
	struct bd_record_shape shape; /* of all pictures; 0 = mixed */
	const char *channels; /* rgb, bgr or grey */
	const char *mean; /* as given: "116.779" or "1,2,3"; NULL = none */
	double scale;
};

/* Returns 0, -EIO, -ENOMEM. */
BD_MUST_CHECK int bd_dataset_text_write(const struct bd_dataset_text *text, FILE *stream, struct bd_error *error);

#endif
