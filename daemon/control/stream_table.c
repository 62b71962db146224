#include "daemon/control/stream_table.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/record/dataset.h"
#include "common/stream/spec.h"

/* How often slow members are looked for: a tenth of the shortest share_timeout that people set. */
#define SLOW_PERIOD_MS 100

/* INDEXING packets of one stream: ten a second make a smooth bar. */
#define PROGRESS_PERIOD_NS (100 * BD_NS_PER_MS)

/* How often stuck workers are looked for: well within BD_ENGINE_STUCK_NS. */
#define RELIEF_PERIOD_MS 100

void bd_stream_table_init(struct bd_stream_table *table, uv_loop_t *loop, struct bd_engine *engine)
{
	*table = (struct bd_stream_table){ .loop = loop, .engine = engine, .next_id = 1 };
	uv_timer_init(loop, &table->slow_timer);
	table->slow_timer.data = table;
	uv_unref((uv_handle_t *)&table->slow_timer);
	uv_timer_init(loop, &table->relief_timer);
	table->relief_timer.data = table;
	uv_unref((uv_handle_t *)&table->relief_timer);
}

void bd_stream_table_finish(struct bd_stream_table *table)
{
	assert(!table->streams);
	uv_close((uv_handle_t *)&table->slow_timer, NULL);
	uv_close((uv_handle_t *)&table->relief_timer, NULL);
}

/* Bytes of all streams of a user. */
static uint64_t memory_of(const struct bd_stream_table *table, uid_t uid)
{
	uint64_t bytes = 0;
	for (const struct bd_live *live = table->streams; live; live = live->next) {
		if (live->uid != uid || !live->pipeline)
			continue;
		struct bd_pipeline_statistics statistics;
		bd_pipeline_statistics(live->pipeline, &statistics);
		bytes += statistics.memory_bytes;
	}
	return bytes;
}

const char *bd_live_state_name(const struct bd_live *live, const struct bd_pipeline_statistics *statistics)
{
	static const char *const names[] = { "indexing", "waiting", "running", "failed" };
	if (live->state == BD_LIVE_RUNNING && live->spec.epochs && statistics->epoch >= live->spec.epochs)
		return "ended";
	return names[live->state];
}

/* ---- what a group must have in common ---- */

static bool differ_u64(const char *word, uint64_t group, uint64_t asked, char *ret_text, size_t size)
{
	if (group == asked)
		return false;
	snprintf(ret_text, size, "%s (%" PRIu64 " in the group, %" PRIu64 " asked for)", word, group, asked);
	return true;
}

static bool differ_text(const char *word, const char *group, const char *asked, char *ret_text, size_t size)
{
	if (!strcmp(group, asked))
		return false;
	snprintf(ret_text, size, "%s (%s in the group, %s asked for)", word, group, asked);
	return true;
}

static bool differ_ns(const char *word, uint64_t group, uint64_t asked, char *ret_text, size_t size)
{
	if (group == asked)
		return false;
	snprintf(ret_text, size, "%s (%gs in the group, %gs asked for)", word, (double)group / BD_NS_PER_S,
	         (double)asked / BD_NS_PER_S);
	return true;
}

bool bd_spec_difference(const struct bd_stream_spec *group, const struct bd_stream_spec *asked, char *ret_text, size_t size)
{
	return differ_u64("batch", group->batch, asked->batch, ret_text, size) ||
	       differ_text("shuffle", bd_shuffle_name(group->shuffle), bd_shuffle_name(asked->shuffle), ret_text, size) ||
	       (group->shuffle == BD_SHUFFLE_WINDOW && differ_u64("window", group->window, asked->window, ret_text, size)) ||
	       differ_u64("seed", group->seed, asked->seed, ret_text, size) ||
	       differ_u64("epochs", group->epochs, asked->epochs, ret_text, size) ||
	       differ_text("remainder", bd_remainder_name(group->remainder), bd_remainder_name(asked->remainder), ret_text, size) ||
	       differ_text("augment", bd_augment_name(group->augment), bd_augment_name(asked->augment), ret_text, size) ||
	       differ_u64("world", group->world, asked->world, ret_text, size) ||
	       differ_u64("rank", group->rank, asked->rank, ret_text, size) ||
	       differ_u64("slots", group->slots, asked->slots, ret_text, size) ||
	       differ_u64("cache", group->cache_bytes, asked->cache_bytes, ret_text, size) ||
	       differ_u64("share_start", group->share_start, asked->share_start, ret_text, size) ||
	       differ_ns("share_timeout", group->share_timeout_ns, asked->share_timeout_ns, ret_text, size);
}

