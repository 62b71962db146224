/*
 * wire.h - packets on the control socket: a fixed header, one protobuf message, an exact number of descriptors.
 *
 * Who may send what in which state, with how many descriptors and bytes, stands in one table (wire.c, bd_wire_rules); proto/PROTOCOL.md
 * explains it. A packet that breaks a rule costs its sender the session: the functions here return -EPROTO and the
 * caller closes. Descriptors of a refused packet are closed here.
 *
 * Threads: no state. Two threads may send on one socket (the loop and the ring's doorbells): packets are atomic.
 */
#ifndef BD_STREAM_WIRE_H
#define BD_STREAM_WIRE_H

#include <batchd/error.h>

#include <protobuf-c/protobuf-c.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/control.pb-c.h"

#define BD_WIRE_MAGIC 0x62643143u /* "C1db" */
/* Protocol versions spoken here. A daemon answers HELLO with the highest that both speak, or with ERROR -EPROTONOSUPPORT. */
#define BD_WIRE_VERSION_MIN 1u
#define BD_WIRE_VERSION_MAX 1u
/* One packet: what a SOCK_SEQPACKET socket takes with the default buffers, and what a session may make the daemon hold. */
#define BD_WIRE_MAX_BYTES 65536u
#define BD_WIRE_MAX_DESCRIPTORS 3u
/* A dataset file sent as TEXT packets: a list of 100,000 pictures with long names. */
#define BD_WIRE_MAX_TEXT_BYTES (16u << 20)
/* What SCHEMA packets may add up to, checked by the client. */
#define BD_WIRE_MAX_ARRAYS 1024u
#define BD_WIRE_MAX_CLASSES (1u << 20)
#define BD_WIRE_MAX_NOTES 32u
/* What one TEXT, METRICS or SCHEMA packet carries of a longer list: far enough below BD_WIRE_MAX_BYTES for every tag and length. */
#define BD_WIRE_PAGE_BYTES 49152u

struct bd_wire_header {
	uint32_t magic;
	uint16_t version; /* of this header's format: 1 */
	uint16_t type; /* Batchd__Type */
	uint32_t length; /* of the message behind it; exactly the rest of the packet */
};
_Static_assert(sizeof(struct bd_wire_header) == 12, "no padding on the wire");

enum bd_wire_side {
	BD_WIRE_CLIENT = 1,
	BD_WIRE_DAEMON = 2,
};

/* States of a session, as the daemon sees them. Values are bits for the table. */
enum bd_wire_state {
	BD_WIRE_NEW = 1, /* connected: HELLO must come */
	BD_WIRE_READY = 2, /* WELCOME sent: ask, or open a stream */
	BD_WIRE_OPENING = 4, /* OPEN received: indexing, waiting for the group */
	BD_WIRE_STREAMING = 8, /* OPENED sent */
	BD_WIRE_ENDED = 16, /* the stream failed or the consumer was detached: figures may still be asked for */
};

struct bd_wire_rule {
	uint16_t type; /* Batchd__Type */
	uint8_t side; /* who may send it: enum bd_wire_side, or'ed */
	uint8_t states; /* in which states of the session, or'ed */
	uint8_t descriptors; /* exactly so many */
	uint32_t maximum_bytes; /* of the message */
	const ProtobufCMessageDescriptor *message; /* NULL: header only */
	const char *name; /* "HELLO" */
};

/* NULL: no such type. */
const struct bd_wire_rule *bd_wire_rule(uint16_t type);

/* "HELLO"; "unknown" where it is none of ours. */
const char *bd_wire_type_name(uint16_t type);

struct bd_packet {
	const struct bd_wire_rule *rule;
	uint16_t type;
	const uint8_t *message; /* into the caller's buffer */
	size_t length;
	int descriptors[BD_WIRE_MAX_DESCRIPTORS]; /* owned by the caller; rule->descriptors of them */
};

/*
 * Receives one packet that `from` may send in `state` into buffer (BD_WIRE_MAX_BYTES). Descriptors come with CLOEXEC.
 * 0; -EAGAIN (non-blocking: none there; blocking sockets wait); -EINTR; -ECONNRESET: the peer is gone; -EPROTO: *error says what was wrong.
 */
BD_MUST_CHECK int bd_wire_receive(int socket, enum bd_wire_side from, enum bd_wire_state state, uint8_t buffer[BD_WIRE_MAX_BYTES],
                                  bool wait, struct bd_packet *ret_packet, struct bd_error *error);

/* The checks of bd_wire_receive on bytes in memory, for tests and fuzzing. */
BD_MUST_CHECK int bd_wire_check(const uint8_t *packet, size_t bytes, unsigned descriptors, enum bd_wire_side from,
                                enum bd_wire_state state, struct bd_packet *ret_packet, struct bd_error *error);

/*
 * The packet's message, to be freed with bd_wire_free; its type is rule->message. -EPROTO: no valid message; -ENOMEM.
 * Texts end at the first NUL; repeated fields are bounded by the packet's size.
 */
BD_MUST_CHECK int bd_wire_unpack(const struct bd_packet *packet, ProtobufCMessage **ret_message, struct bd_error *error);
void bd_wire_free(ProtobufCMessage *message);

/* Header and message into buffer, for a queue. message NULL: header only. -EMSGSIZE past the type's limit. */
BD_MUST_CHECK int bd_wire_pack(uint16_t type, const ProtobufCMessage *message, uint8_t buffer[BD_WIRE_MAX_BYTES], size_t *ret_bytes,
                               struct bd_error *error);

/* Sends a packed packet. wait false: -EAGAIN where the socket is full. -EPIPE, -ECONNRESET: the peer is gone (no SIGPIPE). */
BD_MUST_CHECK int bd_wire_send_packed(int socket, const uint8_t *packet, size_t bytes, const int *descriptors, unsigned count,
                                      bool wait, struct bd_error *error);

/* Both in one. */
BD_MUST_CHECK int bd_wire_send(int socket, uint16_t type, const ProtobufCMessage *message, const int *descriptors, unsigned count,
                               bool wait, struct bd_error *error);

/* One DOORBELL, never blocking. A full socket is as good as a rung one: its owner will wake up. Errors are seen by whoever reads the socket. */
void bd_wire_ring_doorbell(int socket);

#endif
