#include "trainer/model/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/failing_malloc.h"
#include "tests/support/records.h"
#include "tests/unit/test.h"

#define COUNT 1000

static char *folder, fingerprint[BD_SHA256_HEX_BYTES];
static float weights[COUNT], slots[COUNT];
static const struct bd_tensor saved[2] = {
	{ .name = "fc/kernel", .rank = 2, .shape = { 10, 100 }, .count = COUNT, .data = weights },
	{ .name = "optimizer/fc/kernel/velocity", .rank = 2, .shape = { 10, 100 }, .count = COUNT, .data = slots }
};

static int make_folder(void **state)
{
	(void)state;
	folder = bd_test_folder();
	struct bd_parameter parameter = {
		.name = (char *)(uintptr_t) "fc/kernel", .rank = 2, .shape = { 10, 100 }, .count = COUNT, .value = weights
	};
	struct bd_parameter *all[1] = { &parameter };
	bd_checkpoint_fingerprint(all, 1, "a model", fingerprint);
	for (size_t i = 0; i < COUNT; i++) {
		weights[i] = (float)i * 0.1f;
		slots[i] = (float)i * 0.01f;
	}
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	bd_test_folder_remove(folder);
	return 0;
}

static struct bd_checkpoint_info info_of(uint64_t step)
{
	struct bd_checkpoint_info info = { .step = step, .epoch = 3, .batch = 17, .seed = UINT64_MAX, .notes = "{\"best\":0.5}" };
	strcpy(info.fingerprint, fingerprint);
	return info;
}

static void save(uint64_t step)
{
	struct bd_checkpoint_info info = info_of(step);
	assert_int_equal(bd_checkpoint_save(folder, &info, saved, 2, NULL), 0);
}

static void path_of(uint64_t step, char *path, size_t size)
{
	snprintf(path, size, "%s/checkpoint-%llu.safetensors", folder, (unsigned long long)step);
}

static void saved_state_is_loaded(void **state)
{
	(void)state;
	char path[128];
	float got[2][COUNT];
	struct bd_tensor tensors[2] = { saved[1], saved[0] };
	struct bd_checkpoint_info info;
	tensors[0].data = got[1];
	tensors[1].data = got[0];
	save(500);
	path_of(500, path, sizeof path);
	assert_int_equal(bd_checkpoint_load(path, fingerprint, tensors, 2, &info, NULL), 0);
	assert_memory_equal(got[0], weights, sizeof weights);
	assert_memory_equal(got[1], slots, sizeof slots);
	assert_true(info.step == 500 && info.epoch == 3 && info.batch == 17 && info.seed == UINT64_MAX);
	assert_string_equal(info.notes, "{\"best\":0.5}");
	assert_int_equal(bd_checkpoint_load(path, NULL, tensors + 1, 1, &info, NULL), 0);
}

static void copy_damaged(uint64_t from, uint64_t to, size_t keep, size_t flip)
{
	char path[128];
	path_of(from, path, sizeof path);
	FILE *file = fopen(path, "rb");
	static uint8_t bytes[65536];
	size_t length = fread(bytes, 1, sizeof bytes, file);
	fclose(file);
	if (flip < length)
		bytes[flip] ^= 0x10;
	path_of(to, path, sizeof path);
	file = fopen(path, "wb");
	assert_true(fwrite(bytes, 1, keep < length ? keep : length, file) > 0);
	fclose(file);
}

/* Every length and every flipped byte of the header, and some of the data: nothing loads, nothing is written into the tensors. */
static void damaged_checkpoint_is_refused_and_changes_nothing(void **state)
{
	(void)state;
	char path[128];
	float got[COUNT] = { 7 };
	struct bd_tensor tensor = saved[0];
	struct bd_checkpoint_info info;
	struct bd_error error;
	struct stat status;
	tensor.data = got;
	save(500);
	path_of(500, path, sizeof path);
	assert_int_equal(stat(path, &status), 0);
	size_t size = (size_t)status.st_size, header = size - 2 * COUNT * sizeof(float);
	path_of(501, path, sizeof path);
	for (size_t keep = 1; keep < size; keep += keep < header ? 7 : 501) {
		copy_damaged(500, 501, keep, SIZE_MAX);
		assert_int_equal(bd_checkpoint_load(path, fingerprint, &tensor, 1, &info, &error), -EBADMSG);
	}
	for (size_t flip = 0; flip < header; flip++) {
		copy_damaged(500, 501, SIZE_MAX, flip);
		if (bd_checkpoint_load(path, fingerprint, &tensor, 1, &info, &error) != -EBADMSG)
			fail_msg("byte %zu of the header was flipped and nobody saw it", flip);
	}
	for (size_t flip = header; flip < size; flip += 397) {
		copy_damaged(500, 501, SIZE_MAX, flip);
		assert_int_equal(bd_checkpoint_load(path, fingerprint, &tensor, 1, &info, &error), -EBADMSG);
		assert_non_null(strstr(error.text, "SHA-256"));
	}
	assert_true(got[0] == 7 && got[1] == 0);
	unlink(path);
}

