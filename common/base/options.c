#include "common/base/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/units.h"

static const struct bd_option *find(const struct bd_command *command, const char *name, size_t length)
{
	for (size_t g = 0; g < BD_OPTION_GROUPS_MAX; g++)
		for (size_t i = 0; i < command->groups[g].count; i++) {
			const struct bd_option *option = &command->groups[g].options[i];
			if (strlen(option->name) == length && !strncmp(option->name, name, length))
				return option;
		}
	return NULL;
}

static int unknown(const struct bd_command *command, const char *word, size_t length, struct bd_error *error)
{
	const char *names[256] = { "help", "version", "json", "quiet" };
	size_t count = 4;
	for (size_t g = 0; g < BD_OPTION_GROUPS_MAX; g++)
		for (size_t i = 0; i < command->groups[g].count && count + 1 < sizeof names / sizeof *names; i++)
			names[count++] = command->groups[g].options[i].name;
	char name[64];
	snprintf(name, sizeof name, "%.*s", (int)(length < 60 ? length : 60), word);
	const char *nearest = bd_nearest_word(name, names);
	if (nearest)
		return bd_error_set(error, -EINVAL, "unknown option '--%s'; did you mean '--%s'?", name, nearest);
	return bd_error_set(error, -EINVAL, "unknown option '--%s'; --help lists them", name);
}

static int choose(const struct bd_option *option, const char *text, struct bd_error *error)
{
	char list[256] = "";
	for (int i = 0; option->choices[i]; i++) {
		if (!strcmp(option->choices[i], text)) {
			*(int *)option->value = i;
			return 0;
		}
		snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", option->choices[i]);
	}
	return bd_error_set(error, -EINVAL, "'%s' is none of %s", text, list);
}

static bool list_append(struct bd_option_list *list, const char *item)
{
	const char **items = realloc(list->items, (list->count + 1) * sizeof *items);
	if (!items)
		return false;
	items[list->count++] = item;
	list->items = items;
	return true;
}

/* Parses `text` into the option's value. Lists are handled by their caller. */
static int take_value(const struct bd_option *option, const char *text, struct bd_error *error)
{
	uint32_t *shape = option->value;
	switch (option->kind) {
	case BD_OPTION_FLAG:
		*(bool *)option->value = true;
		return 0;
	case BD_OPTION_TEXT:
		*(const char **)option->value = text;
		return 0;
	case BD_OPTION_U64:
		return bd_parse_u64(text, option->minimum, option->maximum ? option->maximum : UINT64_MAX, option->value, error);
	case BD_OPTION_I64:
		return bd_parse_i64(text, INT64_MIN, INT64_MAX, option->value, error);
	case BD_OPTION_DOUBLE:
		return bd_parse_double(text, option->value, error);
	case BD_OPTION_SIZE:
		return bd_parse_size(text, option->value, error);
	case BD_OPTION_DURATION:
		return bd_parse_duration(text, option->value, error);
	case BD_OPTION_SHAPE:
		return bd_parse_shape(text, &shape[0], &shape[1], error);
	case BD_OPTION_CHOICE:
		return choose(option, text, error);
	case BD_OPTION_LIST:
		return list_append(option->value, text) ? 0 : bd_error_set(error, -ENOMEM, "no memory");
	}
	return bd_error_set(error, -EINVAL, "option kind %d", option->kind);
}

/* Lists are freed with the arguments, so the arguments remember which there are. */
static bool remember_list(struct bd_arguments *arguments, struct bd_option_list *list)
{
	for (size_t i = 0; i < arguments->list_count; i++)
		if (arguments->lists[i] == list)
			return true;
	struct bd_option_list **lists = realloc(arguments->lists, (arguments->list_count + 1) * sizeof *lists);
	if (!lists)
		return false;
	lists[arguments->list_count++] = list;
	arguments->lists = lists;
	return true;
}

static void print_option(const struct bd_option *option)
{
	char left[64];
	if (option->kind == BD_OPTION_CHOICE && !option->argument) {
		snprintf(left, sizeof left, "--%s ", option->name);
		for (int i = 0; option->choices[i]; i++)
			snprintf(left + strlen(left), sizeof left - strlen(left), "%s%s", i ? "|" : "", option->choices[i]);
	} else {
		snprintf(left, sizeof left, "--%s%s%s", option->name, option->argument ? " " : "",
		         option->argument ? option->argument : "");
	}
	if (strlen(left) > 28)
		printf("  %s\n  %-28s  %s", left, "", option->help);
	else
		printf("  %-28s  %s", left, option->help);
	if (option->tells_default && option->kind == BD_OPTION_CHOICE)
		printf(" (%s)", option->choices[*(const int *)option->value]);
	else if (option->tells_default && option->kind == BD_OPTION_U64)
		printf(" (%" PRIu64 ")", *(const uint64_t *)option->value);
	printf("\n");
}

