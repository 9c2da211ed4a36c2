/*
 * record.c - writes a record: what machine it was, and a line for each figure with its values, round by round. Values keep five
 * digits, more than any clock here is worth; so a record of a full run stays small enough to be kept beside the source.
 */
#include "bench/table/record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void print_text(FILE *file, const char *text) {
    fputc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') fputc('\\', file);
        fputc((unsigned char)*text < ' ' ? ' ' : *text, file);
    }
    fputc('"', file);
}

static void print_series(FILE *file, const struct series *series) {
    fputs("{\"system\": ", file);
    print_text(file, series->system);
    fputs(", \"peer\": ", file);
    print_text(file, series->peer);
    fputs(", \"benchmark\": ", file);
    print_text(file, series->benchmark);
    fputs(", \"figure\": ", file);
    print_text(file, series->name);
    fputs(", \"values\": [", file);
    int most = 0;
    for (size_t i = 0; i < series->count; i++)
        if (series->round[i] > most) most = series->round[i];
    for (int round = 1; round <= most; round++) { /* null where a round failed: rounds are paired when records are compared */
        const double *value = NULL;
        for (size_t i = 0; i < series->count; i++)
            if (series->round[i] == round) value = &series->value[i];
        if (value != NULL) fprintf(file, "%s%.5g", round > 1 ? ", " : "", *value);
        else fputs(round > 1 ? ", null" : "null", file);
    }
    fputs("]}", file);
}

bool record_write(const struct samples *samples, const char *path) {
    FILE *file = fopen(path, "w");
    bool good = file != NULL;
    if (good) {
        fputs("{\n\"machine\": {", file);
        for (size_t i = 0; i < samples->count_machine; i++) {
            fputs(i > 0 ? ",\n    " : "\n    ", file);
            print_text(file, samples->machine[i][0]);
            fputs(": ", file);
            print_text(file, samples->machine[i][1]);
        }
        fputs("\n},\n\"series\": [\n", file);
        for (size_t i = 0, printed = 0; i < samples->count; i++) {
            if (samples->series[i].count == 0) continue;
            if (printed++ > 0) fputs(",\n", file);
            print_series(file, &samples->series[i]);
        }
        fputs("\n]\n}\n", file);
        good = fflush(file) == 0 && !ferror(file);
    }
    int error = errno;
    if (file != NULL && fclose(file) != 0) good = false;
    if (good) return true;
    fprintf(stderr, "hostmem-bench-table: '%s' cannot be written: %s\n", path, strerror(error));
    return false;
}
