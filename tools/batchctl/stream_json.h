/*
 * stream_json.h - a stream's figures as the JSON object that `streams` and `top` print.
 */
#ifndef BD_BATCHCTL_STREAM_JSON_H
#define BD_BATCHCTL_STREAM_JSON_H

#include <batchd/client.h>

#include "common/base/json.h"

/* NULL without memory. */
json_t *bd_stream_json(const struct bd_stream_info *stream);

#endif
