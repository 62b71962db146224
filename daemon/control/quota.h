/*
 * quota.h - what each user has of the daemon: connections and streams.
 *
 * Memory is not counted here: it is the sum of what the user's pipelines report at the moment of a question.
 * Threads: the loop.
 */
#ifndef BD_CONTROL_QUOTA_H
#define BD_CONTROL_QUOTA_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <batchd/error.h>

struct bd_quota_user {
	uid_t uid;
	uint32_t sessions, streams;
};

struct bd_quota {
	struct bd_quota_user *users;
	size_t user_count;
};

void bd_quota_finish(struct bd_quota *quota);

/* Count one more; -EDQUOT, with a text that names the limit and the way out, where the user has `limit` already (0 = no limit); -ENOMEM. */
BD_MUST_CHECK int bd_quota_add_session(struct bd_quota *quota, uid_t uid, uint32_t limit, struct bd_error *error);
BD_MUST_CHECK int bd_quota_add_stream(struct bd_quota *quota, uid_t uid, uint32_t limit, struct bd_error *error);

/* Each undoes one successful add. */
void bd_quota_remove_session(struct bd_quota *quota, uid_t uid);
void bd_quota_remove_stream(struct bd_quota *quota, uid_t uid);

#endif
