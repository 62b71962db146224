#include "common/record/damage.h"

const char *bd_damage_name(enum bd_damage damage)
{
	static const char *const names[] = { "none", "length CRC", "data CRC", "truncated", "compression", "no TFRecord" };
	return names[damage];
}
