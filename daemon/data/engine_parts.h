/*
 * engine_parts.h - what the pipelines of this room may see of the engine beyond engine.h.
 */
#ifndef BD_DATA_ENGINE_PARTS_H
#define BD_DATA_ENGINE_PARTS_H

#include <stdatomic.h>

#include "daemon/data/budget.h"
#include "daemon/data/engine.h"

struct bd_budget *bd_engine_budget(struct bd_engine *engine);

/* How many shards may still be kept open: half of the process's descriptors are for that, the others for sessions. */
_Atomic int64_t *bd_engine_descriptors(struct bd_engine *engine);

/* The options as given, defaults filled in; texts owned by the engine. */
const struct bd_engine_options *bd_engine_options(const struct bd_engine *engine);

#endif
