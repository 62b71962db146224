/*
 * test.h - cmocka with the headers that it forgets to include.
 *
 * A test file is tests/unit/ROOM/test_NOUN.c with a main; its functions are named condition_is_outcome.
 */
#ifndef BD_TESTS_UNIT_TEST_H
#define BD_TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
