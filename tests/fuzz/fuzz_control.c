/*
 * fuzz_control - packets from a hostile client or daemon: the header's checks, the parser, and what is made of the messages.
 *
 * The first byte chooses side and state, the rest is the packet.
 */
#include <stdlib.h>

#include "common/stream/messages.h"
#include "common/stream/order.h"
#include "common/stream/spec.h"
#include "common/stream/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_open(const Batchd__Open *open)
{
	struct bd_stream_spec spec;
	struct bd_order order;
	struct bd_order_batch batch;
	if (!open->spec || bd_spec_from_message(open->spec, &spec, NULL) < 0 || bd_stream_spec_check(&spec, NULL) < 0)
		return;
	struct bd_order_position position = { open->start ? open->start->epoch : 0, open->start ? open->start->batch : 0 };
	if (bd_order_init(&order, 12345, &spec, NULL) < 0 || bd_order_batch_at(&order, position, &batch, &position) < 0)
		return;
	for (uint32_t row = 0; row < batch.rows && row < 8; row++) {
		uint64_t epoch, record;
		bd_order_row(&order, &batch, row, &epoch, &record);
		if (record >= 12345)
			abort();
	}
}

static void use_schema(const Batchd__Schema *message)
{
	struct bd_owned_schema schema = { .arrays = NULL };
	if (bd_owned_schema_add(&schema, message, NULL) == 0)
		(void)!bd_owned_schema_add(&schema, message, NULL);
	bd_owned_schema_finish(&schema);
}

static void use(const struct bd_packet *packet, const ProtobufCMessage *message)
{
	struct bd_stream_info info;
	struct bd_daemon_status status;
	if (packet->type == BATCHD__TYPE__TYPE_OPEN)
		use_open((const Batchd__Open *)message);
	else if (packet->type == BATCHD__TYPE__TYPE_SCHEMA)
		use_schema((const Batchd__Schema *)message);
	else if (packet->type == BATCHD__TYPE__TYPE_STATISTICS)
		bd_stream_info_from_message((const Batchd__StreamInfo *)message, &info);
	else if (packet->type == BATCHD__TYPE__TYPE_STATUS)
		bd_status_from_message((const Batchd__Status *)message, &status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	enum bd_wire_side from = data[0] & 1 ? BD_WIRE_CLIENT : BD_WIRE_DAEMON;
	enum bd_wire_state state = (enum bd_wire_state)(1u << (data[0] >> 1) % 5);
	struct bd_packet packet;
	ProtobufCMessage *message;
	if (bd_wire_check(data + 1, size - 1, (data[0] >> 5) & 3, from, state, &packet, NULL) < 0 || !packet.rule->message ||
	    bd_wire_unpack(&packet, &message, NULL) < 0)
		return 0;
	use(&packet, message);
	bd_wire_free(message);
	return 0;
}
