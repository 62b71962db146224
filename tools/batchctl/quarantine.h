/*
 * quarantine.h - the damaged records of a stream as JSON: [{"record":…,"file":…,"offset":…,"reason":…}], each record once.
 */
#ifndef BD_BATCHCTL_QUARANTINE_H
#define BD_BATCHCTL_QUARANTINE_H

#include <batchd/client.h>

#include "common/base/json.h"

/* All records that the stream left out, [{"record", "file", "offset", "reason"}, ...]; the caller owns *ret_list. Errors as of bd_stream_quarantine. */
BD_MUST_CHECK int bd_quarantine_json(struct bd_stream *stream, json_t **ret_list, struct bd_error *error);

#endif
