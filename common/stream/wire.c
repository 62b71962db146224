#include "common/stream/wire.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/descriptor.h"

#define C BD_WIRE_CLIENT
#define D BD_WIRE_DAEMON
#define ALL_BUT_NEW (BD_WIRE_READY | BD_WIRE_OPENING | BD_WIRE_STREAMING | BD_WIRE_ENDED)
#define WITH_STREAM (BD_WIRE_STREAMING | BD_WIRE_ENDED)
#define WHOLE (BD_WIRE_MAX_BYTES - sizeof(struct bd_wire_header))
#define SMALL 4096

#define RULE(name, side, states, descriptors, bytes, message)                                                                      \
	{                                                                                                                          \
		BATCHD__TYPE__TYPE_##name, side, states, descriptors, bytes, message, #name                                        \
	}

/*
 * Who, when, how many descriptors, how large. OPENING is left by the daemon's own OPENED, which the client therefore receives in that state;
 * a DOORBELL may cross a change of state, so it is never an error once a stream was asked for.
 */
static const struct bd_wire_rule rules[] = {
	RULE(HELLO, C, BD_WIRE_NEW, 0, SMALL, &batchd__hello__descriptor),
	RULE(WELCOME, D, BD_WIRE_NEW, 0, SMALL, &batchd__welcome__descriptor),
	RULE(TEXT, C, BD_WIRE_READY, 0, WHOLE, &batchd__text__descriptor),
	RULE(OPEN, C, BD_WIRE_READY, 0, 2 * SMALL + SMALL, &batchd__open__descriptor),
	RULE(INDEXING, D, BD_WIRE_OPENING, 0, SMALL, &batchd__indexing__descriptor),
	RULE(SCHEMA, D, BD_WIRE_OPENING, 0, WHOLE, &batchd__schema__descriptor),
	RULE(OPENED, D, BD_WIRE_OPENING, 3, SMALL, &batchd__opened__descriptor),
	RULE(ERROR, D, BD_WIRE_NEW | ALL_BUT_NEW, 0, SMALL, &batchd__error__descriptor),
	RULE(DOORBELL, C | D, BD_WIRE_OPENING | WITH_STREAM, 0, 0, NULL),
	RULE(DETACHED, D, WITH_STREAM, 0, SMALL, &batchd__detached__descriptor),
	RULE(ASK_STATUS, C, ALL_BUT_NEW, 0, 0, NULL),
	RULE(STATUS, D, ALL_BUT_NEW, 0, SMALL, &batchd__status__descriptor),
	RULE(ASK_STREAMS, C, ALL_BUT_NEW, 0, SMALL, &batchd__ask__descriptor),
	RULE(STREAMS, D, ALL_BUT_NEW, 0, WHOLE, &batchd__streams__descriptor),
	RULE(ASK_METRICS, C, ALL_BUT_NEW, 0, SMALL, &batchd__ask__descriptor),
	RULE(METRICS, D, ALL_BUT_NEW, 0, WHOLE, &batchd__metrics__descriptor),
	RULE(ASK_STATISTICS, C, WITH_STREAM, 0, 0, NULL),
	RULE(STATISTICS, D, WITH_STREAM, 0, 4 * SMALL, &batchd__stream_info__descriptor),
	RULE(ASK_QUARANTINE, C, WITH_STREAM, 0, SMALL, &batchd__ask__descriptor),
	RULE(QUARANTINE, D, WITH_STREAM, 0, WHOLE, &batchd__quarantine__descriptor),
	RULE(DRAIN, C, BD_WIRE_READY, 0, 0, NULL),
	RULE(DRAINING, D, BD_WIRE_READY, 0, SMALL, &batchd__status__descriptor),
	RULE(ADOPT, C, BD_WIRE_READY, 1, 0, NULL),
	RULE(ASK_DATASETS, C, ALL_BUT_NEW, 0, SMALL, &batchd__ask__descriptor),
	RULE(DATASETS, D, ALL_BUT_NEW, 0, WHOLE, &batchd__datasets__descriptor),
	RULE(DRAIN_WAIT, C, BD_WIRE_READY, 0, 0, NULL),
};

const struct bd_wire_rule *bd_wire_rule(uint16_t type)
{
	for (size_t i = 0; i < BD_COUNT_OF(rules); i++)
		if (rules[i].type == type)
			return &rules[i];
	return NULL;
}

const char *bd_wire_type_name(uint16_t type)
{
	const struct bd_wire_rule *rule = bd_wire_rule(type);
	return rule ? rule->name : "unknown";
}

