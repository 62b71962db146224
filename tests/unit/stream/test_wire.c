#include "common/stream/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/stream/messages.h"
#include "common/stream/spec.h"
#include "tests/support/failing_malloc.h"
#include "tests/unit/test.h"

static int sockets[2];

static int open_sockets(void **state)
{
	(void)state;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets);
}

static int close_sockets(void **state)
{
	(void)state;
	if (sockets[0] >= 0)
		close(sockets[0]);
	close(sockets[1]);
	return 0;
}

static uint8_t buffer[BD_WIRE_MAX_BYTES];

static int receive(enum bd_wire_side from, enum bd_wire_state state, struct bd_packet *ret_packet)
{
	return bd_wire_receive(sockets[1], from, state, buffer, false, ret_packet, NULL);
}

static size_t open_descriptors(void)
{
	size_t count = 0;
	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void send_hello(const int *descriptors, unsigned count)
{
	Batchd__Hello hello = BATCHD__HELLO__INIT;
	hello.version_min = 1;
	hello.version_max = 9;
	hello.program = (char *)"test";
	assert_int_equal(bd_wire_send(sockets[0], BATCHD__TYPE__TYPE_HELLO, &hello.base, descriptors, count, true, NULL), 0);
}

static void a_packet_arrives_as_it_was_sent(void **state)
{
	(void)state;
	struct bd_packet packet;
	ProtobufCMessage *message;
	assert_int_equal(receive(BD_WIRE_CLIENT, BD_WIRE_NEW, &packet), -EAGAIN);
	send_hello(NULL, 0);
	assert_int_equal(receive(BD_WIRE_CLIENT, BD_WIRE_NEW, &packet), 0);
	assert_int_equal(packet.type, BATCHD__TYPE__TYPE_HELLO);
	assert_int_equal(bd_wire_unpack(&packet, &message, NULL), 0);
	assert_int_equal(((const Batchd__Hello *)message)->version_max, 9);
	assert_string_equal(((const Batchd__Hello *)message)->program, "test");
	bd_wire_free(message);
	close(sockets[0]);
	assert_int_equal(receive(BD_WIRE_CLIENT, BD_WIRE_NEW, &packet), -ECONNRESET);
	sockets[0] = dup(0);
}

static void message_without_memory_is_no_broken_message(void **state)
{
	(void)state;
	struct bd_packet packet;
	struct bd_error error = { 0 };
	int result = -ENOMEM;
	if (!BD_MALLOC_FAILS)
		skip();
	send_hello(NULL, 0);
	assert_int_equal(receive(BD_WIRE_CLIENT, BD_WIRE_NEW, &packet), 0);
	for (int n = 0; result; n++) {
		ProtobufCMessage *message = NULL;
		allocations_left = n;
		result = bd_wire_unpack(&packet, &message, &error);
		assert_true(n > 0 || result == -ENOMEM);
		assert_int_equal(result, allocations_left >= 0 ? 0 : -ENOMEM);
		allocations_left = -1;
		bd_wire_free(message);
	}
	assert_string_equal(error.text, "HELLO: no memory for its message");
}

static void the_wrong_side_or_state_is_refused(void **state)
{
	(void)state;
	struct bd_packet packet;
	send_hello(NULL, 0);
	assert_int_equal(receive(BD_WIRE_DAEMON, BD_WIRE_NEW, &packet), -EPROTO);
	send_hello(NULL, 0);
	assert_int_equal(receive(BD_WIRE_CLIENT, BD_WIRE_READY, &packet), -EPROTO);
}

static void a_wrong_number_of_descriptors_is_refused_and_closed(void **state)
{
	(void)state;
	struct bd_packet packet;
	const int some[] = { 0, 0, 0 };
	size_t before = open_descriptors();
	for (unsigned count = 1; count <= 3; count++) {
		send_hello(some, count);
		assert_int_equal(receive(BD_WIRE_CLIENT, BD_WIRE_NEW, &packet), -EPROTO);
	}
	Batchd__Opened opened = BATCHD__OPENED__INIT;
	assert_int_equal(bd_wire_send(sockets[0], BATCHD__TYPE__TYPE_OPENED, &opened.base, some, 2, true, NULL), 0);
	assert_int_equal(receive(BD_WIRE_DAEMON, BD_WIRE_OPENING, &packet), -EPROTO);
	assert_int_equal(bd_wire_send(sockets[0], BATCHD__TYPE__TYPE_ADOPT, NULL, NULL, 0, true, NULL), 0);
	assert_int_equal(receive(BD_WIRE_CLIENT, BD_WIRE_READY, &packet), -EPROTO);
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(bd_wire_send(sockets[0], BATCHD__TYPE__TYPE_OPENED, &opened.base, some, 3, true, NULL), 0);
	assert_int_equal(receive(BD_WIRE_DAEMON, BD_WIRE_OPENING, &packet), 0);
	assert_int_equal(open_descriptors(), before + 3);
	for (int i = 0; i < 3; i++) {
		assert_true(fcntl(packet.descriptors[i], F_GETFD) & FD_CLOEXEC);
		close(packet.descriptors[i]);
	}
}

/* More than our own sender would pass: what the kernel allows. */
static void a_flood_of_descriptors_is_closed(void **state)
{
	(void)state;
	struct bd_wire_header header = { .magic = BD_WIRE_MAGIC, .version = 1, .type = BATCHD__TYPE__TYPE_HELLO };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(100 * sizeof(int))];
	} control;
	memset(&control, 0, sizeof control);
	struct iovec vector = { &header, sizeof header };
	struct msghdr message = {
		.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes
	};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
	*rights = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(100 * sizeof(int)) };
	size_t before = open_descriptors();
	struct bd_packet packet;
	assert_int_equal(sendmsg(sockets[0], &message, 0), sizeof header);
	assert_int_equal(receive(BD_WIRE_CLIENT, BD_WIRE_NEW, &packet), -EPROTO);
	assert_int_equal(open_descriptors(), before);
}

