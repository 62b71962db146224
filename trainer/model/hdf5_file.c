#include "trainer/model/hdf5_file.h"

#include <errno.h>
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/arithmetic.h"
#include "common/base/file.h"

/* Text of one attribute: the model_config of a net of thousands of layers is a few megabytes. */
#define MAX_TEXT_BYTES ((size_t)64 << 20)
#define MEMORY_STEP_BYTES ((size_t)1 << 20)

struct bd_hdf5 {
	char *name;
	hid_t file, access; /* access: for every look-up: no external links */
};

void bd_strings_finish(struct bd_strings *strings)
{
	for (size_t i = 0; strings->items && i < strings->count; i++)
		free(strings->items[i]);
	free(strings->items);
	*strings = (struct bd_strings){ 0 };
}

static bool append_string(struct bd_strings *strings, const char *text, size_t length)
{
	char **items = realloc(strings->items, (strings->count + 1) * sizeof *items);
	if (!items)
		return false;
	strings->items = items;
	items[strings->count] = strndup(text, length);
	return items[strings->count] && ++strings->count;
}

static herr_t refuse_external(const char *parent_file, const char *parent_group, const char *child_file, const char *child_object,
                              unsigned *flags, hid_t access, void *context)
{
	(void)parent_file, (void)parent_group, (void)child_file, (void)child_object, (void)flags, (void)access, (void)context;
	return -1;
}

static void quieten(void)
{
	H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
	H5PLset_loading_state(0);
}

static int finish_open(struct bd_hdf5 *file, struct bd_hdf5 **ret_file, int code, struct bd_error *error)
{
	if (file->file >= 0) {
		file->access = H5Pcreate(H5P_LINK_ACCESS);
		if (file->name && file->access >= 0 && H5Pset_elink_cb(file->access, refuse_external, NULL) >= 0) {
			*ret_file = file;
			return 0;
		}
		code = -ENOMEM;
	}
	bd_error_set(error, code, "%s: %s", file->name ? file->name : "HDF5",
	             code == -ENOMEM ? "no memory" : "no HDF5 file, or a damaged one");
	bd_hdf5_close(file);
	return code;
}

int bd_hdf5_open(const char *path, struct bd_hdf5 **ret_file, struct bd_error *error)
{
	struct stat status;
	if (stat(path, &status) != 0)
		return bd_error_set(error, -errno, "%s: cannot open: %s", path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return bd_error_set(error, -EINVAL, "%s: no regular file", path);
	struct bd_hdf5 *file = calloc(1, sizeof *file);
	if (!file)
		return bd_error_set(error, -ENOMEM, "no memory for %s", path);
	quieten();
	*file = (struct bd_hdf5){ .name = strdup(path), .file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), .access = -1 };
	return finish_open(file, ret_file, -EBADMSG, error);
}

int bd_hdf5_create(struct bd_hdf5 **ret_file, struct bd_error *error)
{
	struct bd_hdf5 *file = calloc(1, sizeof *file);
	if (!file)
		return bd_error_set(error, -ENOMEM, "no memory for an HDF5 file");
	quieten();
	hid_t memory = H5Pcreate(H5P_FILE_ACCESS);
	*file = (struct bd_hdf5){ .name = strdup("HDF5"), .file = -1, .access = -1 };
	if (H5Pset_fapl_core(memory, MEMORY_STEP_BYTES, 0) >= 0)
		file->file = H5Fcreate("memory.h5", H5F_ACC_TRUNC, H5P_DEFAULT, memory);
	H5Pclose(memory);
	return finish_open(file, ret_file, -ENOMEM, error);
}

void bd_hdf5_close(struct bd_hdf5 *file)
{
	if (!file)
		return;
	if (file->access >= 0)
		H5Pclose(file->access);
	if (file->file >= 0)
		H5Fclose(file->file);
	free(file->name);
	free(file);
}

/* ---- reading ---- */

