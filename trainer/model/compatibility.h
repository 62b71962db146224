/*
 * compatibility.h - whose definition counts where the frameworks differ.
 *
 * Keras 2, Keras 3, TensorFlow 1 and PyTorch use one name for different formulas (RMSprop's epsilon, batch normalisation's moving
 * variance, a clipped cross-entropy, MobileNet's padding). The default is Keras 3; a layer, base or optimizer may choose another.
 */
#ifndef BD_MODEL_COMPATIBILITY_H
#define BD_MODEL_COMPATIBILITY_H

enum bd_compatibility {
	BD_KERAS3 = 0,
	BD_KERAS2 = 1,
	BD_TF1 = 2,
	BD_TORCH = 3,
};

/* The words of model files, in the order of the enum, NULL at the end: for bd_yaml_get_choice. */
#define BD_COMPATIBILITY_NAMES                                                                                                     \
	{                                                                                                                          \
		"keras3", "keras2", "tf1", "torch", NULL                                                                           \
	}

#endif
