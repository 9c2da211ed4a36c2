/*
 * environment.h - sets a variable of the environment, as the program's host would have before it started.
 */
#ifndef HM_TEST_ENVIRONMENT_H
#define HM_TEST_ENVIRONMENT_H

#include <stdlib.h>

static inline void environment_set(const char *name, const char *value) {
#ifdef _WIN32
    _putenv_s(name, value);
#else
    setenv(name, value, 1);
#endif
}

#endif