static struct bd_live *find_group(const struct bd_stream_table *table, uid_t uid, const char *group)
{
	for (struct bd_live *live = table->streams; live; live = live->next)
		if (live->uid == uid && !live->closed && !strcmp(live->spec.share_group, group))
			return live;
	return NULL;
}

static int check_same(const struct bd_live *live, const struct bd_join *join, struct bd_error *error)
{
	char difference[200];
	if (strcmp(live->digest, join->digest) != 0)
		return bd_error_set(
			error, -EINVAL,
			"share group '%s' runs with another dataset or content (%s in the group, %s asked for): use another group",
			join->spec->share_group, live->dataset, join->dataset_name);
	if (bd_spec_difference(&live->spec, join->spec, difference, sizeof difference))
		return bd_error_set(error, -EINVAL, "share group '%s' runs with another %s: ask for the same, or use another group",
		                    join->spec->share_group, difference);
	return 0;
}

/* ---- streams ---- */

static void look(uv_async_t *wake);

/* On a data thread. */
static void on_notify(void *context)
{
	struct bd_live *live = context;
	uv_async_send(&live->wake);
}

static void on_live_closed(uv_handle_t *handle)
{
	struct bd_live *live = handle->data;
	free(live->dataset);
	free(live);
}

static void remove_live(struct bd_live *live)
{
	struct bd_stream_table *table = live->table;
	struct bd_live **link = &table->streams;
	while (*link != live)
		link = &(*link)->next;
	*link = live->next;
	if (--table->count == 0)
		uv_timer_stop(&table->relief_timer);
	bd_pipeline_destroy(live->pipeline);
	live->pipeline = NULL;
	uv_close((uv_handle_t *)&live->wake, on_live_closed);
}

static void on_relief_timer(uv_timer_t *timer)
{
	struct bd_stream_table *table = timer->data;
	bd_engine_relieve(table->engine, bd_now_ns());
}

/* Appends: ids ascend along the list. */
static void add_live(struct bd_stream_table *table, struct bd_live *live)
{
	struct bd_live **link = &table->streams;
	while (*link)
		link = &(*link)->next;
	*link = live;
	if (table->count++ == 0)
		uv_timer_start(&table->relief_timer, on_relief_timer, RELIEF_PERIOD_MS, RELIEF_PERIOD_MS);
	table->opened++;
}

static void discard(const struct bd_join *join)
{
	bd_dataset_destroy(join->dataset_take);
	free(join->identities_take);
}

static int create_live(struct bd_stream_table *table, const struct bd_join *join, struct bd_live **ret_live, struct bd_error *error)
{
	uint64_t used = join->quota_memory_bytes ? memory_of(table, join->uid) : 0;
	if (join->quota_memory_bytes && used >= join->quota_memory_bytes) {
		discard(join);
		bd_error_set(error, -EDQUOT, "the streams of user %s use all the memory that 'quota: memory' allows; close one",
		             join->user);
		return -EDQUOT;
	}
	struct bd_live *live = calloc(1, sizeof *live);
	char *dataset = strdup(join->dataset_name);
	if (!live || !dataset || uv_async_init(table->loop, &live->wake, look) < 0) {
		discard(join);
		free(dataset);
		free(live);
		bd_error_set(error, -ENOMEM, "no memory for a stream");
		return -ENOMEM;
	}
	live->dataset = dataset;
	live->wake.data = live;
	live->table = table;
	live->id = table->next_id++;
	live->uid = join->uid;
	live->quota_memory_bytes = join->quota_memory_bytes;
	live->spec = *join->spec;
	snprintf(live->digest, sizeof live->digest, "%s", join->digest);
	snprintf(live->user, sizeof live->user, "%s", join->user);
	struct bd_pipeline_options options = {
		.dataset_take = join->dataset_take,
		.identities_take = join->identities_take,
		.spec = *join->spec,
		.memory_quota_bytes = join->quota_memory_bytes ? join->quota_memory_bytes - used : 0,
		.notify = on_notify,
		.context = live,
	};
	int result = bd_pipeline_create(table->engine, &options, &live->pipeline, error);
	if (result < 0) {
		uv_close((uv_handle_t *)&live->wake, on_live_closed);
		return result;
	}
	add_live(table, live);
	*ret_live = live;
	return 0;
}

/* ---- members ---- */

static void add_member(struct bd_live *live, struct bd_member *member)
{
	struct bd_member **link = &live->members;
	while (*link)
		link = &(*link)->next;
	*link = member;
	member->next = NULL;
	member->live = live;
	live->member_count++;
}

