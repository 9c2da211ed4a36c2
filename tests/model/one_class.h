/*
 * one_class.h - before production files of heaps in a model program: their assertions are the explorer's, and there is one class,
 * and sets of one segment. What there is more of is only more of the same.
 */
#ifndef HM_TEST_ONE_CLASS_H
#define HM_TEST_ONE_CLASS_H

#include "explore.h"

#include "base/base.h"
#undef HM_ASSERT
#define HM_ASSERT(condition) MODEL_HOLDS(condition)
#include "heap/classes.h"
#include "heap/set.h"
#undef CLASS_COUNT
#define CLASS_COUNT 1u
#undef SET_SEGMENTS
#define SET_SEGMENTS 1u

#endif
