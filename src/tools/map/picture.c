/*
 * picture.c - what surrounds the map: the title, four figures, the legend, how full the slabs are, and what lies outside the
 * regions.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/map/map.h"
#include "tools/map/svg.h"

enum { INNER = SVG_WIDTH - 2 * SVG_MARGIN, CLASSES_SHOWN = 24, OUTSIDE_SHOWN = 16 };

static const char style[] =
    ":root{--p:#fcfcfb;--i:#1d2229;--n:#68717d;--w:#f1f2f4;--e:#e1e4e8;--f:#f3f4f6;--a:#2f7de1;--s:#2c9a63;--l:#e08a1e;--k:#"
    "9277d4;"
    "--r0:#c8382f;--r1:#dd6a4c;--r2:#e9a07c;--r3:#d9c4b4;--r4:#d5d8dc;--r5:#e6e8eb}\n"
    "@media "
    "(prefers-color-scheme:dark){:root{--p:#14171b;--i:#e8eaed;--n:#98a1ad;--w:#1d2127;--e:#323841;--f:#1c2026;--a:#4b93ec;"
    "--s:#3fb27a;--l:#eba043;--k:#a78fe0;--r3:#6d5f56;--r4:#3c424b;--r5:#2a2f37}}\n"
    "text{font:12px system-ui,'Segoe UI',Roboto,sans-serif;fill:var(--i)}.t{font-size:26px;font-weight:650}.n,.g{fill:var(--n)}"
    ".g{font-size:11px}.h{font-size:15px;font-weight:600}.b{font-size:20px;font-weight:600}"
    ".m{font:10px ui-monospace,Menlo,Consolas,monospace;fill:var(--n)}.p{fill:var(--p)}.w{fill:var(--w)}.e{fill:var(--e)}"
    ".gap{stroke:var(--e);stroke-dasharray:2 4}.g{paint-order:stroke;stroke:var(--p);stroke-width:7px;stroke-linejoin:round}"
    ".f{fill:var(--f)}.a,.at{fill:var(--a)}.s,.st{fill:var(--s)}.l,.lt{fill:var(--l)}.k,.kt{fill:var(--k)}"
    ".at,.st,.lt,.kt{opacity:.3}.r0{fill:var(--r0)}.r1{fill:var(--r1)}.r2{fill:var(--r2)}.r3{fill:var(--r3)}.r4{fill:var(--r4)}"
    ".r5{fill:var(--r5)}";

static double share(uint64_t part, uint64_t whole) { return whole ? (double)part / (double)whole : 0; }

/* The program's name is the process's own choice: what means something to XML, or nothing, is written as XML wants it. */
static void put_text(FILE *out, const char *text) {
    for (size_t length; *text; text += length != 0 ? length : 1) {
        length = utf8_length(text);
        if (length == 0)
            fputs("\uFFFD", out);
        else if (*text == '<')
            fputs("&lt;", out);
        else if (*text == '&')
            fputs("&amp;", out);
        else if ((unsigned char)*text >= 0x20)
            fwrite(text, 1, length, out);
    }
}

/* A bar of one or two parts. */
static void bar(FILE *out, double x, double y, double width, char one, double first, char two, double second) {
    double a = first * width, b = second * width;
    fprintf(out, "<rect class=\"e\" x=\"%.5g\" y=\"%.5g\" width=\"%.5g\" height=\"6\" rx=\"3\"/>", x, y, width);
    if (a + b > 0.5) {
        fprintf(out, "<rect class=\"%c\" x=\"%.5g\" y=\"%.5g\" width=\"%.5g\" height=\"6\" rx=\"3\"/>", b > 0 ? two : one, x, y,
                a + b);
    }
    if (b > 0 && a > 0.5) {
        fprintf(out, "<path class=\"%c\" d=\"M%.5g %.5gh%.5gv6h-%.5ga3 3 0 0 1 0-6z\"/>", one, x + 3, y, a > 3 ? a - 3 : 0,
                a > 3 ? a - 3 : 0);
    }
    fputc('\n', out);
}

struct tile {
    const char *name, *rest;
    uint64_t bytes;
    char one, two;
    double first, second;
};

static void draw_tile(FILE *out, const struct tile *tile, int n, double top) {
    double width = (INNER - 3 * 16) / 4.0, x = SVG_MARGIN + n * (width + 16);
    char bytes[24];
    fprintf(out, "<rect class=\"w\" x=\"%.5g\" y=\"%.5g\" width=\"%.5g\" height=\"92\" rx=\"8\"/>", x, top, width);
    fprintf(out, "<text class=\"n\" x=\"%.5g\" y=\"%.5g\">%s</text>", x + 16, top + 24, tile->name);
    fprintf(out, "<text class=\"b\" x=\"%.5g\" y=\"%.5g\">%s</text>", x + 16, top + 49, look_bytes(tile->bytes, bytes));
    fprintf(out, "<text class=\"n\" x=\"%.5g\" y=\"%.5g\" text-anchor=\"end\">%s</text>\n", x + width - 16, top + 49, tile->rest);
    bar(out, x + 16, top + 66, width - 32, tile->one, tile->first, tile->two, tile->second);
}

