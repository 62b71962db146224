#include <stdio.h>
#include <string.h>

#include "common/base/json.h"
#include "tools/batchctl/commands.h"
#include "tools/batchctl/target.h"

static int print_dataset(const struct bd_dataset_info *dataset, bool json, size_t width, struct bd_error *error)
{
	if (!json) {
		printf("%-*s  %s\n", (int)width, dataset->name, dataset->file);
		return 0;
	}
	return bd_json_print_line(stdout,
	                          json_pack("{s:o, s:o}", "name", bd_json_text(dataset->name, strlen(dataset->name)), "file",
	                                    bd_json_text(dataset->file, strlen(dataset->file))),
	                          error);
}

static int print_datasets(struct bd_client *client, bool json, struct bd_error *error)
{
	struct bd_dataset_info *datasets;
	size_t count, width = 0;
	int result = bd_client_datasets(client, &datasets, &count, error);
	if (result < 0)
		return result;
	for (size_t i = 0; i < count; i++)
		width = strlen(datasets[i].name) > width ? strlen(datasets[i].name) : width;
	for (size_t i = 0; result == 0 && i < count; i++)
		result = print_dataset(&datasets[i], json, width, error);
	if (count == 0 && !json)
		puts("no datasets");
	bd_client_free(datasets);
	return result;
}

int bd_command_datasets(int argc, char **argv)
{
	return bd_target_ask("datasets", "The datasets that a running daemon serves by name, and their files, one a line.",
	                     print_datasets, argc, argv);
}
