#include "trainer/learning/feature_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/file.h"
#include "common/base/yaml.h"
#include "trainer/learning/feed.h"
#include "trainer/model/graph.h"

/* ---- whether it would be right ---- */

static bool is_text(const struct bd_yaml_node *node, const char *text)
{
	return node && bd_yaml_text(node) && strcmp(bd_yaml_text(node), text) == 0;
}

static int check_image(const char *name, const struct bd_yaml_node *root, struct bd_error *error)
{
	if (bd_yaml_kind(root) != BD_YAML_MAPPING)
		return 0;
	const struct bd_yaml_node *flip = bd_yaml_find(root, "flip"), *crop = bd_yaml_find(root, "crop");
	if (crop && bd_yaml_kind(crop) == BD_YAML_MAPPING)
		crop = bd_yaml_find(crop, "kind");
	if (is_text(flip, "horizontal"))
		return bd_error_set(error, -EINVAL,
		                    "--cache-features would be wrong: '%s' has 'flip: horizontal', so a record is another picture "
		                    "in every epoch",
		                    name);
	if (is_text(crop, "random_resized"))
		return bd_error_set(
			error, -EINVAL,
			"--cache-features would be wrong: '%s' has a random crop, so a record is another picture in every epoch",
			name);
	return 0;
}

int bd_feature_cache_check(const struct bd_schema *schema, struct bd_error *error)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < schema->array_count; i++) {
		const struct bd_array_schema *array = &schema->arrays[i];
		struct bd_yaml *yaml = NULL;
		if (!array->image)
			continue;
		r = bd_yaml_load_text(array->name, array->image, strlen(array->image), &yaml, error);
		if (r == 0)
			r = check_image(array->name, bd_yaml_root(yaml), error);
		bd_yaml_destroy(yaml);
	}
	return r;
}

/* ---- where it lies ---- */

static int open_file(const char *folder, size_t bytes, struct bd_error *error)
{
	char *path = bd_path_join(folder, ".features-XXXXXX");
	if (!path)
		return bd_error_set(error, -ENOMEM, "no memory for a path");
	int fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0) {
		int r = bd_error_set(error, -errno, "%s: cannot keep features: %s", folder, strerror(errno));
		free(path);
		return r;
	}
	unlink(path);
	free(path);
	/* Reserved now: a full disk found later, through the mapping, would be a SIGBUS. */
	int r = -posix_fallocate(fd, 0, (off_t)bytes);
	if (r < 0) {
		close(fd);
		return bd_error_set(error, r, "%s: no room for %zu MiB of features: %s", folder, bytes >> 20, strerror(-r));
	}
	return fd;
}

static int map_features(struct bd_feature_cache *cache, uint64_t memory_bytes, const char *folder, struct bd_error *error)
{
	size_t row, bytes;
	if (!bd_multiply_size(cache->width, sizeof(float), &row) || !bd_multiply_size(row, cache->records, &bytes))
		return bd_error_set(error, -EOVERFLOW, "features of %" PRIu64 " records do not fit into memory", cache->records);
	cache->on_disk = bytes > memory_bytes;
	int fd = -1;
	if (cache->on_disk && (fd = open_file(folder, bytes, error)) < 0)
		return fd;
	int flags = cache->on_disk ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
	void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
	int code = errno;
	if (fd >= 0)
		close(fd);
	if (map == MAP_FAILED)
		return bd_error_set(error, -code, "cannot map %zu MiB of features: %s", bytes >> 20, strerror(code));
	cache->features = map;
	cache->mapped_bytes = bytes;
	return 0;
}

