/*
 * svg.h - the parts of the picture, each drawn from `top` down and telling where it ends.
 */
#ifndef HOSTMEM_MAP_SVG_H
#define HOSTMEM_MAP_SVG_H

#include "tools/map/map.h"

enum { SVG_WIDTH = 1200, SVG_MARGIN = 32 };

double svg_map(FILE *out, const struct published_half *half, double top);

#endif