static void print_help(const struct bd_command *command)
{
	printf("Usage: %s%s%s %s\n\n%s\n", command->program, command->name ? " " : "", command->name ? command->name : "",
	       command->usage, command->summary);
	for (size_t g = 0; g < BD_OPTION_GROUPS_MAX; g++) {
		const struct bd_option_group *group = &command->groups[g];
		if (group->count)
			printf("\n%s:\n", group->title ? group->title : "Options");
		for (size_t i = 0; i < group->count; i++)
			print_option(&group->options[i]);
	}
	printf("\nEvery command:\n"
	       "  %-28s  one JSON object a line on standard output, the last line is the result\n"
	       "  %-28s  no progress and no notes\n  %-28s  this text\n  %-28s  the version\n",
	       "--json", "--quiet", "--help", "--version");
}

/* The options that every command has. */
static bool take_common(const struct bd_command *command, const char *name, struct bd_arguments *arguments)
{
	if (!strcmp(name, "help"))
		print_help(command);
	else if (!strcmp(name, "version"))
		printf("%s %s\n", command->program, BD_VERSION);
	else if (!strcmp(name, "json"))
		arguments->json = true;
	else if (!strcmp(name, "quiet"))
		arguments->quiet = true;
	else
		return false;
	arguments->done = arguments->done || !strcmp(name, "help") || !strcmp(name, "version");
	return true;
}

static bool is_common(const char *name, size_t length)
{
	static const char *const names[] = { "help", "version", "json", "quiet" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strlen(names[i]) == length && !strncmp(names[i], name, length))
			return true;
	return false;
}

/* argv[*at] is an option; moves *at to its last word. */
static int take_option(const struct bd_command *command, int argc, char **argv, int *at, struct bd_arguments *arguments,
                       struct bd_error *error)
{
	const char *name = argv[*at] + 2, *equals = strchr(name, '=');
	size_t length = equals ? (size_t)(equals - name) : strlen(name);
	if (!equals && take_common(command, name, arguments))
		return 0;
	if (equals && is_common(name, length))
		return bd_error_set(error, -EINVAL, "--%.*s takes no value", (int)length, name);
	const struct bd_option *option = find(command, name, length);
	if (!option)
		return unknown(command, name, length, error);
	if (option->kind == BD_OPTION_FLAG && equals)
		return bd_error_set(error, -EINVAL, "--%s takes no value", option->name);
	if (option->kind == BD_OPTION_LIST && !remember_list(arguments, option->value))
		return bd_error_set(error, -ENOMEM, "no memory");
	const char *text = equals ? equals + 1 : NULL;
	if (option->kind == BD_OPTION_FLAG)
		*(bool *)option->value = true;
	for (int words = option->kind == BD_OPTION_FLAG ? 0 : option->two_words ? 2 : 1; words > 0; words--, text = NULL) {
		if (!text && *at + 1 >= argc)
			return bd_error_set(error, -EINVAL, "--%s needs %s", option->name,
			                    option->argument ? option->argument : "a value");
		if (!text)
			text = argv[++*at];
		int result = take_value(option, text, error);
		if (result) {
			bd_error_prefix(error, "--%s", option->name);
			return result;
		}
	}
	if (option->given)
		*option->given = true;
	return 0;
}

static int check_word_count(const struct bd_command *command, const struct bd_arguments *arguments, struct bd_error *error)
{
	if (arguments->word_count > command->maximum_words)
		return bd_error_set(error, -EINVAL, "'%s' is one word too many; usage: %s%s%s %s",
		                    arguments->words[command->maximum_words], command->program, command->name ? " " : "",
		                    command->name ? command->name : "", command->usage);
	if (arguments->word_count < command->minimum_words)
		return bd_error_set(error, -EINVAL, "something is missing; usage: %s%s%s %s", command->program,
		                    command->name ? " " : "", command->name ? command->name : "", command->usage);
	return 0;
}

