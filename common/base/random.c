#include "common/base/random.h"

#include <math.h>

double bd_random_normal(struct bd_random *random)
{
	double u = 1.0 - bd_random_unit(bd_random_next(random)); /* (0, 1]: its logarithm is finite */
	double angle = 6.283185307179586 * bd_random_unit(bd_random_next(random));
	return sqrt(-2.0 * log(u)) * cos(angle);
}
