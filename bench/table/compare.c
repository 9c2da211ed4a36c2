/*
 * compare.c - compares two records figure by figure.
 *
 * Each round of one is paired with the same round of the other, and the change is the trimmed mean of the logarithms of their
 * ratios: a figure that doubles in one round and halves in the next did not change, and of eight rounds or more an eighth at
 * either end is left out, since one round in which something else used the machine says nothing. A figure counts as changed
 * when the interval that holds the true change with a confidence of 99 % (Yuen's for trimmed means, Student's for fewer rounds)
 * excludes none at all, and the change is larger than 3 %, which is about what code that merely lies elsewhere makes. One figure
 * in a hundred is outside its interval by chance: the summary says how many that makes.
 *
 * Two runs on different days differ in more than the engine. How far the others' figures (raw calls, other allocators) moved,
 * which no change of the engine can move, is printed beside.
 */
#include "bench/table/compare.h"
#include "bench/table/rows_inside.h"
#include "bench/table/samples.h"
#include "tools/common/tool.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS_LEAST = 3, CHANGES_MOST = 4096 };
#define CHANGE_LEAST 0.03

struct change {
    const struct series *before, *after;
    double mean, low, high; /* of the logarithm of after / before */
};

static struct change changes[CHANGES_MOST];
static size_t count_changes;

/* Half the width of Student's interval for 99 %, in standard errors. */
static double student(size_t freedom) {
    static const double table[] = {63.66, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169,
                                   3.106, 3.055, 3.012, 2.977, 2.947, 2.921, 2.898, 2.878, 2.861, 2.845};
    if (freedom <= sizeof table / sizeof *table) return table[freedom - 1];
    return freedom < 60 ? 2.75 : 2.62;
}

/* The logarithms of the ratios, round by round. */
static size_t pair_rounds(const struct series *before, const struct series *after, double *ratio) {
    size_t count = 0;
    for (size_t i = 0; i < before->count; i++) {
        for (size_t j = 0; j < after->count; j++) {
            if (before->round[i] != after->round[j] || before->value[i] <= 0 || after->value[j] <= 0) continue;
            ratio[count++] = log(after->value[j] / before->value[i]);
            break;
        }
    }
    return count;
}

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* The mean of the middle, and its error from the spread of all, in which the ends count as their neighbours. */
static bool estimate(struct change *change) {
    double ratio[ROUNDS_MOST], sum = 0, all = 0, squares = 0;
    size_t count = pair_rounds(change->before, change->after, ratio), cut = count / 8;
    if (count < ROUNDS_LEAST) return false;
    qsort(ratio, count, sizeof *ratio, by_value);
    for (size_t i = cut; i < count - cut; i++) sum += ratio[i];
    for (size_t i = 0; i < cut; i++) {
        ratio[i] = ratio[cut];
        ratio[count - 1 - i] = ratio[count - 1 - cut];
    }
    for (size_t i = 0; i < count; i++) all += ratio[i] / (double)count;
    for (size_t i = 0; i < count; i++) squares += (ratio[i] - all) * (ratio[i] - all);
    size_t kept = count - 2 * cut;
    double share = (double)kept / (double)count;
    double error = sqrt(squares / (double)(count - 1) / (double)count) / share * student(kept - 1);
    change->mean = sum / (double)kept;
    change->low = change->mean - error;
    change->high = change->mean + error;
    return true;
}

static bool is_changed(const struct change *change) {
    return (change->low > 0 || change->high < 0) && fabs(change->mean) > log(1 + CHANGE_LEAST);
}

static bool is_ours(const struct series *series) {
    return strstr(series->benchmark, "/engine") != NULL || strcmp(series->peer, "engine") == 0 ||
           strcmp(series->peer, "hostmem") == 0;
}

/* Figures of which less is better. */
static bool is_comparable(const struct series *series) {
    return strcmp(series->name, "busy") != 0 && strncmp(series->name, "over_time_", 10) != 0 &&
           strcmp(series->name, "differences") != 0 && strcmp(series->name, "wall_ns") != 0;
}

/* FILE or FILE@PEER; *peer is NULL for the former. */
static bool read_operand(const char *operand, struct samples *samples, const char **peer) {
    static char path[4096];
    const char *at = strrchr(operand, '@');
    *peer = at != NULL ? at + 1 : NULL;
    snprintf(path, sizeof path, "%.*s", at != NULL ? (int)(at - operand) : (int)strlen(operand), operand);
    if (!samples_read(samples, path)) return false;
    if (*peer == NULL || samples_have_peer(samples, "linux", *peer)) return true;
    fprintf(stderr, "hostmem-bench-table: '%s' has no figures of a peer called '%s'\n", path, *peer);
    return false;
}

