/*
 * samples.c - reads what was measured and keeps every figure by system, peer, benchmark and name, with a value a round.
 *
 * Names are made one: "name/64/iterations:1/real_time/threads:4" becomes "name/64 4". A run that reported an error has no
 * figures. Of several repetitions in one round the least counts: what disturbs a run only adds to it. hostmem-bench's files say
 * which library served malloc; where that is not the peer that the file's name claims, the file is refused, since its figures
 * would be somebody else's. So is a file that ends early.
 */
#include "bench/table/samples.h"
#include "bench/table/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One file being read: where its figures go, and what its values so far have said. */
struct intake {
    struct samples *samples;
    const char *path;
    struct series now; /* system, peer, benchmark, name of the next figure */
    int round;
    bool failed, refused;
    double real_time;
    char kind[32];          /* what a record calls the figure */
    double calls, total_ns; /* of a replay */
    bool is_replay;
};

static struct series *series_of(struct samples *samples, const struct series *like) {
    for (size_t i = samples->count; i-- > 0;) {
        struct series *each = &samples->series[i];
        if (strcmp(each->name, like->name) == 0 && strcmp(each->benchmark, like->benchmark) == 0 &&
            strcmp(each->peer, like->peer) == 0 && strcmp(each->system, like->system) == 0)
            return each;
    }
    if (samples->count == samples->room) {
        samples->room = samples->room == 0 ? 256 : 2 * samples->room;
        samples->series = realloc(samples->series, samples->room * sizeof *samples->series);
        if (samples->series == NULL) {
            fprintf(stderr, "hostmem-bench-table: no memory for %zu series\n", samples->room);
            exit(1);
        }
    }
    samples->series[samples->count] = *like;
    samples->series[samples->count].count = 0;
    return &samples->series[samples->count++];
}

static void keep(struct intake *intake, const char *name, double value) {
    snprintf(intake->now.name, sizeof intake->now.name, "%.*s", (int)sizeof intake->now.name - 1, name);
    struct series *series = series_of(intake->samples, &intake->now);
    if (!isfinite(value)) return;
    if (series->count > 0 && series->round[series->count - 1] == intake->round) {
        if (value < series->value[series->count - 1]) series->value[series->count - 1] = value;
        return;
    }
    if (series->count == ROUNDS_MOST) return;
    series->round[series->count] = intake->round;
    series->value[series->count++] = value;
}

static bool is_served_by(const char *peer, const char *library) {
    if (strcmp(peer, "none") == 0) return true;
    if (strcmp(peer, "glibc") == 0) return strstr(library, "/libc.so") != NULL;
    return strstr(library, strcmp(peer, "hostmem") == 0 ? "libhostmem-malloc" : peer) != NULL;
}

/* From Google Benchmark's name of a run to ours. */
static void name_shorten(char *name, size_t size, const char *run_name) {
    const char *threads = strstr(run_name, "/threads:");
    size_t length = strlen(run_name);
    static const char *const ends[] = {"/iterations:", "/real_time", "/threads:"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const char *end = strstr(run_name, ends[i]);
        if (end != NULL && (size_t)(end - run_name) < length) length = (size_t)(end - run_name);
    }
    bool one = threads == NULL || strcmp(threads + 9, "1") == 0;
    snprintf(name, size, "%.*s%s%s", (int)length, run_name, one ? "" : " ", one ? "" : threads + 9);
}

/* What Google Benchmark says of a run beside its figures. */
static bool is_figure(const char *name) {
    static const char *const others[] = {"family_index", "per_family_instance_index", "repetitions", "repetition_index",
                                         "threads",      "iterations",                "turns"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(name, others[i]) == 0) return false;
    return true;
}

