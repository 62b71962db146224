/*
 * options.h - the command line of every program, from one table a command.
 *
 * Long options stand anywhere, as `--name value` or `--name=value`; `--` ends them. --help, --version, --json and --quiet are
 * every command's. --help is made from the table. A wrong option names the nearest right one:
 *
 *   batchctl bench: unknown option '--shufle'; did you mean '--shuffle'?
 *
 * Exit statuses of all programs: enum bd_exit. Threads: none; called once at the start.
 */
#ifndef BD_BASE_OPTIONS_H
#define BD_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

enum bd_exit { BD_EXIT_DONE = 0, BD_EXIT_FAILED = 1, BD_EXIT_USAGE = 2, BD_EXIT_INTERRUPTED = 130 };

enum bd_option_kind {
	BD_OPTION_FLAG, /* bool */
	BD_OPTION_TEXT, /* const char *, borrowed from argv */
	BD_OPTION_U64, /* uint64_t between minimum and maximum (0: no maximum) */
	BD_OPTION_I64, /* int64_t */
	BD_OPTION_DOUBLE, /* double */
	BD_OPTION_SIZE, /* uint64_t, bytes */
	BD_OPTION_DURATION, /* uint64_t, nanoseconds */
	BD_OPTION_SHAPE, /* uint32_t[2]: height, width */
	BD_OPTION_CHOICE, /* int: index into `choices` */
	BD_OPTION_LIST, /* struct bd_option_list: may be given several times */
};

struct bd_option_list {
	const char **items; /* borrowed from argv; freed by bd_arguments_finish of the command that filled it */
	size_t count;
};

struct bd_option {
	const char *name; /* without the hyphens */
	enum bd_option_kind kind;
	void *value; /* written when given; holds the default before */
	const char *argument; /* what stands in --help: "STEPS"; NULL for flags */
	const char *help; /* one line */
	bool *given; /* may be NULL */
	const char *const *choices; /* CHOICE: NULL-terminated */
	uint64_t minimum, maximum; /* U64 */
	bool two_words; /* LIST: takes two words, --idx IMAGES LABELS */
	bool tells_default; /* U64, CHOICE: --help ends with what *value holds then */
};

/* Options come in groups, so that commands share them (the stream options). */
struct bd_option_group {
	const char *title; /* "Stream options"; NULL for the command's own */
	const struct bd_option *options;
	size_t count;
};

#define BD_OPTION_GROUPS_MAX 6

struct bd_command {
	const char *program, *name; /* "batchctl", "bench"; name NULL where the program has no sub-commands */
	const char *usage; /* "DATASET [options]" */
	const char *summary; /* a sentence or a few lines */
	struct bd_option_group groups[BD_OPTION_GROUPS_MAX];
	size_t minimum_words, maximum_words; /* maximum 0: none are taken; SIZE_MAX: any number */
};

struct bd_arguments {
	const char **words; /* what is no option, in order; borrowed from argv */
	size_t word_count;
	bool json, quiet;
	bool done; /* --help or --version was printed: exit with BD_EXIT_DONE */
	struct bd_option_list **lists;
	size_t list_count;
};

/* Returns 0 or -EINVAL (exit with BD_EXIT_USAGE) or -ENOMEM; after 0 bd_arguments_finish is owed. */
BD_MUST_CHECK int bd_command_parse(const struct bd_command *command, int argc, char **argv, struct bd_arguments *ret_arguments,
                                   struct bd_error *error);
void bd_arguments_finish(struct bd_arguments *arguments);

/*
 * A program with sub-commands. `run` gets argv from its own name on and returns an exit status. Options may also stand before the
 * command's name: argv is put in order.
 */
struct bd_subcommand {
	const char *name, *summary;
	int (*run)(int argc, char **argv);
};

int bd_subcommand_run(const char *program, const char *summary, const struct bd_subcommand *commands, size_t count, int argc,
                      char **argv);

/* "PROGRAM: text" on standard error. */
void bd_print_error(const char *program, const struct bd_error *error);

/* "PROGRAM: note" each on standard error: what a person may want to know and --quiet leaves out. Control characters become '?'. */
void bd_print_notes(const char *program, const char *const *notes, size_t count);

/* Prints the error with the command's name and returns the exit status for `code`: 2 for what bd_command_parse refused. */
int bd_usage_error(const struct bd_command *command, const struct bd_error *error);

#endif
