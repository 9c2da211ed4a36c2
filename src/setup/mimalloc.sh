#!/usr/bin/env bash
# Fetches the source of mimalloc 2.0.9 and unpacks it to CACHE/mimalloc-2.0.9. Debian's binary package replaces malloc, so it
# cannot stand behind a memory manager; the source can.
set -eu
exec bash "${0%/*}/source.sh" mimalloc 2.0.9 mimalloc_2.0.9+ds.orig.tar.xz \
    cbc9d207ff105ad1f0cb739c378076143a6452b8d0624309cea0abfb040e972b src/static.c