static void take_benchmark(struct intake *intake, const char *name, const struct json_value *value) {
    if (strcmp(name, "run_name") == 0) {
        name_shorten(intake->now.benchmark, sizeof intake->now.benchmark, value->text);
        intake->failed = false;
    } else if (strcmp(name, "run_type") == 0) {
        intake->failed = strcmp(value->text, "aggregate") == 0; /* Google Benchmark's own sums are no runs */
    } else if (strcmp(name, "error_message") == 0) {
        intake->failed = true;
        fprintf(stderr, "hostmem-bench-table: %s: %s: %s\n", intake->path, intake->now.benchmark, value->text);
    } else if (!value->is_number || intake->failed || intake->now.benchmark[0] == '\0' || !is_figure(name)) {
        return;
    } else if (strcmp(name, "real_time") == 0) {
        intake->real_time = value->number;
    } else if (strcmp(name, "cpu_time") == 0) {
        if (strncmp(intake->now.benchmark, "malloc/", 7) == 0 && value->number > 0)
            keep(intake, "busy", intake->real_time / value->number);
    } else if (strcmp(name, "items_per_second") == 0) {
        if (value->number > 0) keep(intake, "ns", 1e9 / value->number);
    } else {
        keep(intake, name, value->number);
    }
}

/* hostmem-replay's: the time in all calls that both memories have. (Views are the system's in either.) */
static void take_replay(struct intake *intake, const struct json_value *value) {
    const char *path = value->path;
    static const char *const figures[] = {"wall_ns", "faults", "peak_rss_bytes", "differences"};
    if (strcmp(path, "trace") == 0) {
        const char *base = strrchr(value->text, '/');
        base = base == NULL ? value->text : base + 1;
        intake->is_replay = true;
        snprintf(intake->now.benchmark, sizeof intake->now.benchmark, "replay/%.*s", (int)strcspn(base, "."), base);
    } else if (strcmp(path, "memory") == 0) {
        snprintf(intake->now.peer, sizeof intake->now.peer, "%.*s", (int)sizeof intake->now.peer - 1, value->text);
    } else if (strncmp(path, "kinds/", 6) == 0 && strstr(path, " view/") == NULL) {
        if (strstr(path, "/calls") != NULL) intake->calls = value->number;
        if (strstr(path, "/mean_ns") != NULL) intake->total_ns += intake->calls * value->number;
    }
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        if (strcmp(path, figures[i]) == 0) keep(intake, figures[i], value->number);
}

/* hostmem-clr --compare's: the same figures of each memory. */
static void take_clr(struct intake *intake, const struct json_value *value) {
    const char *slash = strchr(value->path, '/');
    if (strcmp(value->path, "server_gc") == 0) {
        bool server = strcmp(value->text, "true") == 0;
        snprintf(intake->now.benchmark, sizeof intake->now.benchmark, "clr/%s", server ? "server" : "workstation");
    }
    if (slash == NULL || strncmp(intake->now.benchmark, "clr/", 4) != 0 || !value->is_number) return;
    snprintf(intake->now.peer, sizeof intake->now.peer, "%.*s", (int)(slash - value->path), value->path);
    if (strchr(slash + 1, '/') == NULL) keep(intake, slash + 1, value->number);
    if (strcmp(slash + 1, "calls/all/ns") == 0) keep(intake, "calls_ns", value->number);
}

/* A record's: the fields of a series, then its values. */
static void take_record(struct intake *intake, const char *field, const struct json_value *value) {
    struct series *now = &intake->now;
    if (strcmp(field, "system") == 0) snprintf(now->system, sizeof now->system, "%.15s", value->text);
    if (strcmp(field, "peer") == 0) snprintf(now->peer, sizeof now->peer, "%.31s", value->text);
    if (strcmp(field, "benchmark") == 0) snprintf(now->benchmark, sizeof now->benchmark, "%.95s", value->text);
    if (strcmp(field, "figure") == 0) {
        snprintf(intake->kind, sizeof intake->kind, "%.31s", value->text);
        intake->round = 0;
    }
    if (strcmp(field, "values") != 0) return;
    intake->round++;
    if (value->is_number) keep(intake, intake->kind, value->number);
}

static void take_machine(struct samples *samples, const char *key, const char *text) {
    if (samples->count_machine == sizeof samples->machine / sizeof *samples->machine) return;
    char(*entry)[256] = samples->machine[samples->count_machine++];
    snprintf(entry[0], sizeof entry[0], "%.255s", key);
    snprintf(entry[1], sizeof entry[1], "%.255s", text);
}