static const char *state_name(enum bd_wire_state state)
{
	switch (state) {
	case BD_WIRE_NEW:
		return "before WELCOME";
	case BD_WIRE_READY:
		return "before OPEN";
	case BD_WIRE_OPENING:
		return "while a stream is opened";
	case BD_WIRE_STREAMING:
		return "while a stream runs";
	case BD_WIRE_ENDED:
		return "after the stream's end";
	}
	return "in no state";
}

int bd_wire_check(const uint8_t *packet, size_t bytes, unsigned descriptors, enum bd_wire_side from, enum bd_wire_state state,
                  struct bd_packet *ret_packet, struct bd_error *error)
{
	struct bd_wire_header header;
	if (bytes < sizeof header)
		return bd_error_set(error, -EPROTO, "a packet of %zu bytes, shorter than its header", bytes);
	memcpy(&header, packet, sizeof header);
	if (header.magic != BD_WIRE_MAGIC)
		return bd_error_set(error, -EPROTO, "a packet with magic 0x%08" PRIx32 ", not batchd's", header.magic);
	if (header.version != 1)
		return bd_error_set(error, -EPROTONOSUPPORT, "a packet of header version %u, this side speaks 1", header.version);
	if (header.length != bytes - sizeof header)
		return bd_error_set(error, -EPROTO, "a packet whose header says %" PRIu32 " bytes and that has %zu", header.length,
		                    bytes - sizeof header);
	const struct bd_wire_rule *rule = bd_wire_rule(header.type);
	if (!rule)
		return bd_error_set(error, -EPROTO, "a packet of unknown type %u", header.type);
	if (!(rule->side & from) || !(rule->states & state))
		return bd_error_set(error, -EPROTO, "%s from the %s %s", rule->name, from == BD_WIRE_CLIENT ? "client" : "daemon",
		                    state_name(state));
	if (header.length > rule->maximum_bytes)
		return bd_error_set(error, -EPROTO, "%s of %" PRIu32 " bytes, more than %" PRIu32, rule->name, header.length,
		                    rule->maximum_bytes);
	if (descriptors != rule->descriptors)
		return bd_error_set(error, -EPROTO, "%s with %u descriptors in place of %u", rule->name, descriptors,
		                    rule->descriptors);
	*ret_packet = (struct bd_packet){
		.rule = rule, .type = rule->type, .message = packet + sizeof header, .length = header.length
	};
	return 0;
}

/* ---- receiving ---- */

/* Room for more descriptors than any packet has, so that too many are seen, counted and closed, not cut off by the kernel. */
#define ROOM_FOR_DESCRIPTORS 16

struct received {
	int descriptors[ROOM_FOR_DESCRIPTORS];
	unsigned count;
	bool no_descriptor_left; /* for one that had to move above the standard streams */
};

static void close_received(struct received *received)
{
	for (unsigned i = 0; i < received->count; i++)
		close(received->descriptors[i]);
	received->count = 0;
}

static void take_descriptors(struct msghdr *message, struct received *ret_received)
{
	for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
		if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(control) + i * sizeof fd, sizeof fd);
			if (ret_received->count == ROOM_FOR_DESCRIPTORS)
				close(fd);
			else if ((fd = bd_descriptor_take(fd)) >= 0)
				ret_received->descriptors[ret_received->count++] = fd;
			else
				ret_received->no_descriptor_left = true;
		}
	}
}

/*
 * A side that goes while something it was sent lies unread resets the connection (unix(7)), and the reset is reported once and
 * before the packets that it sent itself, the last of which says why it went: they are still there to be received.
 */
static ssize_t receive(int socket, struct msghdr *message, bool wait)
{
	int flags = MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT);
	size_t control_bytes = message->msg_controllen;
	ssize_t bytes = recvmsg(socket, message, flags);
	if (bytes >= 0 || errno != ECONNRESET)
		return bytes;
	message->msg_controllen = control_bytes;
	return recvmsg(socket, message, flags);
}

