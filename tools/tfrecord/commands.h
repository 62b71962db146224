/* commands.h - one function a subcommand of `tfrecord`; each takes argv from its own name on and returns an exit status. */
#ifndef BD_TOOLS_TFRECORD_COMMANDS_H
#define BD_TOOLS_TFRECORD_COMMANDS_H

int bd_tfrecord_convert(int argc, char **argv);
int bd_tfrecord_info(int argc, char **argv);
int bd_tfrecord_cat(int argc, char **argv);
int bd_tfrecord_verify(int argc, char **argv);
int bd_tfrecord_index(int argc, char **argv);

#endif
