/*
 * picture_classes.h - the order and the names that a person gives the classes of a list of pictures.
 *
 * Why: `--classes` sets the order of a folder's or a list's classes, as Keras' class_names does. New names are another wish
 * (`--rename-classes`): names that were taken for them without being asked for would exchange two classes in silence.
 */
#ifndef BD_TOOLS_TFRECORD_PICTURE_CLASSES_H
#define BD_TOOLS_TFRECORD_PICTURE_CLASSES_H

#include <batchd/error.h>

#include "tools/tfrecord/picture_list.h"

/* `names`: "A,B,C", the names of the list's classes in the order of their new numbers. -EINVAL: they are not its names; -ENOMEM. */
BD_MUST_CHECK int bd_picture_classes_order(struct bd_picture_list *list, const char *names, struct bd_error *error);

/* `names`: "A,B,C", a new name for each class in the order of their numbers. -EINVAL: not one for one, empty or twice; -ENOMEM. */
BD_MUST_CHECK int bd_picture_classes_rename(struct bd_picture_list *list, const char *names, struct bd_error *error);

#endif