static int check(const void *bytes, size_t length)
{
	struct bd_packet packet;
	return bd_wire_check(bytes, length, 0, BD_WIRE_CLIENT, BD_WIRE_NEW, &packet, NULL);
}

static void broken_headers_are_refused(void **state)
{
	(void)state;
	struct bd_wire_header header = { .magic = BD_WIRE_MAGIC, .version = 1, .type = BATCHD__TYPE__TYPE_HELLO };
	assert_int_equal(check(&header, sizeof header), 0);
	for (size_t length = 0; length < sizeof header; length++)
		assert_int_equal(check(&header, length), -EPROTO);
	struct bd_wire_header wrong = header;
	wrong.magic++;
	assert_int_equal(check(&wrong, sizeof wrong), -EPROTO);
	wrong = header;
	wrong.version = 2;
	assert_int_equal(check(&wrong, sizeof wrong), -EPROTONOSUPPORT);
	wrong = header;
	wrong.length = 1;
	assert_int_equal(check(&wrong, sizeof wrong), -EPROTO);
	wrong.length = UINT32_MAX;
	assert_int_equal(check(&wrong, sizeof wrong), -EPROTO);
	const uint16_t types[] = { 0, 11, 77, UINT16_MAX };
	for (size_t i = 0; i < BD_COUNT_OF(types); i++) {
		wrong = header;
		wrong.type = types[i];
		assert_int_equal(check(&wrong, sizeof wrong), -EPROTO);
	}
}

static void oversize_packets_are_refused(void **state)
{
	(void)state;
	static uint8_t large[BD_WIRE_MAX_BYTES + 100];
	struct bd_packet packet;
	struct bd_wire_header header = { .magic = BD_WIRE_MAGIC, .version = 1, .type = BATCHD__TYPE__TYPE_HELLO, .length = 5000 };
	memcpy(large, &header, sizeof header);
	assert_int_equal(check(large, sizeof header + 5000), -EPROTO);
	assert_int_equal(send(sockets[0], large, sizeof large, 0), sizeof large);
	assert_int_equal(receive(BD_WIRE_CLIENT, BD_WIRE_NEW, &packet), -EPROTO);
	char text[BD_WIRE_MAX_BYTES + 1];
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = 0;
	Batchd__Text message = BATCHD__TEXT__INIT;
	message.part = text;
	assert_int_equal(bd_wire_send(sockets[0], BATCHD__TYPE__TYPE_TEXT, &message.base, NULL, 0, true, NULL), -EMSGSIZE);
}

static void a_message_that_is_none_is_refused(void **state)
{
	(void)state;
	uint8_t bytes[32] = { 0 };
	struct bd_wire_header header = { .magic = BD_WIRE_MAGIC, .version = 1, .type = BATCHD__TYPE__TYPE_HELLO, .length = 4 };
	struct bd_packet packet;
	ProtobufCMessage *message;
	memcpy(bytes, &header, sizeof header);
	memcpy(bytes + sizeof header,
	       "\x1a\x7f"
	       "ab",
	       4);
	assert_int_equal(bd_wire_check(bytes, sizeof header + 4, 0, BD_WIRE_CLIENT, BD_WIRE_NEW, &packet, NULL), 0);
	assert_int_equal(bd_wire_unpack(&packet, &message, NULL), -EPROTO);
	/* An unknown field is none of our business. */
	memcpy(bytes + sizeof header, "\x9a\x06\x01z", 4);
	assert_int_equal(bd_wire_check(bytes, sizeof header + 4, 0, BD_WIRE_CLIENT, BD_WIRE_NEW, &packet, NULL), 0);
	assert_int_equal(bd_wire_unpack(&packet, &message, NULL), 0);
	bd_wire_free(message);
}