static void remove_member(struct bd_member *member)
{
	struct bd_live *live = member->live;
	struct bd_member **link;
	for (link = &live->members; *link != member; link = &(*link)->next)
		assert(*link);
	*link = member->next;
	member->live = NULL;
	live->member_count--;
}

static void keep_files(struct bd_member *member, const struct bd_join *join)
{
	member->dataset = join->dataset_take;
	member->identities = join->identities_take;
}

static void discard_files(struct bd_member *member)
{
	bd_dataset_destroy(member->dataset);
	free(member->identities);
	member->dataset = NULL;
	member->identities = NULL;
}

void bd_member_leave(struct bd_member *member)
{
	struct bd_live *live = member->live;
	if (member->state == BD_MEMBER_ATTACHED)
		live->attached_count--;
	bd_consumer_detach(member->consumer);
	discard_files(member);
	remove_member(member);
	free(member);
	if (!live->members && !live->held)
		remove_live(live);
}

static void on_slow_timer(uv_timer_t *timer);

static void watch_for_slow(struct bd_stream_table *table)
{
	if (table->slow_timer_runs)
		return;
	table->slow_timer_runs = true;
	uv_timer_start(&table->slow_timer, on_slow_timer, SLOW_PERIOD_MS, SLOW_PERIOD_MS);
}

int bd_stream_table_join(struct bd_stream_table *table, const struct bd_join *join, struct bd_member **ret_member,
                         struct bd_error *error)
{
	struct bd_member *member = calloc(1, sizeof *member);
	if (!member) {
		discard(join);
		return bd_error_set(error, -ENOMEM, "no memory for a consumer");
	}
	struct bd_live *live = NULL;
	int result = bd_stream_spec_check(join->spec, error);
	if (result == 0 && *join->spec->share_group)
		live = find_group(table, join->uid, join->spec->share_group);
	if (result == 0 && live)
		result = check_same(live, join, error);
	if (result < 0)
		discard(join);
	else if (live)
		keep_files(member, join);
	else
		result = create_live(table, join, &live, error);
	if (result < 0) {
		free(member);
		return result;
	}
	member->resume = join->resume;
	member->start = (struct bd_order_position){ join->spec->start_epoch, join->spec->start_batch };
	member->wake_fd = join->wake_fd;
	member->events = join->events;
	member->context = join->context;
	add_member(live, member);
	if (live->spec.share_timeout_ns)
		watch_for_slow(table);
	uv_async_send(&live->wake);
	*ret_member = member;
	return 0;
}

/* ---- a stream's pipeline has news ---- */

static void tell_failure(struct bd_live *live)
{
	for (struct bd_member *member = live->members, *next; member; member = next) {
		next = member->next;
		if (member->told_failure)
			continue;
		member->told_failure = true;
		member->events->failed(member->context, &live->error);
	}
}

static void fail_live(struct bd_live *live, const struct bd_error *error)
{
	if (live->state == BD_LIVE_FAILED)
		return;
	live->state = BD_LIVE_FAILED;
	live->closed = true;
	live->error = *error;
	live->table->failed++;
}

static void tell_progress(struct bd_live *live)
{
	uint64_t now = bd_now_ns(), done, total;
	if (live->progress_told_ns && now - live->progress_told_ns < PROGRESS_PERIOD_NS)
		return;
	live->progress_told_ns = now;
	bd_pipeline_progress(live->pipeline, &done, &total);
	for (struct bd_member *member = live->members, *next; member; member = next) {
		next = member->next;
		member->events->indexing(member->context, done, total);
	}
}

static void move_to(struct bd_member *member, struct bd_live *live)
{
	remove_member(member);
	add_member(live, member);
	uv_async_send(&live->wake);
}

/* The group has gone past where this member must go on (or, with keep_group, past its end): it gets another stream. */
static int move_to_new_stream(struct bd_member *member, bool keep_group, struct bd_error *error)
{
	struct bd_live *group = member->live;
	struct bd_live *live = keep_group ? find_group(group->table, group->uid, group->spec.share_group) : NULL;
	if (live) { /* another member was here before */
		move_to(member, live);
		return 0;
	}
	struct bd_stream_spec spec = group->spec;
	if (!keep_group)
		spec.share_group[0] = 0;
	spec.start_epoch = member->start.epoch;
	spec.start_batch = member->start.batch;
	struct bd_join join = {
		.dataset_name = group->dataset,
		.digest = group->digest,
		.user = group->user,
		.uid = group->uid,
		.dataset_take = member->dataset,
		.identities_take = member->identities,
		.spec = &spec,
		.quota_memory_bytes = group->quota_memory_bytes,
	};
	member->dataset = NULL;
	member->identities = NULL;
	int result = create_live(group->table, &join, &live, error);
	if (result < 0)
		return result;
	move_to(member, live);
	return 0;
}

