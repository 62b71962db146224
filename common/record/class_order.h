/*
 * class_order.h - names of classes that a person gives, beside those that the data has.
 *
 * Why: names given for a folder of pictures set the order of its classes, as in Keras. A name that is not among the
 * data's is refused: taken as another name for a class it would exchange two classes without a word.
 */
#ifndef BD_RECORD_CLASS_ORDER_H
#define BD_RECORD_CLASS_ORDER_H

#include <stddef.h>

#include <batchd/error.h>

/*
 * ret_numbers (count): the number among `wanted` of each class of `classes`. Both lists hold the same names, each once; else
 * -EINVAL, which names the first that the other list lacks. -ENOMEM.
 */
BD_MUST_CHECK int bd_class_order(char *const *classes, size_t count, char *const *wanted, size_t wanted_count, size_t *ret_numbers,
                                 struct bd_error *error);

/*
 * One line on the first two names that differ in blanks or case only ("cat" and " cat": a slip of whoever wrote them), of
 * ASCII. Returns 1, 0 where there are none, or -ENOMEM.
 */
BD_MUST_CHECK int bd_class_names_alike(char *const *classes, size_t count, char *ret_text, size_t size, struct bd_error *error);

#endif