static void checkpoint_of_another_model_is_estale(void **state)
{
	(void)state;
	char path[128], other[BD_SHA256_HEX_BYTES];
	float got[COUNT] = { 7 };
	struct bd_checkpoint_info info;
	struct bd_error error;
	struct bd_tensor shape = { .name = "fc/kernel", .rank = 2, .shape = { 100, 10 }, .count = COUNT, .data = got },
			 name = saved[0];
	name.name = "fc2/kernel";
	name.data = got;
	save(500);
	path_of(500, path, sizeof path);
	bd_checkpoint_fingerprint(NULL, 0, "another", other);
	assert_int_equal(bd_checkpoint_load(path, other, NULL, 0, &info, &error), -ESTALE);
	assert_int_equal(bd_checkpoint_load(path, fingerprint, &shape, 1, &info, &error), -ESTALE);
	assert_int_equal(bd_checkpoint_load(path, fingerprint, &name, 1, &info, &error), -ESTALE);
	assert_non_null(strstr(error.text, "fc2/kernel"));
	assert_true(got[0] == 7);
	/* a file of weights is no checkpoint */
	path_of(900, path, sizeof path);
	assert_int_equal(bd_safetensors_write(path, true, saved, 2, NULL, 0, NULL), 0);
	assert_int_equal(bd_checkpoint_verify(path, NULL, &info, &error), -EBADMSG);
	unlink(path);
}

static void newest_is_found_and_older_is_offered(void **state)
{
	(void)state;
	char path[128], *found = NULL;
	struct bd_checkpoint_info info;
	struct bd_error error;
	save(90);
	save(500);
	save(1000);
	assert_int_equal(bd_checkpoint_newest(folder, fingerprint, &found, &info, &error), 0);
	assert_non_null(strstr(found, "checkpoint-1000."));
	assert_true(info.step == 1000);
	free(found);
	found = NULL;
	copy_damaged(500, 1000, SIZE_MAX, 5000);
	assert_int_equal(bd_checkpoint_newest(folder, fingerprint, &found, &info, &error), -EBADMSG);
	assert_null(found);
	assert_non_null(strstr(error.text, "checkpoint-500.safetensors before it is good: remove checkpoint-1000.safetensors"));
	copy_damaged(500, 500, 100, SIZE_MAX);
	copy_damaged(90, 90, 100, SIZE_MAX);
	assert_int_equal(bd_checkpoint_newest(folder, fingerprint, &found, &info, &error), -EBADMSG);
	assert_non_null(strstr(error.text, "none before it is good"));
	for (uint64_t step = 90; step; step = step == 90 ? 500 : step == 500 ? 1000 : 0) {
		path_of(step, path, sizeof path);
		unlink(path);
	}
	assert_int_equal(bd_checkpoint_newest(folder, fingerprint, &found, &info, &error), -ENOENT);
	assert_int_equal(bd_checkpoint_newest("/nonexistent", fingerprint, &found, &info, &error), -ENOENT);
}

