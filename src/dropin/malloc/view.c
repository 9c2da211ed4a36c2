/*
 * view.c - a preloaded program publishes a view of itself if the environment asks for it.
 */
#include "policy/view.h"

__attribute__((constructor)) static void publish_if_asked(void) {
    view_start_if_asked();
}
