#include "daemon/control/quota.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

void bd_quota_finish(struct bd_quota *quota)
{
	free(quota->users);
	*quota = (struct bd_quota){ 0 };
}

static struct bd_quota_user *find(struct bd_quota *quota, uid_t uid)
{
	for (size_t i = 0; i < quota->user_count; i++)
		if (quota->users[i].uid == uid)
			return &quota->users[i];
	return NULL;
}

/* A user without anything is forgotten, so that the table is as long as there are users connected. */
static struct bd_quota_user *find_or_add(struct bd_quota *quota, uid_t uid)
{
	struct bd_quota_user *user = find(quota, uid);
	if (user)
		return user;
	struct bd_quota_user *users = reallocarray(quota->users, quota->user_count + 1, sizeof *users);
	if (!users)
		return NULL;
	quota->users = users;
	users[quota->user_count] = (struct bd_quota_user){ .uid = uid };
	return &users[quota->user_count++];
}

static void forget_if_idle(struct bd_quota *quota, struct bd_quota_user *user)
{
	if (!user->sessions && !user->streams)
		*user = quota->users[--quota->user_count];
}

int bd_quota_add_session(struct bd_quota *quota, uid_t uid, uint32_t limit, struct bd_error *error)
{
	struct bd_quota_user *user = find_or_add(quota, uid);
	if (!user)
		return bd_error_set(error, -ENOMEM, "no memory for a connection");
	if (limit && user->sessions >= limit)
		return bd_error_set(error, -EDQUOT, "user %u has %u connections already, as many as one user may have; close some",
		                    (unsigned)uid, user->sessions);
	user->sessions++;
	return 0;
}

int bd_quota_add_stream(struct bd_quota *quota, uid_t uid, uint32_t limit, struct bd_error *error)
{
	struct bd_quota_user *user = find_or_add(quota, uid);
	if (!user)
		return bd_error_set(error, -ENOMEM, "no memory for a stream");
	if (limit && user->streams >= limit)
		return bd_error_set(error, -EDQUOT,
		                    "user %u has %u streams open already, as many as 'quota: streams' allows; close one or have "
		                    "the quota raised",
		                    (unsigned)uid, user->streams);
	user->streams++;
	return 0;
}

void bd_quota_remove_session(struct bd_quota *quota, uid_t uid)
{
	struct bd_quota_user *user = find(quota, uid);
	assert(user && user->sessions);
	user->sessions--;
	forget_if_idle(quota, user);
}

void bd_quota_remove_stream(struct bd_quota *quota, uid_t uid)
{
	struct bd_quota_user *user = find(quota, uid);
	assert(user && user->streams);
	user->streams--;
	forget_if_idle(quota, user);
}