static void take(const struct json_value *value, void *argument) {
    struct intake *intake = argument;
    const char *name = strrchr(value->path, '/');
    name = name == NULL ? value->path : name + 1;
    if (intake->refused) return;
    if (strcmp(name, "malloc_served_by") == 0 && !is_served_by(intake->now.peer, value->text)) {
        fprintf(stderr, "hostmem-bench-table: %s: malloc was served by %s and not by %s: not used\n", intake->path, value->text,
                intake->now.peer);
        intake->refused = true;
    } else if (strncmp(value->path, "machine/", 8) == 0) {
        take_machine(intake->samples, name, value->text);
    } else if (strncmp(value->path, "series/", 7) == 0) {
        take_record(intake, name, value);
    } else if (strncmp(value->path, "benchmarks/", 11) == 0) {
        take_benchmark(intake, name, value);
    } else if (intake->is_replay || strcmp(value->path, "trace") == 0) {
        take_replay(intake, value);
    } else {
        take_clr(intake, value);
    }
}

static size_t count_values(const struct samples *samples) {
    size_t count = samples->count_machine;
    for (size_t i = 0; i < samples->count; i++) count += samples->series[i].count;
    return count;
}

bool samples_read(struct samples *samples, const char *path) {
    const char *base = strrchr(path, '/');
    struct intake intake = {.samples = samples, .path = path, .round = 1};
    size_t before = count_values(samples);
    long where;
    base = base == NULL ? path : base + 1;
    if (sscanf(base, "%15[^.].%31[^.].%*[^.].%d", intake.now.system, intake.now.peer, &intake.round) < 2)
        intake.now.peer[0] = '\0';
    bool good = json_read(path, take, &intake, &where);
    if (!good && where == 0) fprintf(stderr, "hostmem-bench-table: '%s' cannot be read\n", path);
    if (!good && where != 0)
        fprintf(stderr, "hostmem-bench-table: '%s' is damaged at byte %ld, or its run ended early\n", path, where);
    if (intake.is_replay) keep(&intake, "ns", intake.total_ns);
    if (good && !intake.refused && count_values(samples) == before) {
        fprintf(stderr, "hostmem-bench-table: '%s' holds no figures\n", path);
        return false;
    }
    return good && !intake.refused;
}

const struct series *samples_find(const struct samples *samples, const char *system, const char *peer, const char *benchmark,
                                  const char *name) {
    size_t length = strlen(benchmark);
    if (length > 2 && strcmp(benchmark + length - 2, " 1") == 0) length -= 2; /* one thread goes without saying */
    for (size_t i = 0; i < samples->count; i++) {
        const struct series *each = &samples->series[i];
        if (each->count != 0 && strcmp(each->name, name) == 0 && strncmp(each->benchmark, benchmark, length) == 0 &&
            each->benchmark[length] == '\0' && strcmp(each->peer, peer) == 0 && strcmp(each->system, system) == 0)
            return each;
    }
    return NULL;
}

bool samples_have_peer(const struct samples *samples, const char *system, const char *peer) {
    for (size_t i = 0; i < samples->count; i++) {
        if (strcmp(samples->series[i].peer, peer) == 0 && strcmp(samples->series[i].system, system) == 0) return true;
    }
    return false;
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

struct figure series_figure(const struct series *series) {
    double values[ROUNDS_MOST];
    struct figure figure = {0};
    if (series == NULL || series->count == 0) return figure;
    figure.count = series->count;
    memcpy(values, series->value, series->count * sizeof *values);
    qsort(values, figure.count, sizeof *values, compare);
    figure.median = at_share(values, figure.count, 0.5);
    if (figure.median != 0)
        figure.spread = (at_share(values, figure.count, 0.75) - at_share(values, figure.count, 0.25)) / 2 / fabs(figure.median);
    return figure;
}

struct figure samples_figure(const struct samples *samples, const char *system, const char *peer, const char *benchmark,
                             const char *name) {
    return series_figure(samples_find(samples, system, peer, benchmark, name));
}

double samples_busy(const struct samples *samples) {
    static double values[4096];
    size_t count = 0;
    for (size_t i = 0; i < samples->count && count < sizeof values / sizeof *values; i++) {
        const struct series *each = &samples->series[i];
        if (strcmp(each->name, "busy") == 0 && strcmp(each->system, "linux") == 0) values[count++] = series_figure(each).median;
    }
    if (count == 0) return 0;
    qsort(values, count, sizeof *values, compare);
    return at_share(values, count, 0.5);
}
