/*
 * outbox.h - packets for one peer, kept while its socket is full.
 *
 * Bounded by how it is used: a session reads no further request while its outbox holds something, so that it never
 * holds more than one answer (a schema at most) and the few packets that come unasked; BD_OUTBOX_MAX_BYTES is the fence
 * behind that. Descriptors are duplicated, so that the sender may close its own.
 * Threads: the loop.
 */
#ifndef BD_CONTROL_OUTBOX_H
#define BD_CONTROL_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>

#include <batchd/error.h>

#include "common/stream/wire.h"

/* A schema with a million class names of everyday length. */
#define BD_OUTBOX_MAX_BYTES (64u << 20)

struct bd_outbox_packet;

/* Zeroed is empty. */
struct bd_outbox {
	struct bd_outbox_packet *first, **last;
	size_t bytes;
};

void bd_outbox_finish(struct bd_outbox *outbox);

bool bd_outbox_is_empty(const struct bd_outbox *outbox);

/*
 * Sends the packet now, or keeps it behind those that wait. 0; -EPIPE or -ECONNRESET: the peer is gone; -ENOBUFS: the fence; -EMSGSIZE;
 * -EMFILE, -ENOMEM.
 */
BD_MUST_CHECK int bd_outbox_send(struct bd_outbox *outbox, int socket, uint16_t type, const ProtobufCMessage *message,
                                 const int *descriptors, unsigned count, struct bd_error *error);

/* Sends what waits until the socket is full again. 0 also then; bd_outbox_is_empty tells. */
BD_MUST_CHECK int bd_outbox_flush(struct bd_outbox *outbox, int socket, struct bd_error *error);

#endif
