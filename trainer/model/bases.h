/*
 * bases.h - the nets that a model may begin with, as tables of layers: VGG16, SqueezeNet 1.1, MobileNet V1, each without its top.
 *
 * Layers are named as keras.applications names them (SqueezeNet: as in the weight files of keras-squeezenet), so that Keras' weight
 * files fit by name. Sources: keras/src/applications/vgg16.py and mobilenet.py; SqueezeNet 1.1: github.com/forresti/SqueezeNet.
 *   vgg16          block1_conv1 … block5_pool; 3x3 same convolutions with relu, 2x2 pools
 *   squeezenet1_1  conv1, pool1, fire2/… … fire9/concat; conv1 and the pools valid
 *   mobilenet      conv1 … conv_pw_13_relu, width times alpha. keras3: zero padding ((0,1),(0,1)) and valid where the depthwise stride is 2;
 *                  keras2, tf1: `same` everywhere (Keras up to 2.1, TF-Slim). The two differ where a side is odd.
 */
#ifndef BD_MODEL_BASES_H
#define BD_MODEL_BASES_H

#include <batchd/error.h>

#include "trainer/model/model.h"

/* "vgg16", "squeezenet1_1", "mobilenet", NULL */
extern const char *const bd_base_names[];

/*
 * Appends the layers of model->base (name, alpha, compatibility) to the still empty model, marks each as trainable or frozen
 * (base.trainable, base.trainable_from), and sets base_layer_count. -EINVAL: no such base, or no such layer to train from (with the nearest
 * name); -ENOMEM.
 */
BD_MUST_CHECK int bd_base_append(struct bd_model *model, struct bd_error *error);

#endif
