/*
 * image_text.h - the options of a picture as the YAML mapping that bd_image_options_parse reads, on one line.
 *
 * Why: a client that shows or describes a batch needs the mean, scale and channel order that the values went through; the schema
 * carries them in the words of the dataset file.
 */
#ifndef BD_DATA_IMAGE_TEXT_H
#define BD_DATA_IMAGE_TEXT_H

#include "common/image/image_options.h"

/* To be freed by the caller; NULL where memory is out. */
char *bd_image_text(const struct bd_image_options *options);

#endif