bool bd_hdf5_has(struct bd_hdf5 *file, const char *path)
{
	char *part = strdup(path);
	bool found = part != NULL;
	for (char *end = part; found && end;) {
		end = strchr(end + 1, '/');
		if (end)
			*end = 0;
		if (*part && strcmp(part, "/") != 0)
			found = H5Lexists(file->file, part, file->access) > 0 &&
			        H5Oexists_by_name(file->file, part, file->access) > 0;
		if (end)
			*end = '/';
	}
	free(part);
	return found;
}

bool bd_hdf5_is_group(struct bd_hdf5 *file, const char *path)
{
	hid_t object = bd_hdf5_has(file, path) ? H5Oopen(file->file, path, file->access) : -1;
	bool group = object >= 0 && H5Iget_type(object) == H5I_GROUP;
	if (object >= 0)
		H5Oclose(object);
	return group;
}

static herr_t take_name(hid_t group, const char *name, const H5L_info_t *info, void *context)
{
	(void)group;
	struct bd_strings *names = context;
	if (info->type != H5L_TYPE_HARD)
		return 0;
	return names->count < BD_HDF5_MAX_ITEMS && append_string(names, name, strlen(name)) ? 0 : -1;
}

int bd_hdf5_list(struct bd_hdf5 *file, const char *group, struct bd_strings *ret_names, struct bd_error *error)
{
	struct bd_strings names = { 0 };
	hid_t opened = bd_hdf5_has(file, group) ? H5Gopen2(file->file, group, H5P_DEFAULT) : -1;
	hsize_t at = 0;
	bool good = opened >= 0 && H5Literate(opened, H5_INDEX_NAME, H5_ITER_INC, &at, take_name, &names) >= 0;
	if (opened >= 0)
		H5Gclose(opened);
	if (!good) {
		bd_strings_finish(&names);
		return bd_error_set(error, -EBADMSG, "%s: group %s cannot be listed", file->name, group);
	}
	*ret_names = names;
	return 0;
}

/* Texts of fixed length: padded with NUL or spaces; `total` bytes in all. */
static bool read_fixed(hid_t attribute, hid_t type, size_t count, struct bd_strings *strings)
{
	size_t width = H5Tget_size(type), total;
	if (width == 0 || !bd_multiply_size(width, count, &total) || total > MAX_TEXT_BYTES)
		return false;
	char *bytes = calloc(total + 1, 1);
	bool good = bytes && H5Aread(attribute, type, bytes) >= 0;
	for (size_t i = 0; good && i < count; i++)
		good = append_string(strings, bytes + i * width, strnlen(bytes + i * width, width));
	free(bytes);
	return good;
}

static bool read_variable(hid_t attribute, hid_t type, hid_t space, size_t count, struct bd_strings *strings)
{
	char **texts = calloc(count + 1, sizeof *texts);
	hid_t memory = H5Tcopy(H5T_C_S1);
	bool good = texts && H5Tset_size(memory, H5T_VARIABLE) >= 0 && H5Tset_cset(memory, H5Tget_cset(type)) >= 0 &&
	            H5Aread(attribute, memory, texts) >= 0;
	for (size_t i = 0; good && i < count; i++)
		good = append_string(strings, texts[i] ? texts[i] : "", texts[i] ? strnlen(texts[i], MAX_TEXT_BYTES) : 0);
	if (texts)
		H5Dvlen_reclaim(memory, space, H5P_DEFAULT, texts);
	H5Tclose(memory);
	free(texts);
	return good;
}

static bool read_attribute(hid_t object, const char *name, struct bd_strings *strings)
{
	hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
	hid_t type = attribute >= 0 ? H5Aget_type(attribute) : -1, space = attribute >= 0 ? H5Aget_space(attribute) : -1;
	bool good = false;
	if (type >= 0 && space >= 0) {
		hssize_t count = H5Sget_simple_extent_npoints(space);
		/* Keras writes an empty list of names as an empty array of floats. */
		if (count == 0)
			good = true;
		else if (count > 0 && count <= BD_HDF5_MAX_ITEMS && H5Tget_class(type) == H5T_STRING)
			good = H5Tis_variable_str(type) > 0 ? read_variable(attribute, type, space, (size_t)count, strings)
			                                    : read_fixed(attribute, type, (size_t)count, strings);
	}
	if (space >= 0)
		H5Sclose(space);
	if (type >= 0)
		H5Tclose(type);
	if (attribute >= 0)
		H5Aclose(attribute);
	return good;
}