static void prune_keeps_the_newest_and_the_best(void **state)
{
	(void)state;
	char path[128];
	struct bd_checkpoint_list list;
	for (uint64_t step = 9; step <= 109; step += 20)
		save(step);
	/* not ours: left alone */
	snprintf(path, sizeof path, "%s/checkpoint-010.safetensors", folder);
	fclose(fopen(path, "wb"));
	const uint64_t best = 29;
	assert_int_equal(bd_checkpoint_prune(folder, 2, &best, 1, NULL), 0);
	assert_int_equal(bd_checkpoint_list(folder, &list, NULL), 0);
	assert_int_equal(list.count, 3);
	assert_true(list.entries[0].step == 109 && list.entries[1].step == 89 && list.entries[2].step == 29);
	bd_checkpoint_list_finish(&list);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
	assert_int_equal(bd_checkpoint_prune(folder, 0, NULL, 0, NULL), 0);
	assert_int_equal(bd_checkpoint_list(folder, &list, NULL), 0);
	assert_int_equal(list.count, 1);
	bd_checkpoint_list_finish(&list);
}

static void full_disk_keeps_the_old_checkpoint(void **state)
{
	(void)state;
	char path[128];
	struct bd_checkpoint_info info = info_of(700), got;
	struct bd_error error;
	struct rlimit before, small = { .rlim_cur = 4096 };
	save(700);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small.rlim_max = before.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	int result = bd_checkpoint_save(folder, &info, saved, 2, &error);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_int_equal(result, -EFBIG);
	path_of(700, path, sizeof path);
	assert_int_equal(bd_checkpoint_verify(path, fingerprint, &got, NULL), 0);
	char command[256];
	snprintf(command, sizeof command, "test $(ls -A %s | wc -l) = $(ls %s/checkpoint-*.safetensors | wc -l)", folder, folder);
	assert_int_equal(system(command), 0);
}

/* Every single allocation that fails: the checkpoint is whole, or there is none and the reason is true. */
static void failing_allocation_saves_whole_or_nothing(void **state)
{
	(void)state;
	if (!BD_MALLOC_FAILS)
		skip();
	char path[128];
	path_of(800, path, sizeof path);
	bool saved_once = false;
	for (int n = 0; !saved_once; n++) {
		struct bd_checkpoint_info info = info_of(800), got;
		struct bd_error error = { 0 };
		allocations_left = n;
		int result = bd_checkpoint_save(folder, &info, saved, 2, &error);
		saved_once = allocations_left >= 0;
		allocations_left = -1;
		if (result == 0) {
			assert_int_equal(bd_checkpoint_verify(path, fingerprint, &got, NULL), 0);
			unlink(path);
		} else {
			assert_int_equal(access(path, F_OK), -1);
			if (result != -ENOMEM)
				fail_msg("allocation %d: %d, %s", n, result, error.text);
		}
		assert_true(n < 10000);
	}
}

/* No descriptors: the newest checkpoint is not damaged, and nobody is told to remove it. */
static void failure_of_ours_gives_no_advice_to_remove(void **state)
{
	(void)state;
	char *found = NULL, path[128];
	struct bd_checkpoint_info info;
	struct bd_error error = { 0 };
	save(40);
	save(60);
	path_of(60, path, sizeof path);
	int held[4096];
	size_t count = 0;
	struct rlimit before, few = { .rlim_cur = 64 };
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	while (count < 4096 && (held[count] = open("/dev/null", O_RDONLY)) >= 0)
		count++;
	close(held[--count]); /* enough to list the folder and to open a file, not for both at a time */
	int result = bd_checkpoint_newest(folder, fingerprint, &found, &info, &error);
	if (result == 0) { /* the folder is closed before the file is opened: take the last one too */
		free(found);
		assert_true((held[count] = open("/dev/null", O_RDONLY)) >= 0);
		count++;
		result = bd_checkpoint_newest(folder, fingerprint, &found, &info, &error);
	}
	while (count > 0)
		close(held[--count]);
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(result, -EMFILE);
	assert_null(strstr(error.text, "remove"));
	assert_null(strstr(error.text, "--fresh"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(saved_state_is_loaded),
		cmocka_unit_test(damaged_checkpoint_is_refused_and_changes_nothing),
		cmocka_unit_test(checkpoint_of_another_model_is_estale),
		cmocka_unit_test(newest_is_found_and_older_is_offered),
		cmocka_unit_test(prune_keeps_the_newest_and_the_best),
		cmocka_unit_test(full_disk_keeps_the_old_checkpoint),
		cmocka_unit_test(failing_allocation_saves_whole_or_nothing),
		cmocka_unit_test(failure_of_ours_gives_no_advice_to_remove),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
