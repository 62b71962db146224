/*
 * shard_index_sweep.h - keeps the folder of cached indexes bounded.
 *
 * Why: an index is named after its shard's device and inode; of a shard that was written anew under the same path, or is gone, it would lie
 * there for ever. Two bounds: indexes that nobody used for BD_INDEX_CACHE_UNUSED_S go, and past BD_INDEX_CACHE_BYTES those not used for
 * the longest time do. "Used" is the file's modification time, which loading an index renews once a day. Where what was used within a day is already
 * more than the bound, the newest go: a set that does not fit keeps a fixed part of it, instead of each index driving out the next one.
 *
 * What is removed: regular files of this user whose name and first bytes are an index's, of any version, and halves of such files that a killed
 * process left an hour ago. Nothing else in the folder is touched.
 * Other processes: any number of them read, store and sweep at once. A reader has the file open, or does not find it and makes the index
 * anew; at worst an index that was stored at this moment goes and is made once more.
 * Threads: no state; any thread.
 */
#ifndef BD_RECORD_SHARD_INDEX_SWEEP_H
#define BD_RECORD_SHARD_INDEX_SWEEP_H

#include <stdint.h>
#include <time.h>

#define BD_INDEX_CACHE_BYTES (4ull << 30)
#define BD_INDEX_CACHE_UNUSED_S (90u * 24 * 3600)

/* Used within this time: in use. Also how often loading renews the time. */
#define BD_INDEX_CACHE_RECENT_S (24u * 3600)

/* The folder is looked through at most so often, when an index is stored: in between it may grow past its bound. */
#define BD_INDEX_CACHE_SWEEP_S 60u

/* Quietly: what cannot be looked at or removed stays. */
void bd_shard_index_sweep(const char *folder, uint64_t limit_bytes, time_t now);

/* The same with the limit above, unless it was done within BD_INDEX_CACHE_SWEEP_S, also by another process. */
void bd_shard_index_sweep_now_and_then(const char *folder, time_t now);

#endif