static double draw_tiles(FILE *out, const struct published_totals *t, double top) {
    char a[24], reserved[64], taken[64], kept[64], regions[64];
    uint64_t cached = t->cached_block_bytes + t->cached_span_bytes, space = t->granules_taken * GRANULE_BYTES;
    snprintf(reserved, sizeof reserved, "of %s reserved", look_bytes(t->reserved_bytes, a));
    snprintf(taken, sizeof taken, "of %s taken", look_bytes(t->heap_bytes, a));
    snprintf(kept, sizeof kept, "by %" PRIu64 " thread%s", t->thread_caches, t->thread_caches == 1 ? "" : "s");
    snprintf(regions, sizeof regions, "in %" PRIu64 " region%s", t->regions, t->regions == 1 ? "" : "s");
    const struct tile tiles[] = {
        {"Allocations, committed", reserved, t->committed_bytes, 'a', 0, share(t->committed_bytes, t->reserved_bytes), 0},
        {"Blocks in use", taken, t->live_bytes, 's', 'k', share(t->live_bytes, t->heap_bytes),
         share(t->cached_block_bytes, t->heap_bytes)},
        {"Freed, kept at hand", kept, cached, 'k', 0, share(cached, space), 0},
        {"Address space used", regions, space, 'l', 0, share(space, t->region_bytes), 0},
    };
    for (int i = 0; i < 4; i++) draw_tile(out, &tiles[i], i, top);
    return top + 92;
}

static double draw_legend(FILE *out, double top) {
    static const struct {
        char of;
        const char *name;
        int width;
    } key[] = {{'a', "allocation", 110},
               {'s', "slab", 74},
               {'l', "large block", 112},
               {'k', "kept at hand", 116},
               {'f', "free", 70}};
    double x = SVG_MARGIN;
    for (size_t i = 0; i < sizeof key / sizeof *key; i++) {
        fprintf(out, "<rect class=\"%c\" x=\"%.5g\" y=\"%.5g\" width=\"12\" height=\"12\" rx=\"2\"/>", key[i].of, x, top);
        fprintf(out, "<text x=\"%.5g\" y=\"%.5g\">%s</text>\n", x + 19, top + 10.5, key[i].name);
        x += key[i].width;
    }
    fprintf(out,
            "<text class=\"n\" x=\"%d\" y=\"%.5g\" text-anchor=\"end\">strips are spans; filled as far as pages are committed, "
            "of slabs"
            " as far as blocks are taken</text>\n",
            SVG_WIDTH - SVG_MARGIN, top + 10.5);
    return top + 12;
}

/* ---- Slabs, and the rest ------------------------------------------------------------------------------------------- */

static int by_slab_bytes(const void *left, const void *right) {
    const struct published_class *a = left, *b = right;
    if (a->slab_bytes != b->slab_bytes) return a->slab_bytes < b->slab_bytes ? 1 : -1;
    return a->size_bytes < b->size_bytes ? -1 : a->size_bytes > b->size_bytes;
}

static void draw_class(FILE *out, const struct published_class *row, double x, double y) {
    char size[32] = "large", bytes[24];
    if (row->size_bytes != 0) snprintf(size, sizeof size, "%" PRIu64, row->size_bytes);
    fprintf(out, "<text x=\"%.5g\" y=\"%.5g\" text-anchor=\"end\">%s</text>", x + 50, y + 8, size);
    bar(out, x + 62, y + 1, 320, 's', share(row->live, row->room), 'k', share(row->cached, row->room));
    fprintf(out, "<text class=\"n\" x=\"%.5g\" y=\"%.5g\" text-anchor=\"end\">%.0f %%</text>", x + 430, y + 8,
            share(row->live, row->room) * 100);
    fprintf(out, "<text class=\"n\" x=\"%.5g\" y=\"%.5g\" text-anchor=\"end\">%s</text>\n", x + 520, y + 8,
            look_bytes(row->slab_bytes, bytes));
}