static void attach(struct bd_member *member)
{
	struct bd_live *live = member->live;
	struct bd_consumer_files files;
	struct bd_order_position position;
	struct bd_error error;
	bool own_start = member->resume || live->state != BD_LIVE_RUNNING;
	int result = bd_pipeline_attach(live->pipeline, member->wake_fd, own_start ? &member->start : NULL, &member->consumer,
	                                &files, &position, &error);
	if (result == -ESTALE && member->dataset) {
		result = move_to_new_stream(member, false, &error);
		if (result == 0)
			return;
	} else if (result == -ENODATA && !own_start && member->dataset) {
		live->closed = true;
		result = move_to_new_stream(member, true, &error);
		if (result == 0)
			return;
	}
	if (result < 0) {
		member->told_failure = true;
		member->events->failed(member->context, &error);
		return;
	}
	discard_files(member);
	member->state = BD_MEMBER_ATTACHED;
	live->attached_count++;
	member->events->opened(member->context, &files, &position);
}

static void attach_all(struct bd_live *live)
{
	for (struct bd_member *member = live->members, *next; member; member = next) {
		next = member->next;
		if (member->state == BD_MEMBER_JOINING && !member->told_failure)
			attach(member);
	}
}

static void start_if_complete(struct bd_live *live)
{
	uint32_t wanted = *live->spec.share_group && live->spec.share_start ? live->spec.share_start : 1;
	if (live->state != BD_LIVE_WAITING || live->attached_count < wanted)
		return;
	live->state = BD_LIVE_RUNNING;
	bd_pipeline_start(live->pipeline);
}

/* Streams that were indexed side by side may have been promised the same memory. */
static bool is_over_quota(const struct bd_live *live, struct bd_error *error)
{
	if (!live->quota_memory_bytes || memory_of(live->table, live->uid) <= live->quota_memory_bytes)
		return false;
	bd_error_set(error, -EDQUOT,
	             "the streams of user %s would use more memory than 'quota: memory' allows; close one, or ask for fewer slots",
	             live->user);
	return true;
}

/* While a stream is held, the leaving of its last member does not free it: handlers may make members leave. */
static void hold(struct bd_live *live)
{
	live->held++;
}

static void let_go(struct bd_live *live)
{
	if (--live->held == 0 && !live->members)
		remove_live(live);
}

static void look(uv_async_t *wake)
{
	struct bd_live *live = wake->data;
	struct bd_error error;
	hold(live);
	enum bd_pipeline_state state = bd_pipeline_state(live->pipeline, &error);
	if (state == BD_PIPELINE_READY && live->state == BD_LIVE_INDEXING) {
		live->state = BD_LIVE_WAITING;
		if (is_over_quota(live, &error))
			fail_live(live, &error);
	}
	if (state == BD_PIPELINE_FAILED)
		fail_live(live, &error);
	if (live->state == BD_LIVE_FAILED) {
		tell_failure(live);
	} else if (live->state == BD_LIVE_INDEXING) {
		tell_progress(live);
	} else {
		attach_all(live);
		start_if_complete(live);
	}
	let_go(live);
}

/* ---- slow members ---- */

static bool detach_if_slow(struct bd_member *member)
{
	struct bd_live *live = member->live;
	uint64_t stalled_ns;
	if (member->state != BD_MEMBER_ATTACHED || live->attached_count < 2 ||
	    !bd_consumer_is_slow(member->consumer, &stalled_ns) || stalled_ns < live->spec.share_timeout_ns)
		return false;
	struct bd_order_position next;
	bd_consumer_detach_slow(member->consumer, &next);
	member->state = BD_MEMBER_DETACHED;
	live->attached_count--;
	live->table->detached++;
	member->events->detached(member->context, &next);
	return true;
}

static void on_slow_timer(uv_timer_t *timer)
{
	struct bd_stream_table *table = timer->data;
	bool needed = false;
	for (struct bd_live *live = table->streams, *next; live; live = next) {
		next = live->next;
		if (!live->spec.share_timeout_ns)
			continue;
		needed = true;
		hold(live);
		for (struct bd_member *member = live->members; member; member = member->next)
			if (detach_if_slow(member))
				break; /* one at a time: without it the others may be in time; the handler may have removed members */
		next = live->next;
		let_go(live);
	}
	if (!needed) {
		table->slow_timer_runs = false;
		uv_timer_stop(timer);
	}
}