static void the_table_is_complete_and_bounded(void **state)
{
	(void)state;
	for (unsigned i = 0; i < batchd__type__descriptor.n_values; i++) {
		uint16_t type = (uint16_t)batchd__type__descriptor.values[i].value;
		const struct bd_wire_rule *rule = bd_wire_rule(type);
		if (type == 0) {
			assert_null(rule);
			continue;
		}
		assert_non_null(rule);
		/* TYPE_HELLO and HELLO */
		assert_string_equal(batchd__type__descriptor.values[i].name + strlen("TYPE_"), rule->name);
		assert_true(rule->maximum_bytes + sizeof(struct bd_wire_header) <= BD_WIRE_MAX_BYTES);
		assert_true(rule->descriptors <= BD_WIRE_MAX_DESCRIPTORS);
		assert_true(rule->side != 0 && rule->states != 0);
		assert_int_equal(rule->message == NULL, rule->maximum_bytes == 0);
	}
}

static void a_full_socket_swallows_doorbells(void **state)
{
	(void)state;
	for (int i = 0; i < 5000; i++)
		bd_wire_ring_doorbell(sockets[0]);
	Batchd__Hello hello = BATCHD__HELLO__INIT;
	assert_int_equal(bd_wire_send(sockets[0], BATCHD__TYPE__TYPE_HELLO, &hello.base, NULL, 0, false, NULL), -EAGAIN);
}

static void a_gone_peer_is_an_error_and_no_signal(void **state)
{
	(void)state;
	close(sockets[1]);
	sockets[1] = dup(0);
	Batchd__Hello hello = BATCHD__HELLO__INIT;
	assert_int_equal(bd_wire_send(sockets[0], BATCHD__TYPE__TYPE_HELLO, &hello.base, NULL, 0, true, NULL), -EPIPE);
	bd_wire_ring_doorbell(sockets[0]);
}

/* The daemon that ends at its start: it says why and closes, and the client's HELLO lies unread. */
static void what_a_gone_peer_said_is_received(void **state)
{
	(void)state;
	struct bd_packet packet;
	ProtobufCMessage *message;
	Batchd__Error why = BATCHD__ERROR__INIT;
	why.code = -ENOMEM;
	why.text = (char *)"too little memory";
	assert_int_equal(bd_wire_send(sockets[1], BATCHD__TYPE__TYPE_HELLO, NULL, NULL, 0, true, NULL), 0);
	assert_int_equal(bd_wire_send(sockets[0], BATCHD__TYPE__TYPE_ERROR, &why.base, NULL, 0, true, NULL), 0);
	close(sockets[0]);
	sockets[0] = -1;
	assert_int_equal(receive(BD_WIRE_DAEMON, BD_WIRE_NEW, &packet), 0);
	assert_int_equal(bd_wire_unpack(&packet, &message, NULL), 0);
	assert_string_equal(((Batchd__Error *)message)->text, "too little memory");
	bd_wire_free(message);
	assert_int_equal(receive(BD_WIRE_DAEMON, BD_WIRE_NEW, &packet), -ECONNRESET);
}

static int add_page(void *context, const Batchd__Schema *message, struct bd_error *error)
{
	return bd_owned_schema_add(context, message, error);
}

static void classes_and_notes_survive_the_way(void **state)
{
	(void)state;
	const char *const classes[] = { "cat", "dog" }, *const notes[] = { "1 file is left out: a.png",
		                                                           "1 class has no pictures: dog" };
	struct bd_schema schema = { .class_count = 2, .classes = classes, .note_count = 2, .notes = notes };
	struct bd_owned_schema owned = { .arrays = NULL };
	assert_int_equal(bd_schema_to_messages(&schema, add_page, &owned, NULL), 0);
	assert_int_equal(owned.schema.class_count, 2);
	assert_string_equal(owned.schema.classes[1], "dog");
	assert_int_equal(owned.schema.note_count, 2);
	assert_string_equal(owned.schema.notes[1], "1 class has no pictures: dog");
	/* what the other side may make this one hold is bounded */
	struct bd_error error = { 0 };
	int result = 0;
	for (unsigned i = 0; result == 0 && i < BD_WIRE_MAX_NOTES; i++)
		result = bd_schema_to_messages(&schema, add_page, &owned, &error);
	assert_int_equal(result, -EPROTO);
	assert_non_null(strstr(error.text, "more than 32 notes"));
	bd_owned_schema_finish(&owned);
}

