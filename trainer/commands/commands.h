/*
 * commands.h - the commands of batchtrain, one file each.
 *
 * Each takes the words behind the program's name (argv[0] is the command) and returns the exit status
 * (enum bd_exit): what it has to say for programs goes to stdout as JSON lines, for people to stderr.
 */
#ifndef BD_COMMANDS_COMMANDS_H
#define BD_COMMANDS_COMMANDS_H

int bd_train_command(int argc, char **argv);
int bd_evaluate_command(int argc, char **argv);
int bd_predict_command(int argc, char **argv);
int bd_export_command(int argc, char **argv);
int bd_summary_command(int argc, char **argv);
int bd_plot_command(int argc, char **argv);

#endif
