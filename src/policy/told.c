/*
 * told.c - the words of told.h.
 */
#include "policy/told.h"

uint64_t told_views, told_view_bytes, told_callbacks, told_pleas;
uint32_t told_level;