int bd_wire_receive(int socket, enum bd_wire_side from, enum bd_wire_state state, uint8_t buffer[BD_WIRE_MAX_BYTES], bool wait,
                    struct bd_packet *ret_packet, struct bd_error *error)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(ROOM_FOR_DESCRIPTORS * sizeof(int))];
	} control;
	struct iovec vector = { .iov_base = buffer, .iov_len = BD_WIRE_MAX_BYTES };
	struct msghdr message = {
		.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes
	};
	ssize_t bytes = receive(socket, &message, wait);
	if (bytes < 0)
		return bd_error_set(error, errno == EWOULDBLOCK ? -EAGAIN : -errno, "receiving: %s", strerror(errno));
	if (bytes == 0)
		return bd_error_set(error, -ECONNRESET, "the other side has gone");
	struct received received = { .count = 0 };
	take_descriptors(&message, &received);
	int result;
	/* The kernel also cuts the descriptors off where this process may open no more (unix(7)). */
	if (received.no_descriptor_left || ((message.msg_flags & MSG_CTRUNC) && received.count < ROOM_FOR_DESCRIPTORS))
		result = bd_error_set(error, -EMFILE, "receiving: this process may open no more files (ulimit -n)");
	else if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		result = bd_error_set(error, -EPROTO, "a packet that is too large");
	else
		result = bd_wire_check(buffer, (size_t)bytes, received.count, from, state, ret_packet, error);
	if (result < 0) {
		close_received(&received);
		return result;
	}
	for (unsigned i = 0; i < received.count; i++)
		ret_packet->descriptors[i] = received.descriptors[i];
	return 0;
}

static void *watched_alloc(void *failed, size_t bytes)
{
	void *memory = malloc(bytes);
	if (!memory)
		*(bool *)failed = true;
	return memory;
}

static void release(void *failed, void *memory)
{
	(void)failed;
	free(memory);
}

int bd_wire_unpack(const struct bd_packet *packet, ProtobufCMessage **ret_message, struct bd_error *error)
{
	if (!packet->rule->message)
		return bd_error_set(error, -EPROTO, "%s carries no message", packet->rule->name);
	bool failed = false;
	ProtobufCAllocator allocator = { .alloc = watched_alloc, .free = release, .allocator_data = &failed };
	ProtobufCMessage *message = protobuf_c_message_unpack(packet->rule->message, &allocator, packet->length, packet->message);
	if (!message && failed)
		return bd_error_set(error, -ENOMEM, "%s: no memory for its message", packet->rule->name);
	if (!message)
		return bd_error_set(error, -EPROTO, "%s: its message cannot be parsed", packet->rule->name);
	*ret_message = message;
	return 0;
}

void bd_wire_free(ProtobufCMessage *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
}

/* ---- sending ---- */

int bd_wire_pack(uint16_t type, const ProtobufCMessage *message, uint8_t buffer[BD_WIRE_MAX_BYTES], size_t *ret_bytes,
                 struct bd_error *error)
{
	const struct bd_wire_rule *rule = bd_wire_rule(type);
	size_t length = message ? protobuf_c_message_get_packed_size(message) : 0;
	if (!rule || length > rule->maximum_bytes)
		return bd_error_set(error, -EMSGSIZE, "%s of %zu bytes does not fit a packet", bd_wire_type_name(type), length);
	struct bd_wire_header header = { .magic = BD_WIRE_MAGIC, .version = 1, .type = type, .length = (uint32_t)length };
	memcpy(buffer, &header, sizeof header);
	if (message)
		protobuf_c_message_pack(message, buffer + sizeof header);
	*ret_bytes = sizeof header + length;
	return 0;
}

int bd_wire_send_packed(int socket, const uint8_t *packet, size_t bytes, const int *descriptors, unsigned count, bool wait,
                        struct bd_error *error)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(BD_WIRE_MAX_DESCRIPTORS * sizeof(int))];
	} control;
	struct iovec vector = { .iov_base = (void *)packet, .iov_len = bytes };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
	if (count > BD_WIRE_MAX_DESCRIPTORS)
		return bd_error_set(error, -EINVAL, "%u descriptors are more than a packet carries", count);
	if (count > 0) {
		memset(&control, 0, sizeof control);
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(rights), descriptors, count * sizeof(int));
	}
	ssize_t sent;
	do
		sent = sendmsg(socket, &message, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return bd_error_set(error, errno == EWOULDBLOCK ? -EAGAIN : -errno, "sending: %s", strerror(errno));
	return 0;
}

int bd_wire_send(int socket, uint16_t type, const ProtobufCMessage *message, const int *descriptors, unsigned count, bool wait,
                 struct bd_error *error)
{
	uint8_t buffer[BD_WIRE_MAX_BYTES];
	size_t bytes;
	int result = bd_wire_pack(type, message, buffer, &bytes, error);
	return result < 0 ? result : bd_wire_send_packed(socket, buffer, bytes, descriptors, count, wait, error);
}

void bd_wire_ring_doorbell(int socket)
{
	struct bd_wire_header header = { .magic = BD_WIRE_MAGIC, .version = 1, .type = BATCHD__TYPE__TYPE_DOORBELL, .length = 0 };
	(void)send(socket, &header, sizeof header, MSG_DONTWAIT | MSG_NOSIGNAL);
}