int bd_hdf5_read_strings(struct bd_hdf5 *file, const char *object, const char *name, struct bd_strings *ret_strings,
                         struct bd_error *error)
{
	struct bd_strings strings = { 0 };
	char part[128];
	hid_t opened = bd_hdf5_has(file, object) ? H5Oopen(file->file, object, file->access) : -1;
	bool found = false, good = true;
	if (opened >= 0 && H5Aexists(opened, name) > 0) {
		found = true;
		good = read_attribute(opened, name, &strings);
	}
	for (int i = 0; opened >= 0 && good && strings.count < BD_HDF5_MAX_ITEMS; i++) {
		snprintf(part, sizeof part, "%.100s%d", name, i);
		if (H5Aexists(opened, part) <= 0)
			break;
		found = true;
		good = read_attribute(opened, part, &strings);
	}
	if (opened >= 0)
		H5Oclose(opened);
	if (found && good) {
		*ret_strings = strings;
		return 0;
	}
	bd_strings_finish(&strings);
	if (!found)
		return bd_error_set(error, -ENOENT, "%s: no attribute %s at %s", file->name, name, object);
	return bd_error_set(error, -EBADMSG, "%s: attribute %s at %s is no text", file->name, name, object);
}

/* Nothing outside the file: no virtual datasets, no external storage. */
static bool is_inside(hid_t dataset)
{
	hid_t creation = H5Dget_create_plist(dataset);
	if (creation < 0)
		return false;
	H5D_layout_t layout = H5Pget_layout(creation);
	bool inside = layout != H5D_VIRTUAL && layout != H5D_LAYOUT_ERROR && H5Pget_external_count(creation) == 0;
	H5Pclose(creation);
	return inside;
}

static bool measure(hid_t dataset, struct bd_hdf5_dataset *ret_dataset)
{
	hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
	hsize_t dims[H5S_MAX_RANK];
	int rank = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;
	bool good = type >= 0 && H5Tget_class(type) == H5T_FLOAT && rank >= 0 && rank <= BD_HDF5_MAX_RANK &&
	            H5Sget_simple_extent_dims(space, dims, NULL) == rank;
	struct bd_hdf5_dataset found = { .rank = rank, .count = 1 };
	for (int i = 0; good && i < rank; i++) {
		found.shape[i] = dims[i];
		good = bd_multiply_u64(found.count, dims[i], &found.count) && found.count <= BD_HDF5_MAX_FLOATS;
	}
	if (space >= 0)
		H5Sclose(space);
	if (type >= 0)
		H5Tclose(type);
	if (good)
		*ret_dataset = found;
	return good;
}

static int open_dataset(struct bd_hdf5 *file, const char *path, hid_t *ret_dataset, struct bd_hdf5_dataset *ret_info,
                        struct bd_error *error)
{
	if (!bd_hdf5_has(file, path))
		return bd_error_set(error, -ENOENT, "%s: no dataset %s", file->name, path);
	hid_t dataset = H5Oopen(file->file, path, file->access);
	if (dataset < 0 || H5Iget_type(dataset) != H5I_DATASET || !is_inside(dataset) || !measure(dataset, ret_info)) {
		if (dataset >= 0)
			H5Oclose(dataset);
		return bd_error_set(error, -EBADMSG, "%s: dataset %s is damaged or no array of floating point numbers in this file",
		                    file->name, path);
	}
	*ret_dataset = dataset;
	return 0;
}

int bd_hdf5_describe(struct bd_hdf5 *file, const char *path, struct bd_hdf5_dataset *ret_dataset, struct bd_error *error)
{
	hid_t dataset;
	int result = open_dataset(file, path, &dataset, ret_dataset, error);
	if (result == 0)
		H5Oclose(dataset);
	return result;
}