static int reserve(struct bd_feature_cache *cache, const struct bd_feed_batch *batch, uint64_t memory_bytes, const char *folder,
                   struct bd_error *error)
{
	free(cache->present);
	free(cache->classes);
	free(cache->values);
	cache->present = calloc(cache->records, 1);
	if (batch->targets.classes)
		cache->classes = calloc(cache->records * cache->places, sizeof *cache->classes);
	if (batch->targets.values)
		cache->values = calloc(cache->records * cache->target_width, sizeof *cache->values);
	if (!cache->present || (batch->targets.classes && !cache->classes) || (batch->targets.values && !cache->values))
		return bd_error_set(error, -ENOMEM, "no memory for the targets of %" PRIu64 " records", cache->records);
	return map_features(cache, memory_bytes, folder, error);
}

/* ---- filling ---- */

static int keep_batch(struct bd_feature_cache *cache, struct bd_graph *graph, const struct bd_feed_batch *batch,
                      struct bd_error *error)
{
	struct bd_shape shape;
	const float *features = bd_graph_features(graph, &shape);
	if (!features || !cache->features || !cache->present)
		return bd_error_set(error, -EINVAL, "--cache-features: the model has no frozen base; set 'trainable: false'");
	for (uint32_t i = 0; i < batch->rows; i++) {
		uint64_t record = batch->records[i];
		if (record >= cache->records)
			return bd_error_set(error, -EPROTO, "the stream sent record %" PRIu64 " of %" PRIu64, record,
			                    cache->records);
		memcpy(cache->features + record * cache->width, features + i * cache->width, cache->width * sizeof(float));
		if (cache->classes)
			memcpy(cache->classes + record * cache->places, batch->targets.classes + i * cache->places,
			       cache->places * sizeof *cache->classes);
		if (cache->values)
			memcpy(cache->values + record * cache->target_width, batch->targets.values + i * cache->target_width,
			       cache->target_width * sizeof(float));
		cache->present[record] = 1;
	}
	return 0;
}

static int fill_batch(struct bd_feature_cache *cache, struct bd_graph *graph, const struct bd_feed_batch *batch,
                      uint64_t memory_bytes, const char *folder, struct bd_error *error)
{
	if (batch->rows == 0)
		return 0;
	bd_graph_forward(graph, &batch->input, batch->rows, false, 0);
	if (!cache->features) {
		struct bd_shape shape;
		if (!bd_graph_features(graph, &shape))
			return bd_error_set(error, -EINVAL,
			                    "--cache-features: the model has no frozen base; set 'trainable: false'");
		cache->width = (size_t)bd_shape_count(&shape);
		int r = reserve(cache, batch, memory_bytes, folder, error);
		if (r < 0)
			return r;
	}
	return keep_batch(cache, graph, batch, error);
}

int bd_feature_cache_fill(struct bd_feed *feed, struct bd_graph *graph, size_t target_width, size_t places, uint64_t memory_bytes,
                          const char *folder, const volatile int *stop, void (*on_progress)(void *context, uint64_t done),
                          void *context, struct bd_feature_cache *ret_cache, struct bd_error *error)
{
	struct bd_feature_cache cache = { .records = bd_feed_records(feed), .target_width = target_width, .places = places };
	struct bd_feed_batch batch;
	uint64_t done = 0;
	int r;
	while ((r = bd_feed_next(feed, stop, &batch, error)) == 0) {
		r = fill_batch(&cache, graph, &batch, memory_bytes, folder, error);
		bd_feed_release(feed);
		if (r < 0)
			break;
		done += batch.rows;
		if (on_progress)
			on_progress(context, done);
	}
	if (r == -ENODATA)
		r = done > 0 ? 0 : bd_error_set(error, -ENODATA, "the data has no records");
	if (r < 0)
		bd_feature_cache_finish(&cache);
	else
		*ret_cache = cache;
	return r;
}

void bd_feature_cache_finish(struct bd_feature_cache *cache)
{
	if (cache->features)
		munmap(cache->features, cache->mapped_bytes);
	free(cache->dataset);
	free(cache->present);
	free(cache->classes);
	free(cache->values);
	*cache = (struct bd_feature_cache){ 0 };
}
