/*
 * messages.h - between the structs of batchd/client.h and the messages of control.proto.
 *
 * Both directions stand side by side here, so that a new option is added in one place. Filled messages borrow their texts from
 * the struct; parsed structs own nothing of the message unless it says so.
 * Threads: no state.
 */
#ifndef BD_STREAM_MESSAGES_H
#define BD_STREAM_MESSAGES_H

#include <batchd/client.h>

#include "common/stream/wire.h"

/* Without its start, which is a Position of its own. */
void bd_spec_to_message(const struct bd_stream_spec *spec, Batchd__StreamSpec *ret_message);

/* -EINVAL: a number that is no such word, a group name that is too long. Does not replace bd_stream_spec_check. */
BD_MUST_CHECK int bd_spec_from_message(const Batchd__StreamSpec *message, struct bd_stream_spec *ret_spec, struct bd_error *error);

/*
 * Sends a schema as SCHEMA packets, through `send` so that a daemon can queue them. 0, what `send` returned, -EMSGSIZE: one text that fits no
 * packet, -ENOMEM.
 */
BD_MUST_CHECK int bd_schema_to_messages(const struct bd_schema *schema,
                                        int (*send)(void *context, const Batchd__Schema *message, struct bd_error *error),
                                        void *context, struct bd_error *error);

/* A schema that owns its texts, grown from SCHEMA packets. Zero-initialise; finish in every case. */
struct bd_owned_schema {
	struct bd_schema schema;
	struct bd_array_schema *arrays;
	char **classes, **notes;
};
/* -EPROTO: a dtype, rank or count out of bounds; -ENOMEM. */
BD_MUST_CHECK int bd_owned_schema_add(struct bd_owned_schema *owned, const Batchd__Schema *message, struct bd_error *error);
void bd_owned_schema_finish(struct bd_owned_schema *owned);

/* spec: out of info->spec. */
void bd_stream_info_from_message(const Batchd__StreamInfo *message, struct bd_stream_info *ret_info);
void bd_dataset_info_from_message(const Batchd__Dataset *message, struct bd_dataset_info *ret_info);
void bd_status_from_message(const Batchd__Status *message, struct bd_daemon_status *ret_status);

#endif