int bd_command_parse(const struct bd_command *command, int argc, char **argv, struct bd_arguments *ret_arguments,
                     struct bd_error *error)
{
	struct bd_arguments arguments = { .words = calloc((size_t)argc + 1, sizeof *arguments.words) };
	int result = arguments.words ? 0 : bd_error_set(error, -ENOMEM, "no memory");
	bool only_words = false;
	for (int at = 1; !result && at < argc && !arguments.done; at++) {
		const char *word = argv[at];
		if (only_words || word[0] != '-' || !word[1])
			arguments.words[arguments.word_count++] = word;
		else if (!strcmp(word, "--"))
			only_words = true;
		else if (!strcmp(word, "-h"))
			arguments.done = take_common(command, "help", &arguments);
		else if (word[1] != '-')
			result = bd_error_set(error, -EINVAL,
			                      "unknown option '%s'; options begin with two hyphens, --help lists them", word);
		else
			result = take_option(command, argc, argv, &at, &arguments, error);
	}
	if (!result && !arguments.done)
		result = check_word_count(command, &arguments, error);
	if (result) {
		bd_arguments_finish(&arguments);
		return result;
	}
	*ret_arguments = arguments;
	return 0;
}

void bd_arguments_finish(struct bd_arguments *arguments)
{
	for (size_t i = 0; i < arguments->list_count; i++) {
		free(arguments->lists[i]->items);
		*arguments->lists[i] = (struct bd_option_list){ 0 };
	}
	free(arguments->lists);
	free(arguments->words);
	*arguments = (struct bd_arguments){ 0 };
}

static const struct bd_subcommand *find_subcommand(const struct bd_subcommand *commands, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* Options may stand before the command: its name is the first word that is one, and goes to the front. */
static void command_to_front(const struct bd_subcommand *commands, size_t count, int argc, char **argv)
{
	int at = 1;
	while (at < argc && !find_subcommand(commands, count, argv[at]))
		at++;
	if (at >= argc || argv[1][0] != '-')
		return;
	char *name = argv[at];
	memmove(argv + 2, argv + 1, ((size_t)at - 1) * sizeof *argv);
	argv[1] = name;
}

static int refuse_subcommand(const char *program, const struct bd_subcommand *commands, size_t count, const char *name)
{
	const char *names[64] = { NULL };
	for (size_t i = 0; i < count && i + 1 < sizeof names / sizeof *names; i++)
		names[i] = commands[i].name;
	const char *nearest = name[0] == '-' ? NULL : bd_nearest_word(name, names);
	struct bd_error error;
	if (name[0] == '-')
		bd_error_set(&error, -EINVAL, "no command is given; --help lists them");
	else
		bd_error_set(&error, -EINVAL, "unknown command '%s'%s%s%s", name,
		             nearest ? "; did you mean '" : "; --help lists them", nearest ? nearest : "", nearest ? "'?" : "");
	bd_print_error(program, &error);
	return BD_EXIT_USAGE;
}

int bd_subcommand_run(const char *program, const char *summary, const struct bd_subcommand *commands, size_t count, int argc,
                      char **argv)
{
	command_to_front(commands, count, argc, argv);
	const char *name = argc > 1 ? argv[1] : "--help";
	const struct bd_subcommand *command = find_subcommand(commands, count, name);
	if (command)
		return command->run(argc - 1, argv + 1);
	if (!strcmp(name, "--version")) {
		printf("%s %s\n", program, BD_VERSION);
		return BD_EXIT_DONE;
	}
	bool help = argc > 1 && (!strcmp(name, "--help") || !strcmp(name, "-h"));
	if (argc > 1 && !help)
		return refuse_subcommand(program, commands, count, name);
	FILE *out = help ? stdout : stderr;
	fprintf(out, "Usage: %s COMMAND ...\n\n%s\n\nCommands (COMMAND --help says more):\n", program, summary);
	for (size_t i = 0; i < count; i++)
		fprintf(out, "  %-12s  %s\n", commands[i].name, commands[i].summary);
	return help ? BD_EXIT_DONE : BD_EXIT_USAGE;
}

void bd_print_error(const char *program, const struct bd_error *error)
{
	fflush(stdout);
	fprintf(stderr, "%s: %s\n", program, error->text);
}

void bd_print_notes(const char *program, const char *const *notes, size_t count)
{
	struct bd_error line;
	for (size_t i = 0; i < count; i++) {
		bd_error_set(&line, -EINVAL, "%s", notes[i]);
		bd_print_error(program, &line);
	}
}

int bd_usage_error(const struct bd_command *command, const struct bd_error *error)
{
	char name[64];
	snprintf(name, sizeof name, "%s%s%s", command->program, command->name ? " " : "", command->name ? command->name : "");
	bd_print_error(name, error);
	return error->code == -ENOMEM ? BD_EXIT_FAILED : BD_EXIT_USAGE;
}
