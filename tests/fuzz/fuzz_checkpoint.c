/* fuzz_checkpoint - a checkpoint's bytes: header, metadata, tensors. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/model/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A tensor that the file claims to have is read into exactly as many floats as it claims. */
static void read_all(struct bd_safetensors *file)
{
	for (size_t i = 0; i < bd_safetensors_count(file); i++) {
		const struct bd_safetensors_entry *entry = bd_safetensors_at(file, i);
		if (bd_safetensors_find(file, entry->name) != entry || entry->bytes > 1 << 20 || entry->count > 1 << 20)
			abort();
		float *values = malloc((size_t)entry->count * sizeof *values + 1);
		struct bd_error error;
		if (values && bd_safetensors_read(file, entry, values, &error) == 0 && entry->bytes < entry->count)
			abort();
		free(values);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bd_checkpoint_info info;
	struct bd_safetensors *file;
	struct bd_error error;
	float weights[4];
	struct bd_tensor tensor = { .name = "w", .rank = 1, .shape = { 4 }, .count = 4, .data = weights };
	if (size > 1 << 20 || bd_safetensors_open_memory("fuzz", data, size, &file, &error) < 0)
		return 0;
	read_all(file);
	if (bd_checkpoint_load_from(file, NULL, &tensor, 1, &info, &error) == 0 && strlen(info.fingerprint) != 64)
		abort();
	bd_safetensors_close(file);
	return 0;
}
