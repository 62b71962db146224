/* fuzz_yaml - the text of a dataset file. */
#include <stdint.h>

#include "common/base/yaml.h"
#include "common/record/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bd_dataset *dataset;
	struct bd_error error;
	/* a folder that is not there: a fuzzer must not walk the machine's files by globs */
	if (bd_dataset_parse("fuzz", "/proc/none", (const char *)data, size, &dataset, &error) == 0)
		bd_dataset_destroy(dataset);
	return 0;
}