static double draw_classes(FILE *out, const struct published_half *half, double top) {
    struct published_class row[PUBLISHED_CLASSES];
    size_t used = 0;
    for (unsigned i = 0; i < PUBLISHED_CLASSES; i++) {
        if (half->row[i].slabs != 0) row[used++] = half->row[i];
    }
    if (used == 0) return top;
    qsort(row, used, sizeof *row, by_slab_bytes);
    fprintf(out, "<text class=\"h\" x=\"%d\" y=\"%.5g\">How full the slabs are</text>", SVG_MARGIN, top + 16);
    fprintf(out,
            "<text class=\"n\" x=\"%d\" y=\"%.5g\" text-anchor=\"end\">by size class in bytes, the largest first; blocks in use, "
            "kept at"
            " hand, free</text>\n",
            SVG_WIDTH - SVG_MARGIN, top + 16);
    size_t shown = used < CLASSES_SHOWN ? used : CLASSES_SHOWN, half_way = (shown + 1) / 2;
    for (size_t i = 0; i < shown; i++) {
        double x = i < half_way ? SVG_MARGIN : SVG_MARGIN + INNER - 520;
        draw_class(out, &row[i], x, top + 36 + (double)(i % half_way) * 20);
    }
    top += 36 + (double)half_way * 20;
    if (used > shown)
        fprintf(out, "<text class=\"n\" x=\"%d\" y=\"%.5g\">and %zu more</text>\n", SVG_MARGIN, (top += 14) - 2, used - shown);
    return top;
}

static double draw_outside(FILE *out, const struct published_half *half, double top) {
    uint64_t held = half->count_spans < PUBLISHED_SPANS ? half->count_spans : PUBLISHED_SPANS;
    uint64_t shown = held < OUTSIDE_SHOWN ? held : OUTSIDE_SHOWN;
    char a[24], b[24];
    if (half->count_spans == 0) return top;
    fprintf(out, "<text class=\"h\" x=\"%d\" y=\"%.5g\">Outside the regions</text>\n", SVG_MARGIN, top + 16);
    top += 36;
    for (uint64_t i = 0; i < shown; i++, top += 20) {
        const struct published_span *span = &half->span[i];
        fprintf(out, "<text class=\"m\" x=\"%d\" y=\"%.5g\">%012" PRIx64 "</text>", SVG_MARGIN, top + 8, span->start);
        bar(out, SVG_MARGIN + 112, top + 1, 700, 'a', share(span->committed_bytes, span->size_bytes), 0, 0);
        fprintf(out, "<text class=\"n\" x=\"%d\" y=\"%.5g\" text-anchor=\"end\">%s of %s committed</text>\n",
                SVG_WIDTH - SVG_MARGIN, top + 8, look_bytes(span->committed_bytes, a), look_bytes(span->size_bytes, b));
    }
    if (half->count_spans > shown) {
        fprintf(out, "<text class=\"n\" x=\"%d\" y=\"%.5g\">and %" PRIu64 " more</text>\n", SVG_MARGIN, top + 8,
                half->count_spans - shown);
        top += 20;
    }
    return top;
}

/* The height stands in front of the picture and is known at its end: the body is written to memory first. */
static double draw_body(FILE *out, const struct look *look, const struct published_half *half) {
    fprintf(out, "<text class=\"t\" x=\"%d\" y=\"54\">", SVG_MARGIN);
    put_text(out, look->program);
    fprintf(out,
            "</text>\n<text class=\"n\" x=\"%d\" y=\"54\" text-anchor=\"end\">process %" PRIu64
            ", mapped by hostmem-map</text>\n",
            SVG_WIDTH - SVG_MARGIN, look->process);
    double top = draw_tiles(out, &half->totals, 76);
    top = draw_legend(out, top + 24);
    if (half->count_regions > 0) top = svg_map(out, half, top + 28);
    top = draw_classes(out, half, top + 26);
    return draw_outside(out, half, top + 26) + SVG_MARGIN;
}

static bool copy_file(FILE *from, FILE *to) {
    char piece[4096];
    size_t length;
    rewind(from);
    while ((length = fread(piece, 1, sizeof piece, from)) > 0) fwrite(piece, 1, length, to);
    return !ferror(from);
}

bool svg_draw(const struct look *look, const struct published_half *half, FILE *out) {
    FILE *body = tmpfile();
    if (body == NULL) return false;
    double height = draw_body(body, look, half);
    bool whole = fflush(body) == 0 && !ferror(body);
    fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" width=\"%d\" height=\"%.0f\">\n<title>",
            SVG_WIDTH, height, SVG_WIDTH, height);
    put_text(out, look->program);
    fprintf(out, ", mapped by hostmem-map</title>\n<style>%s</style>\n<rect class=\"p\" width=\"100%%\" height=\"100%%\"/>\n",
            style);
    whole = whole && copy_file(body, out);
    fputs("</svg>\n", out);
    fclose(body);
    return whole;
}
