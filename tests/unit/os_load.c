/* Memory load: the real machine's makes sense, and on Linux control groups of both versions are counted. */
#include "check.h"
#include "machine.h"
#include "os/os.h"

static void real_machine(void) {
    struct os_memory memory;
    CHECK_EQ(os_memory_load(&memory), ST_OK);
    CHECK(memory.total_bytes > (uint64_t)64 << 20);
    CHECK(memory.available_bytes <= memory.total_bytes);
    CHECK(memory.load_percent <= 100 && !memory.rough);
}

#if !defined(_WIN32) && defined(HM_FAULT)
static void expect(uint64_t total_mib, uint64_t available_mib, unsigned load) {
    struct os_memory memory;
    CHECK_EQ(os_memory_load(&memory), ST_OK);
    CHECK_EQ(memory.total_bytes, total_mib << 20);
    CHECK_EQ(memory.available_bytes, available_mib << 20);
    CHECK_EQ(memory.load_percent, load);
    CHECK(!memory.rough);
}

/* A group whose name is too long is left out, and what comes behind it is found; so is what stands far down in a long file. */
static void long_lines(void) {
    FILE *f = machine_file("/proc/self/cgroup");
    fprintf(f, "5:memory:/%01200d\n4:cpu:/\n0::/%0200d\n", 1, 2);
    fclose(f);
    char path[400];
    snprintf(path, sizeof path, "/sys/fs/cgroup/%0200d/memory.max", 2);
    machine_put(path, "536870912");
    snprintf(path, sizeof path, "/sys/fs/cgroup/%0200d/memory.current", 2);
    machine_put(path, "503316480");
    snprintf(path, sizeof path, "/sys/fs/cgroup/%0200d/memory.stat", 2);
    f = machine_file(path);
    for (int i = 0; i < 300; i++) fprintf(f, "key_%d %d\n", i, i);
    fprintf(f, "%0200d\ninactive_file 67108864\nfile 9", 7);
    fclose(f);
    expect(512, 96, 81);
}

static void made_up_machines(void) {
    struct os_memory memory;
    machine_make();
    machine_show(true);
    CHECK_EQ(os_memory_load(&memory), ST_OK); /* no files at all: the kernel says it, as well as it can */
    CHECK(memory.rough && memory.total_bytes > (uint64_t)64 << 20 && memory.available_bytes < memory.total_bytes);
    machine_put("/proc/meminfo", "MemTotal:        1048576 kB\nMemFree: 1 kB\nMemAvailable:     262144 kB\n");
    expect(1024, 256, 75);
    machine_put("/proc/self/cgroup", "0::/a/b\n");
    machine_put("/sys/fs/cgroup/a/b/memory.max", "max\n");
    expect(1024, 256, 75);
    machine_put("/sys/fs/cgroup/a/memory.max", "536870912\n"); /* the parent's limit holds: 512 MiB */
    machine_put("/sys/fs/cgroup/a/memory.current", "503316480\n"); /* 480 MiB */
    machine_put("/sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 67108864\nfile 9\n"); /* 64 MiB of it is easily had */
    expect(512, 96, 81);
    machine_put("/sys/fs/cgroup/a/b/memory.max", "268435456\n"); /* the own limit is tighter, but others took what is left */
    machine_put("/sys/fs/cgroup/a/b/memory.current", "67108864\n");
    expect(256, 96, 62);
    machine_put("/proc/self/cgroup", "9:name=x:/\n4:memory,hugetlb:/no\n3:memory:/job\n0::/\n");
    machine_put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "134217728\n");
    machine_put("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "268435456\n"); /* over its limit: nothing is left */
    expect(128, 0, 100);
    long_lines();
    machine_remove();
}
#endif

int main(void) {
    real_machine();
#if !defined(_WIN32) && defined(HM_FAULT)
    made_up_machines();
#endif
    return check_done();
}
