/*
 * A process that is out of mappings (Linux: vm.max_map_count): releases that would split one are refused with nothing changed,
 * and go through later.
 */
#include "check.h"

#ifdef _WIN32
int main(void) {
    CHECK(true); /* the system has no such bound */
    return check_done();
}
#else
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "flat.h"

/* An address that is free in every build; the sanitizers use most others. */
#define PLACE ((char *)0x7e9100000000)
#define PIECES ((size_t)100000)

static char *used_up;

/* False: there are more of them than a test can use up. */
static bool use_up(void) {
    used_up = mmap(NULL, PIECES * 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (size_t i = 0; used_up != MAP_FAILED && i < PIECES; i++) {
        if (mprotect(used_up + i * 2 * PAGE, PAGE, PROT_READ)) return true;
    }
    return false;
}

static void use_no_more(void) { munmap(used_up, PIECES * 2 * PAGE); }

static size_t charged(void) {
    HM_STATS stats = {.cbSize = sizeof stats};
    return HmGetStats(&stats) ? stats.cbCharged[0] + stats.cbCharged[1] : 0;
}

static DWORD state_at(char *p, char *base) {
    MEMORY_BASIC_INFORMATION info;
    return HmVirtualQuery(p, &info, sizeof info) && info.AllocationBase == base ? info.State : 0;
}

/* Three side by side; the one in the middle is released. `kind`: 'c'ommitted, 'r'eserved, 'm'ixed. */
static int middle(char kind) {
    char *p[3];
    for (size_t i = 0; i < 3; i++) {
        p[i] = HmVirtualAlloc(PLACE + i * MIB, MIB, MEM_RESERVE, PAGE_READWRITE);
        if (p[i] != PLACE + i * MIB) return 2;
        if (kind != 'r' && !commit(p[i], MIB)) return 3;
        if (kind != 'r') memset(p[i], 5, MIB);
    }
    DWORD old;
    if (kind == 'm' && !HmVirtualProtect(p[1], MIB / 2, PAGE_NOACCESS, &old)) return 4;
    size_t before = charged();
    if (!use_up()) return 0;
    bool released = release(p[1]);
    if (kind != 'm') {
        if (released || HmGetLastError() != ERROR_NOT_ENOUGH_MEMORY || charged() != before) return 5;
        if (state_at(p[1] + MIB - 1, p[1]) != (kind == 'r' ? MEM_RESERVE : MEM_COMMIT)) return 6;
        for (size_t i = 0; kind == 'c' && i < MIB; i++) if (p[1][i] != 5) return 7;
    }
    use_no_more();
    if (!released && !release(p[1])) return 8;
    if (state_at(p[1], NULL) != MEM_FREE) return 9;
    if (HmVirtualAlloc(p[1], MIB, MEM_RESERVE, PAGE_READWRITE) != p[1] || !commit(p[1], MIB) || !is_zero(p[1], MIB)) return 10;
    for (size_t i = 0; i < 3; i++) if (!release(p[i])) return 11;
    return charged() == 0 ? 0 : 12;
}

int main(void) {
    for (const char *kind = "crm"; *kind; kind++) {
        int status = -1;
        fflush(NULL);
        pid_t pid = fork();
#ifdef HM_ATOM_BUILTIN /* ThreadSanitizer needs mappings itself */
        if (pid == 0) _exit(0);
#endif
        if (pid == 0) _exit(middle(*kind));
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK_EQ(status, 0);
    }
    return check_done();
}
#endif
