/*
 * commands.h - the subcommands of batchctl: one file each, named after it.
 *
 * Each takes argv from its own name on and returns an exit status.
 */
#ifndef BD_BATCHCTL_COMMANDS_H
#define BD_BATCHCTL_COMMANDS_H

#define BD_BATCHCTL "batchctl"

int bd_command_status(int argc, char **argv);
int bd_command_streams(int argc, char **argv);
int bd_command_metrics(int argc, char **argv);
int bd_command_bench(int argc, char **argv);
int bd_command_preview(int argc, char **argv);
int bd_command_top(int argc, char **argv);
int bd_command_datasets(int argc, char **argv);
int bd_command_drain(int argc, char **argv);
int bd_command_read(int argc, char **argv);

#endif
