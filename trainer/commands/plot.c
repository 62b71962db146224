#include "trainer/commands/commands.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/options.h"
#include "common/image/plot.h"
#include "trainer/commands/data_options.h"

/* The lines of a run of a hundred million steps, reported every hundred. */
#define LOG_LIMIT_BYTES (512u << 20)
#define MAX_LOGS 16

struct curve {
	const char *name;
	double *x, *y;
	size_t count, room;
};

struct plot {
	const char *key, *output, *title;
	bool force;
	struct curve curves[MAX_LOGS];
	size_t curve_count;
};

static int parse(struct plot *plot, int argc, char **argv, struct bd_arguments *ret_arguments)
{
	const struct bd_option options[] = {
		{ .name = "key",
		  .kind = BD_OPTION_TEXT,
		  .value = &plot->key,
		  .argument = "KEY",
		  .help = "what is drawn over the steps: loss (default), accuracy, eval.accuracy, images_per_s, ..." },
		{ .name = "output",
		  .kind = BD_OPTION_TEXT,
		  .value = &plot->output,
		  .argument = "FILE.png",
		  .help = "the picture to write" },
		{ .name = "title",
		  .kind = BD_OPTION_TEXT,
		  .value = &plot->title,
		  .argument = "TEXT",
		  .help = "above the chart (default: the key)" },
		{ .name = "force", .kind = BD_OPTION_FLAG, .value = &plot->force, .help = "write over a file that is there" },
	};
	const struct bd_command command = {
		.program = "batchtrain",
		.name = "plot",
		.usage = "[NAME=]LOG.json… --output FILE.png [options]",
		.summary = "Curves out of the JSON lines that 'batchtrain train --json' printed, one line a file, in one chart.",
		.groups = { { NULL, options, sizeof options / sizeof *options } },
		.minimum_words = 1,
		.maximum_words = MAX_LOGS,
	};
	struct bd_error error = { 0 };
	int r = bd_command_parse(&command, argc, argv, ret_arguments, &error);
	if (r < 0)
		return bd_usage_error(&command, &error);
	if (ret_arguments->done)
		return BD_EXIT_DONE;
	if (plot->output)
		return -1;
	bd_error_set(&error, -EINVAL, "--output is missing: the picture to write");
	bd_arguments_finish(ret_arguments);
	return bd_usage_error(&command, &error);
}

/* "eval.accuracy" is accuracy inside of eval. NULL where the line has it not. */
static const json_t *find(const json_t *object, const char *key)
{
	const char *dot = strchr(key, '.');
	char outer[64];
	if (!dot)
		return json_object_get(object, key);
	if ((size_t)(dot - key) >= sizeof outer)
		return NULL;
	memcpy(outer, key, (size_t)(dot - key));
	outer[dot - key] = 0;
	return json_object_get(json_object_get(object, outer), dot + 1);
}

static bool add_point(struct curve *curve, double x, double y)
{
	if (curve->count == curve->room) {
		size_t room = curve->room ? 2 * curve->room : 256;
		double *xs = realloc(curve->x, room * sizeof *xs);
		curve->x = xs ? xs : curve->x;
		double *ys = realloc(curve->y, room * sizeof *ys);
		curve->y = ys ? ys : curve->y;
		if (!xs || !ys)
			return false;
		curve->room = room;
	}
	curve->x[curve->count] = x;
	curve->y[curve->count++] = y;
	return true;
}

/* Lines without a step (the result) or without the key are passed over. */
static int read_line(struct curve *curve, const char *path, const char *key, const char *line, size_t length,
                     struct bd_error *error)
{
	json_t *object = NULL;
	int r = bd_json_parse(path, line, length, &object, error);
	if (r < 0)
		return r;
	const json_t *step = json_object_get(object, "step"), *value = find(object, key);
	bool good = !step || !value ||
	            add_point(curve, json_number_value(step), json_is_number(value) ? json_number_value(value) : NAN);
	json_decref(object);
	return good ? 0 : bd_error_set(error, -ENOMEM, "no memory for a curve");
}

static int read_log(struct curve *curve, const char *path, const char *key, struct bd_error *error)
{
	uint8_t *text = NULL;
	size_t length;
	int r = bd_file_read_all(path, LOG_LIMIT_BYTES, &text, &length, error);
	const char *line = (const char *)text;
	while (r == 0 && *line) {
		size_t bytes = strcspn(line, "\n");
		if (bytes > 0)
			r = read_line(curve, path, key, line, bytes, error);
		line += bytes + (line[bytes] == '\n');
	}
	free(text);
	if (r == 0 && curve->count == 0)
		return bd_error_set(error, -ENODATA, "%s: no line has both \"step\" and \"%s\"", path, key);
	return r;
}

static int add_word(struct plot *plot, char *word, struct bd_error *error)
{
	struct curve *curve = &plot->curves[plot->curve_count++];
	char *equals = strchr(word, '=');
	curve->name = equals ? word : bd_path_base(word);
	if (equals)
		*equals = 0;
	return read_log(curve, equals ? equals + 1 : word, plot->key, error);
}

static int run(struct plot *plot, const struct bd_arguments *arguments, char **words, struct bd_error *error)
{
	struct bd_plot_series series[MAX_LOGS];
	int r = 0;
	for (size_t i = 0; r == 0 && i < arguments->word_count; i++) {
		words[i] = strdup(arguments->words[i]);
		r = words[i] ? add_word(plot, words[i], error) : bd_error_set(error, -ENOMEM, "no memory for a name");
	}
	for (size_t i = 0; r == 0 && i < plot->curve_count; i++)
		series[i] = (struct bd_plot_series){ plot->curves[i].name, plot->curves[i].x, plot->curves[i].y,
			                             plot->curves[i].count };
	if (r == 0)
		r = bd_plot_write(plot->output, plot->force, plot->title ? plot->title : plot->key, "step", plot->key, series,
		                  plot->curve_count, error);
	return r;
}

int bd_plot_command(int argc, char **argv)
{
	struct plot plot = { .key = "loss" };
	struct bd_arguments arguments = { 0 };
	struct bd_error error = { 0 };
	char *words[MAX_LOGS] = { NULL };
	int status = parse(&plot, argc, argv, &arguments);
	if (status >= 0)
		return status;
	int r = run(&plot, &arguments, words, &error);
	status = r < 0 ? bd_command_failed(&error, r) : BD_EXIT_DONE;
	for (size_t i = 0; i < MAX_LOGS; i++) {
		free(plot.curves[i].x);
		free(plot.curves[i].y);
		free(words[i]);
	}
	bd_arguments_finish(&arguments);
	return status;
}
