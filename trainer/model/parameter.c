#include "trainer/model/parameter.h"

#include <math.h>

#include "common/base/random.h"

/* Keras' VarianceScaling: the standard deviation of a normal cut at two, over that of the uncut one. */
#define CUT_NORMAL 0.87962566103423978

static void fill(struct bd_parameter *parameter, float value)
{
	for (size_t i = 0; i < parameter->count; i++)
		parameter->value[i] = value;
}

static void fill_uniform(struct bd_parameter *parameter, struct bd_random *random, double limit)
{
	for (size_t i = 0; i < parameter->count; i++)
		parameter->value[i] = (float)bd_random_uniform(random, -limit, limit);
}

static void fill_normal(struct bd_parameter *parameter, struct bd_random *random, double deviation)
{
	for (size_t i = 0; i < parameter->count; i++) {
		double draw;
		do
			draw = bd_random_normal(random);
		while (fabs(draw) > 2);
		parameter->value[i] = (float)(draw * deviation / CUT_NORMAL);
	}
}

void bd_parameter_initialize(struct bd_parameter *parameter, uint64_t seed, uint64_t key)
{
	struct bd_random random = bd_random_of(seed, key, 0);
	double in = parameter->fan_in > 0 ? (double)parameter->fan_in : 1,
	       out = parameter->fan_out > 0 ? (double)parameter->fan_out : 1;
	switch (parameter->initializer) {
	case BD_INITIALIZER_GLOROT_UNIFORM:
		fill_uniform(parameter, &random, sqrt(6 / (in + out)));
		break;
	case BD_INITIALIZER_GLOROT_NORMAL:
		fill_normal(parameter, &random, sqrt(2 / (in + out)));
		break;
	case BD_INITIALIZER_HE_UNIFORM:
		fill_uniform(parameter, &random, sqrt(6 / in));
		break;
	case BD_INITIALIZER_HE_NORMAL:
		fill_normal(parameter, &random, sqrt(2 / in));
		break;
	case BD_INITIALIZER_LECUN_UNIFORM:
		fill_uniform(parameter, &random, sqrt(3 / in));
		break;
	case BD_INITIALIZER_LECUN_NORMAL:
		fill_normal(parameter, &random, sqrt(1 / in));
		break;
	case BD_INITIALIZER_ZEROS:
		fill(parameter, 0);
		break;
	case BD_INITIALIZER_ONES:
		fill(parameter, 1);
		break;
	}
}
