/*
 * samples.c - reads what hostmem-bench wrote and keeps every figure by system, peer, benchmark and name.
 *
 * The reader knows the form in which Google Benchmark 1.7 and hostmem-bench write JSON: one key a line, "run_name" before a
 * run's figures. A run that reported an error has no figures. Each file says which library served malloc; where that is not
 * the peer that the file's name claims, the file is refused, since its figures would be somebody else's.
 */
#include "bench/table/samples.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MOST = 96, PEER_MOST = 32, VALUES_MOST = 4096 };

struct sample {
    char system[16], peer[PEER_MOST], benchmark[NAME_MOST], name[40];
    double value;
};

static struct sample *samples;
static size_t count_samples, room;

static void keep(const struct sample *sample) {
    if (count_samples == room) {
        room = room == 0 ? 1024 : 2 * room;
        samples = realloc(samples, room * sizeof *samples);
        if (samples == NULL) {
            fprintf(stderr, "hostmem-bench-table: no memory for %zu samples\n", room);
            exit(1);
        }
    }
    samples[count_samples++] = *sample;
}

/* Cuts `   "key": value,` into its two parts, in place; text loses its quotes. */
static bool split(char *line, char **key, char **value) {
    char *open = strchr(line, '"'), *close = open != NULL ? strchr(open + 1, '"') : NULL;
    if (close == NULL || close[1] != ':') return false;
    *close = '\0';
    *key = open + 1;
    *value = close + 2 + strspn(close + 2, " ");
    size_t length = strcspn(*value, "\r\n");
    while (length > 0 && ((*value)[length - 1] == ',' || (*value)[length - 1] == ' ')) length--;
    (*value)[length] = '\0';
    if (**value == '"' && length >= 2) {
        (*value)[length - 1] = '\0';
        (*value)++;
    }
    return true;
}

static bool parse_path(const char *path, struct sample *sample) {
    const char *base = strrchr(path, '/');
    base = base == NULL ? path : base + 1;
    *sample = (struct sample){.value = 0};
    return sscanf(base, "%15[^.].%31[^.].", sample->system, sample->peer) == 2;
}

static bool is_served_by(const char *peer, const char *library) {
    if (strcmp(peer, "none") == 0) return true;
    if (strcmp(peer, "glibc") == 0) return strstr(library, "/libc.so") != NULL;
    return strstr(library, strcmp(peer, "hostmem") == 0 ? "libhostmem-malloc" : peer) != NULL;
}

static bool read_lines(FILE *file, const char *path, struct sample *sample) {
    char line[1024], *key, *value, *end;
    bool failed = false;
    while (fgets(line, sizeof line, file) != NULL) {
        if (!split(line, &key, &value)) continue;
        if (strcmp(key, "malloc_served_by") == 0 && !is_served_by(sample->peer, value)) {
            fprintf(stderr, "hostmem-bench-table: %s: malloc was served by %s and not by %s: not used\n", path, value,
                    sample->peer);
            return false;
        }
        if (strcmp(key, "run_name") == 0) {
            snprintf(sample->benchmark, sizeof sample->benchmark, "%.*s", NAME_MOST - 1, value);
            failed = false;
        } else if (strcmp(key, "error_message") == 0) {
            failed = true;
            fprintf(stderr, "hostmem-bench-table: %s: %s: %s\n", path, sample->benchmark, value);
        } else if (sample->benchmark[0] != '\0' && !failed) {
            sample->value = strtod(value, &end);
            if (end == value || *end != '\0') continue;
            snprintf(sample->name, sizeof sample->name, "%.*s", (int)sizeof sample->name - 1, key);
            keep(sample);
        }
    }
    return true;
}

bool samples_read(const char *path) {
    struct sample sample;
    size_t before = count_samples;
    if (!parse_path(path, &sample)) {
        fprintf(stderr, "hostmem-bench-table: '%s' is not called SYSTEM.PEER.KIND.ROUND.json\n", path);
        return false;
    }
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fprintf(stderr, "hostmem-bench-table: '%s' cannot be read\n", path);
        return false;
    }
    bool good = read_lines(file, path, &sample);
    fclose(file);
    if (good && count_samples == before) {
        fprintf(stderr, "hostmem-bench-table: '%s' holds no figures: damaged, or the run ended early\n", path);
        return false;
    }
    return good;
}

bool samples_have_peer(const char *system, const char *peer) {
    for (size_t i = 0; i < count_samples; i++) {
        if (strcmp(samples[i].peer, peer) == 0 && strcmp(samples[i].system, system) == 0) return true;
    }
    return false;
}

/* "name/64" fits the run name "name/64/iterations:1/real_time/threads:1"; "name/64 8" the one that ends in threads:8. */
static bool is_benchmark(const char *run_name, const char *benchmark) {
    size_t length = strcspn(benchmark, " ");
    const char *wanted = benchmark[length] == '\0' ? "1" : benchmark + length + 1;
    if (strncmp(run_name, benchmark, length) != 0) return false;
    const char *rest = run_name + length;
    if (*rest == '\0') return true;
    if (strncmp(rest, "/iterations:", 12) != 0 && strncmp(rest, "/real_time", 10) != 0) return false;
    const char *threads = strstr(rest, "threads:");
    return threads == NULL || strcmp(threads + 8, wanted) == 0;
}

static int compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double at_share(const double *sorted, size_t count, double share) {
    double at = share * (double)(count - 1);
    size_t low = (size_t)at, high = low + 1 < count ? low + 1 : low;
    return sorted[low] + (at - (double)low) * (sorted[high] - sorted[low]);
}

struct figure samples_figure(const char *system, const char *peer, const char *benchmark, const char *name) {
    static double values[VALUES_MOST];
    struct figure figure = {0};
    for (size_t i = 0; i < count_samples && figure.count < VALUES_MOST; i++) {
        const struct sample *each = &samples[i];
        if (strcmp(each->name, name) == 0 && strcmp(each->peer, peer) == 0 && strcmp(each->system, system) == 0 &&
            is_benchmark(each->benchmark, benchmark))
            values[figure.count++] = each->value;
    }
    if (figure.count == 0) return figure;
    qsort(values, figure.count, sizeof *values, compare);
    figure.median = at_share(values, figure.count, 0.5);
    if (figure.median != 0)
        figure.spread = (at_share(values, figure.count, 0.75) - at_share(values, figure.count, 0.25)) / 2 / fabs(figure.median);
    return figure;
}

struct figure samples_ns(const char *system, const char *peer, const char *benchmark) {
    struct figure figure = samples_figure(system, peer, benchmark, "items_per_second");
    if (figure.count != 0) figure.median = 1e9 / figure.median;
    return figure;
}

double samples_busy(void) {
    static double values[VALUES_MOST];
    size_t count = 0;
    double real = 0;
    for (size_t i = 0; i < count_samples && count < VALUES_MOST; i++) {
        const struct sample *each = &samples[i];
        if (strcmp(each->system, "linux") != 0 || strncmp(each->benchmark, "malloc/", 7) != 0) continue;
        if (strcmp(each->name, "real_time") == 0) real = each->value;
        if (strcmp(each->name, "cpu_time") == 0 && each->value > 0) values[count++] = real / each->value;
    }
    if (count == 0) return 0;
    qsort(values, count, sizeof *values, compare);
    return at_share(values, count, 0.5);
}
