/*
 * earlier_set.h - the files of an earlier run of the same name, kept until the new ones are all there.
 *
 * Why: `convert --force` replaces many files. Each rename can fail and the process can be killed between any two of them; at
 * every moment either the earlier set or the new one can be had whole. The earlier files are moved into a hidden folder beside them,
 * whose name says how far the run has come:
 *
 *   .NAME.moving   some of them may still lie in the output folder                 -> the next run moves them back
 *   .NAME.old      all are moved; files of the name are part of a new set          -> the next run removes those, moves them back
 *   .NAME.done     the new set is whole                                            -> the next run removes them
 *
 * Threads: one. Two runs that write the same name at the same time are not told apart.
 */
#ifndef BD_TOOLS_TFRECORD_EARLIER_SET_H
#define BD_TOOLS_TFRECORD_EARLIER_SET_H

#include <batchd/error.h>

struct bd_earlier_set;

/* Ends what an earlier run left half done. The folder need not exist. -ENOMEM, or -errno of looking or of putting back. */
BD_MUST_CHECK int bd_earlier_set_open(const char *folder, const char *name, struct bd_earlier_set **ret_set,
                                      struct bd_error *error);

/* Takes NULL. Nothing is moved. */
void bd_earlier_set_destroy(struct bd_earlier_set *set);

/* The name of one of the files that lay there when it was opened, a shard or the dataset file; NULL: there were none. */
const char *bd_earlier_set_file(const struct bd_earlier_set *set);

/* Moves the files aside. After a failure they are back, or the text says where they are. */
BD_MUST_CHECK int bd_earlier_set_move(struct bd_earlier_set *set, struct bd_error *error);

/* The new set is whole and synced: from now on the earlier one is not put back. After a failure it is put back by bd_earlier_set_restore. */
BD_MUST_CHECK int bd_earlier_set_commit(struct bd_earlier_set *set, struct bd_error *error);

/* Removes the files after the commit. A failure costs room on the disk until the next run. */
BD_MUST_CHECK int bd_earlier_set_drop(struct bd_earlier_set *set, struct bd_error *error);

/* Removes files of the name and moves the earlier ones back; does nothing where they were not moved. */
BD_MUST_CHECK int bd_earlier_set_restore(struct bd_earlier_set *set, struct bd_error *error);

#endif