/* Fills changes; returns how many figures could not be compared for lack of rounds. */
static size_t match(const struct samples *before, const char *before_peer, const struct samples *after, const char *after_peer) {
    size_t too_few = 0;
    for (size_t i = 0; i < before->count; i++) {
        const struct series *series = &before->series[i];
        if ((before_peer != NULL && strcmp(series->peer, before_peer) != 0) || !is_comparable(series)) continue;
        const char *peer = after_peer != NULL ? after_peer : series->peer;
        struct change change = {.before = series,
                                .after = samples_find(after, series->system, peer, series->benchmark, series->name)};
        if (change.after == NULL) continue;
        if (!estimate(&change)) too_few++;
        else if (count_changes < CHANGES_MOST) changes[count_changes++] = change;
    }
    return too_few;
}

static int by_size(const void *left, const void *right) {
    double a = fabs(((const struct change *)left)->mean), b = fabs(((const struct change *)right)->mean);
    return (a < b) - (a > b);
}

static double percent(double logarithm) { return 100 * (exp(logarithm) - 1); }

static enum unit unit_of(const char *name) {
    if (strstr(name, "bytes") != NULL) return UNIT_BYTES;
    return strcmp(name, "ns") == 0 || strstr(name, "_ns") != NULL ? UNIT_NS : UNIT_COUNT;
}

static void print_change(const struct change *change) {
    char before[24], after[24];
    const struct series *series = change->before;
    rows_value(before, sizeof before, series_figure(series).median, unit_of(series->name));
    rows_value(after, sizeof after, series_figure(change->after).median, unit_of(series->name));
    printf("%-8s %+7.1f %%  (%+.1f to %+.1f)  %10s -> %-10s  %s %s %s %s\n", change->mean > 0 ? "worse" : "better",
           percent(change->mean), percent(change->low), percent(change->high), before, after, series->system, series->peer,
           series->benchmark, series->name);
}

/* The median change of the figures that are, or are not, the engine's. */
static double median_change(bool ours, size_t *count) {
    static double values[CHANGES_MOST];
    *count = 0;
    for (size_t i = 0; i < count_changes; i++)
        if (is_ours(changes[i].before) == ours) values[(*count)++] = changes[i].mean;
    for (size_t i = 1; i < *count; i++) { /* few: by insertion */
        double value = values[i];
        size_t at = i;
        for (; at > 0 && values[at - 1] > value; at--) values[at] = values[at - 1];
        values[at] = value;
    }
    return *count == 0 ? 0 : TOOL_MEDIAN(values, *count);
}

static void print_json(size_t count_changed) {
    struct json json;
    tool_json_begin(&json, stdout);
    json_count(&json, "compared", count_changes);
    json_count(&json, "changed", count_changed);
    json_array(&json, "changes");
    for (size_t i = 0; i < count_changes; i++) {
        if (!is_changed(&changes[i])) continue;
        json_object(&json, NULL);
        json_text(&json, "system", changes[i].before->system);
        json_text(&json, "peer", changes[i].before->peer);
        json_text(&json, "benchmark", changes[i].before->benchmark);
        json_text(&json, "figure", changes[i].before->name);
        tool_json_number(&json, "percent", percent(changes[i].mean));
        tool_json_number(&json, "percent_low", percent(changes[i].low));
        tool_json_number(&json, "percent_high", percent(changes[i].high));
        json_close(&json);
    }
    json_end(&json);
}

int compare_records(const char *before, const char *after, bool as_json) {
    static struct samples first, second;
    const char *first_peer, *second_peer;
    size_t changed = 0, worse = 0, ours, others;
    if (!read_operand(before, &first, &first_peer) || !read_operand(after, &second, &second_peer)) return TOOL_EXIT_USAGE;
    size_t too_few = match(&first, first_peer, &second, second_peer);
    if (count_changes == 0) {
        fprintf(stderr, "hostmem-bench-table: the two have no figure in common with %d rounds or more in each\n", ROUNDS_LEAST);
        return TOOL_EXIT_USAGE;
    }
    qsort(changes, count_changes, sizeof *changes, by_size);
    for (size_t i = 0; i < count_changes; i++) {
        changed += is_changed(&changes[i]);
        worse += is_changed(&changes[i]) && changes[i].mean > 0 && (second_peer != NULL || is_ours(changes[i].before));
    }
    if (as_json) {
        print_json(changed);
        return worse > 0;
    }
    for (size_t i = 0; i < count_changes; i++)
        if (is_changed(&changes[i])) print_change(&changes[i]);
    printf("%zu figures compared, %zu changed beyond noise (99 %% confidence and more than 3 %%; some %zu by chance)\n",
           count_changes, changed, (count_changes + 99) / 100);
    if (too_few > 0) printf("%zu figures have fewer than %d rounds in common: not compared\n", too_few, ROUNDS_LEAST);
    double engine = median_change(true, &ours), rest = median_change(false, &others);
    if (ours > 0) printf("the engine's figures changed by %+.1f %% (median of %zu)\n", percent(engine), ours);
    if (others > 0 && second_peer == NULL)
        printf("the others', which the engine cannot change, by %+.1f %% (median of %zu): the machine's part\n", percent(rest),
               others);
    return worse > 0;
}