static void specs_survive_the_way(void **state)
{
	(void)state;
	struct bd_stream_spec spec, back;
	Batchd__StreamSpec message;
	bd_stream_spec_init(&spec);
	spec = (struct bd_stream_spec){ 20, BD_SHUFFLE_WINDOW, 9, UINT64_MAX, 3, BD_REMAINDER_CARRY, 1, 4, 0,
		                        0,  "group",           2, 5,          6, BD_AUGMENT_OFF,     7 };
	bd_spec_to_message(&spec, &message);
	size_t bytes = batchd__stream_spec__get_packed_size(&message);
	uint8_t packed[512];
	assert_true(bytes <= sizeof packed);
	batchd__stream_spec__pack(&message, packed);
	Batchd__StreamSpec *unpacked = batchd__stream_spec__unpack(NULL, bytes, packed);
	assert_non_null(unpacked);
	assert_int_equal(bd_spec_from_message(unpacked, &back, NULL), 0);
	assert_memory_equal(&spec, &back, sizeof spec);
	unpacked->augment = 2;
	assert_int_equal(bd_spec_from_message(unpacked, &back, NULL), -EINVAL);
	unpacked->augment = 1;
	unpacked->shuffle = 3;
	assert_int_equal(bd_spec_from_message(unpacked, &back, NULL), -EINVAL);
	batchd__stream_spec__free_unpacked(unpacked, NULL);
}

/* Pseudo-random damage to good packets: never more than a refusal. The fuzzer goes on where this ends. */
static void damaged_packets_never_hurt(void **state)
{
	(void)state;
	struct bd_stream_spec spec;
	Batchd__StreamSpec message;
	Batchd__Position start = BATCHD__POSITION__INIT;
	Batchd__Open open = BATCHD__OPEN__INIT;
	uint8_t packet[BD_WIRE_MAX_BYTES];
	size_t bytes;
	bd_stream_spec_init(&spec);
	bd_spec_to_message(&spec, &message);
	open.dataset = (char *)"/a/path/to/a/dataset.yaml";
	open.spec = &message;
	open.start = &start;
	assert_int_equal(bd_wire_pack(BATCHD__TYPE__TYPE_OPEN, &open.base, packet, &bytes, NULL), 0);
	uint64_t random = 1;
	for (int i = 0; i < 20000; i++) {
		uint8_t damaged[256];
		struct bd_packet checked;
		ProtobufCMessage *unpacked;
		assert_true(bytes <= sizeof damaged);
		memcpy(damaged, packet, bytes);
		for (int hits = 0; hits < 3; hits++) {
			random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
			damaged[sizeof(struct bd_wire_header) + (random >> 33) % (bytes - sizeof(struct bd_wire_header))] =
				(uint8_t)(random >> 56);
		}
		if (bd_wire_check(damaged, bytes, 0, BD_WIRE_CLIENT, BD_WIRE_READY, &checked, NULL) == 0 &&
		    bd_wire_unpack(&checked, &unpacked, NULL) == 0) {
			const Batchd__Open *opened = (const Batchd__Open *)unpacked;
			struct bd_stream_spec parsed;
			if (opened->spec && bd_spec_from_message(opened->spec, &parsed, NULL) == 0)
				(void)!bd_stream_spec_check(&parsed, NULL);
			bd_wire_free(unpacked);
		}
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_sockets, close_sockets)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_packet_arrives_as_it_was_sent),
		TEST(message_without_memory_is_no_broken_message),
		TEST(the_wrong_side_or_state_is_refused),
		TEST(a_wrong_number_of_descriptors_is_refused_and_closed),
		TEST(a_flood_of_descriptors_is_closed),
		TEST(broken_headers_are_refused),
		TEST(oversize_packets_are_refused),
		TEST(a_message_that_is_none_is_refused),
		TEST(the_table_is_complete_and_bounded),
		TEST(a_full_socket_swallows_doorbells),
		TEST(a_gone_peer_is_an_error_and_no_signal),
		TEST(what_a_gone_peer_said_is_received),
		TEST(classes_and_notes_survive_the_way),
		TEST(specs_survive_the_way),
		TEST(damaged_packets_never_hurt),
	};
	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
