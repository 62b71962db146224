/*
 * stream_table.h - the streams that run, and who consumes them.
 *
 * A stream (struct bd_live) has one pipeline and a list of members, one a session. A private stream has one member. The members
 * of a share group are those who asked for the same group as the same user with the same dataset and spec: they
 * get one stream, decoded once. Groups of different users are different groups, so that nobody can hold up another
 * user's training by joining it.
 *
 * States of a stream:   INDEXING -> WAITING (for share_start members) -> RUNNING -> gone with its last member
 *                       any of them -> FAILED (kept for its members' questions, closed to new ones)
 * States of a member:   JOINING (the index is not ready) -> ATTACHED -> DETACHED (too slow for its group)
 *
 * A member that comes back (resume) gets exactly the batch it asks for: from the group where that has not passed it, else from a
 * private stream of its own. Any other late member begins where the group is; `opened` tells it.
 *
 * Threads: the loop. Pipelines wake it through the stream's uv_async.
 */
#ifndef BD_CONTROL_STREAM_TABLE_H
#define BD_CONTROL_STREAM_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include <batchd/client.h>

#include "common/stream/order.h"
#include "daemon/data/engine.h"
#include "daemon/data/pipeline.h"

struct bd_dataset;
struct bd_member;

/* What a member's session is told; never from inside bd_stream_table_join. A handler may leave the table with bd_member_leave. */
struct bd_member_events {
	void (*indexing)(void *context, uint64_t done_bytes, uint64_t total_bytes);
	void (*opened)(void *context, const struct bd_consumer_files *files, const struct bd_order_position *position);
	void (*failed)(void *context, const struct bd_error *error); /* before or after `opened` */
	void (*detached)(void *context, const struct bd_order_position *next);
};

enum bd_live_state { BD_LIVE_INDEXING, BD_LIVE_WAITING, BD_LIVE_RUNNING, BD_LIVE_FAILED };

struct bd_live {
	struct bd_live *next;
	struct bd_stream_table *table;
	uint64_t id;
	enum bd_live_state state;
	bool closed; /* no new members: failed, or past its last batch */
	char *dataset; /* as the client named it */
	char digest[65]; /* of the dataset's content */
	char user[64];
	uid_t uid;
	struct bd_stream_spec spec;
	struct bd_pipeline *pipeline;
	struct bd_error error; /* FAILED */
	struct bd_member *members;
	uint32_t member_count, attached_count;
	unsigned held; /* handlers of it are running */
	uint64_t quota_memory_bytes; /* of its user; 0 = none */
	uint64_t progress_told_ns;
	uv_async_t wake;
};

enum bd_member_state { BD_MEMBER_JOINING, BD_MEMBER_ATTACHED, BD_MEMBER_DETACHED };

struct bd_member {
	struct bd_member *next;
	struct bd_live *live;
	enum bd_member_state state;
	bool told_failure;
	struct bd_consumer *consumer; /* ATTACHED and DETACHED */
	struct bd_dataset *dataset; /* kept until attached: a stream of its own may be needed */
	struct bd_file_identity *identities;
	bool resume;
	struct bd_order_position start;
	int wake_fd;
	const struct bd_member_events *events;
	void *context;
};

struct bd_stream_table {
	uv_loop_t *loop;
	struct bd_engine *engine;
	struct bd_live *streams; /* in the order of their ids */
	uint32_t count;
	uint64_t next_id, opened, failed, detached; /* since the start */
	uv_timer_t slow_timer;
	bool slow_timer_runs;
	uv_timer_t relief_timer; /* runs while there are streams */
};

void bd_stream_table_init(struct bd_stream_table *table, uv_loop_t *loop, struct bd_engine *engine);

/* All members have left. The loop must turn once more. */
void bd_stream_table_finish(struct bd_stream_table *table);

struct bd_join {
	const char *dataset_name, *digest, *user;
	uid_t uid;
	struct bd_dataset *dataset_take; /* the table's from the call on, also where it fails */
	struct bd_file_identity *identities_take; /* likewise; may be NULL */
	const struct bd_stream_spec *spec; /* start_epoch and start_batch: where it begins */
	bool resume;
	uint64_t quota_memory_bytes; /* of the user; 0 = none */
	int wake_fd;
	const struct bd_member_events *events;
	void *context;
};

/*
 * 0; -EINVAL: a bad spec, or one that differs from the group's, with the difference named; -EDQUOT: the user's memory; -ENOMEM; or
 * what bd_pipeline_create says. The member is freed by bd_member_leave.
 */
BD_MUST_CHECK int bd_stream_table_join(struct bd_stream_table *table, const struct bd_join *join, struct bd_member **ret_member,
                                       struct bd_error *error);

/* Frees what it held; the last one takes the stream with it. */
void bd_member_leave(struct bd_member *member);

/* "indexing", "waiting", "running", "ended" or "failed" */
const char *bd_live_state_name(const struct bd_live *live, const struct bd_pipeline_statistics *statistics);

/* The words in which two specs differ that should be the same: "batch (32 in the group, 64 asked for)"; false: they may share. Exposed for tests. */
bool bd_spec_difference(const struct bd_stream_spec *group, const struct bd_stream_spec *asked, char *ret_text, size_t size);

#endif
