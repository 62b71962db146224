#include "daemon/control/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bd_outbox_packet {
	struct bd_outbox_packet *next;
	int descriptors[BD_WIRE_MAX_DESCRIPTORS];
	unsigned count;
	size_t length;
	uint8_t bytes[];
};

static void free_packet(struct bd_outbox_packet *packet)
{
	for (unsigned i = 0; i < packet->count; i++)
		close(packet->descriptors[i]);
	free(packet);
}

void bd_outbox_finish(struct bd_outbox *outbox)
{
	while (outbox->first) {
		struct bd_outbox_packet *packet = outbox->first;
		outbox->first = packet->next;
		free_packet(packet);
	}
	*outbox = (struct bd_outbox){ 0 };
}

bool bd_outbox_is_empty(const struct bd_outbox *outbox)
{
	return !outbox->first;
}

static int keep(struct bd_outbox *outbox, const uint8_t *bytes, size_t length, const int *descriptors, unsigned count,
                struct bd_error *error)
{
	if (length > BD_OUTBOX_MAX_BYTES - outbox->bytes)
		return bd_error_set(error, -ENOBUFS, "the peer does not read what it is sent");
	struct bd_outbox_packet *packet = malloc(sizeof *packet + length);
	if (!packet)
		return bd_error_set(error, -ENOMEM, "no memory for a packet");
	packet->next = NULL;
	packet->length = length;
	memcpy(packet->bytes, bytes, length);
	for (packet->count = 0; packet->count < count; packet->count++) {
		int copy = fcntl(descriptors[packet->count], F_DUPFD_CLOEXEC, 0);
		if (copy < 0) {
			int code = -errno;
			free_packet(packet);
			return bd_error_set(error, code, "cannot keep a descriptor for the peer: %s", strerror(-code));
		}
		packet->descriptors[packet->count] = copy;
	}
	*(outbox->first ? outbox->last : &outbox->first) = packet;
	outbox->last = &packet->next;
	outbox->bytes += length;
	return 0;
}

int bd_outbox_send(struct bd_outbox *outbox, int socket, uint16_t type, const ProtobufCMessage *message, const int *descriptors,
                   unsigned count, struct bd_error *error)
{
	uint8_t bytes[BD_WIRE_MAX_BYTES];
	size_t length;
	int result = bd_wire_pack(type, message, bytes, &length, error);
	if (result < 0)
		return result;
	if (bd_outbox_is_empty(outbox)) {
		result = bd_wire_send_packed(socket, bytes, length, descriptors, count, false, error);
		if (result != -EAGAIN)
			return result;
	}
	return keep(outbox, bytes, length, descriptors, count, error);
}

int bd_outbox_flush(struct bd_outbox *outbox, int socket, struct bd_error *error)
{
	while (outbox->first) {
		struct bd_outbox_packet *packet = outbox->first;
		int result = bd_wire_send_packed(socket, packet->bytes, packet->length, packet->descriptors, packet->count, false,
		                                 error);
		if (result < 0)
			return result == -EAGAIN ? 0 : result;
		outbox->first = packet->next;
		outbox->bytes -= packet->length;
		free_packet(packet);
	}
	return 0;
}