int bd_hdf5_read(struct bd_hdf5 *file, const char *path, float *ret_values, uint64_t count, struct bd_error *error)
{
	struct bd_hdf5_dataset info;
	hid_t dataset;
	int result = open_dataset(file, path, &dataset, &info, error);
	if (result < 0)
		return result;
	if (info.count != count)
		result = bd_error_set(error, -EBADMSG, "%s: dataset %s changed its size", file->name, path);
	else if (H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, ret_values) < 0)
		result = bd_error_set(error, -EBADMSG, "%s: dataset %s cannot be read: damaged or truncated", file->name, path);
	H5Oclose(dataset);
	return result;
}

/* ---- writing ---- */

static int written(bool good, const char *what, struct bd_error *error)
{
	return good ? 0 : bd_error_set(error, -EIO, "HDF5: %s cannot be written", what);
}

int bd_hdf5_make_group(struct bd_hdf5 *file, const char *path, struct bd_error *error)
{
	hid_t creation = H5Pcreate(H5P_LINK_CREATE);
	H5Pset_create_intermediate_group(creation, 1);
	hid_t group = H5Gcreate2(file->file, path, creation, H5P_DEFAULT, H5P_DEFAULT);
	H5Pclose(creation);
	if (group >= 0)
		H5Gclose(group);
	return written(group >= 0, path, error);
}

static bool write_attribute(struct bd_hdf5 *file, const char *object, const char *name, hid_t space, const void *texts)
{
	hid_t type = H5Tcopy(H5T_C_S1);
	H5Tset_size(type, H5T_VARIABLE);
	H5Tset_cset(type, H5T_CSET_UTF8);
	hid_t attribute = H5Acreate_by_name(file->file, object, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
	bool good = attribute >= 0 && (!texts || H5Awrite(attribute, type, texts) >= 0);
	if (attribute >= 0)
		H5Aclose(attribute);
	H5Tclose(type);
	H5Sclose(space);
	return good;
}

int bd_hdf5_write_text(struct bd_hdf5 *file, const char *object, const char *name, const char *text, struct bd_error *error)
{
	return written(write_attribute(file, object, name, H5Screate(H5S_SCALAR), &text), name, error);
}

int bd_hdf5_write_strings(struct bd_hdf5 *file, const char *object, const char *name, const char *const *texts, size_t count,
                          struct bd_error *error)
{
	hsize_t dims[1] = { count };
	return written(write_attribute(file, object, name, H5Screate_simple(1, dims, NULL), count ? texts : NULL), name, error);
}

int bd_hdf5_write(struct bd_hdf5 *file, const char *path, int rank, const int64_t *shape, const float *values,
                  struct bd_error *error)
{
	hsize_t dims[BD_HDF5_MAX_RANK];
	for (int i = 0; i < rank; i++)
		dims[i] = (hsize_t)shape[i];
	hid_t creation = H5Pcreate(H5P_LINK_CREATE), space = rank ? H5Screate_simple(rank, dims, NULL) : H5Screate(H5S_SCALAR);
	H5Pset_create_intermediate_group(creation, 1);
	hid_t dataset = H5Dcreate2(file->file, path, H5T_IEEE_F32LE, space, creation, H5P_DEFAULT, H5P_DEFAULT);
	bool good = dataset >= 0 && H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0;
	if (dataset >= 0)
		H5Dclose(dataset);
	H5Sclose(space);
	H5Pclose(creation);
	return written(good, path, error);
}

int bd_hdf5_save(struct bd_hdf5 *file, const char *path, bool force, struct bd_error *error)
{
	ssize_t length = H5Fflush(file->file, H5F_SCOPE_GLOBAL) < 0 ? -1 : H5Fget_file_image(file->file, NULL, 0);
	char *image = length > 0 ? malloc((size_t)length) : NULL;
	if (!image || H5Fget_file_image(file->file, image, (size_t)length) != length) {
		free(image);
		return bd_error_set(error, -ENOMEM, "%s: no memory for the file's image", path);
	}
	struct bd_output output;
	int result = bd_output_open(&output, path, force, error);
	if (result == 0 && fwrite(image, 1, (size_t)length, output.stream) != (size_t)length) {
		result = bd_error_set(error, -errno, "%s: cannot write: %s", path, strerror(errno));
		bd_output_abandon(&output);
	} else if (result == 0) {
		result = bd_output_commit(&output, error);
	}
	free(image);
	return result;
}
