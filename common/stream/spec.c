#include "common/stream/spec.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

const char *const bd_shuffle_names[] = { "none", "window", "global", NULL };
const char *const bd_remainder_names[] = { "drop", "short", "carry", NULL };
const char *const bd_augment_names[] = { "on", "off", NULL };

#define DEFAULT_BATCH 32
#define DEFAULT_WINDOW 4096
#define DEFAULT_SLOTS 4

void bd_stream_spec_init(struct bd_stream_spec *ret_spec)
{
	*ret_spec = (struct bd_stream_spec){
		.batch = DEFAULT_BATCH,
		.window = DEFAULT_WINDOW,
		.epochs = 1,
		.remainder = BD_REMAINDER_SHORT,
		.world = 1,
		.slots = DEFAULT_SLOTS,
	};
}

static int check_bounds(const char *word, uint64_t value, uint64_t minimum, uint64_t maximum, struct bd_error *error)
{
	if (value >= minimum && value <= maximum)
		return 0;
	return bd_error_set(error, -EINVAL, "%s: %" PRIu64 " is not between %" PRIu64 " and %" PRIu64, word, value, minimum,
	                    maximum);
}

static int check_group(const char *group, struct bd_error *error)
{
	if (!memchr(group, 0, BD_SHARE_GROUP_BYTES))
		return bd_error_set(error, -EINVAL, "share_group: longer than %d bytes", BD_SHARE_GROUP_BYTES - 1);
	for (const unsigned char *c = (const unsigned char *)group; *c; c++)
		if (*c < 0x20 || *c == 0x7f)
			return bd_error_set(error, -EINVAL, "share_group: control characters");
	return 0;
}

int bd_stream_spec_check(const struct bd_stream_spec *spec, struct bd_error *error)
{
	int result = check_bounds("batch", spec->batch, 1, BD_MAX_BATCH_ROWS, error);
	if (result == 0)
		result = check_bounds("shuffle", spec->shuffle, 0, BD_SHUFFLE_GLOBAL, error);
	if (result == 0)
		result = check_bounds("window", spec->window, 1, BD_MAX_RECORDS, error);
	/* what signed numbers, as those of JSON are, can tell */
	if (result == 0)
		result = check_bounds("epochs", spec->epochs, 0, INT64_MAX, error);
	if (result == 0)
		result = check_bounds("start's epoch", spec->start_epoch, 0, INT64_MAX, error);
	if (result == 0)
		result = check_bounds("remainder", spec->remainder, 0, BD_REMAINDER_CARRY, error);
	if (result == 0)
		result = check_bounds("augment", spec->augment, 0, BD_AUGMENT_OFF, error);
	if (result == 0)
		result = check_bounds("world", spec->world, 1, spec->batch, error);
	if (result == 0)
		result = check_bounds("rank", spec->rank, 0, spec->world - 1, error);
	if (result == 0)
		result = check_bounds("slots", spec->slots, BD_MIN_SLOTS, BD_MAX_SLOTS, error);
	if (result == 0)
		result = check_bounds("share_start", spec->share_start, 0, BD_MAX_SHARE_START, error);
	if (result == 0)
		result = check_group(spec->share_group, error);
	if (result < 0)
		return result;
	if (spec->epochs && (spec->start_epoch > spec->epochs || (spec->start_epoch == spec->epochs && spec->start_batch)))
		return bd_error_set(error, -EINVAL,
		                    "start: %" PRIu64 ":%" PRIu64 " is behind the end: a stream of epochs: %" PRIu64
		                    " ends at %" PRIu64 ":0",
		                    spec->start_epoch, spec->start_batch, spec->epochs, spec->epochs);
	if (spec->batch % spec->world != 0)
		return bd_error_set(error, -EINVAL, "world: %" PRIu32 " does not divide the batch of %" PRIu32 " rows", spec->world,
		                    spec->batch);
	if (!spec->share_group[0] && (spec->share_start != 0 || spec->share_timeout_ns != 0))
		return bd_error_set(error, -EINVAL, "share_%s needs a 'share_group'", spec->share_start ? "start" : "timeout");
	return 0;
}

const char *bd_shuffle_name(enum bd_shuffle shuffle)
{
	return (unsigned)shuffle <= BD_SHUFFLE_GLOBAL ? bd_shuffle_names[shuffle] : "?";
}

const char *bd_remainder_name(enum bd_remainder remainder)
{
	return (unsigned)remainder <= BD_REMAINDER_CARRY ? bd_remainder_names[remainder] : "?";
}

const char *bd_augment_name(enum bd_augment augment)
{
	return (unsigned)augment <= BD_AUGMENT_OFF ? bd_augment_names[augment] : "?";
}
