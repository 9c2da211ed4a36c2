/*
 * keys.c - single keys from the terminal, without waiting for a line. Where standard input is no terminal there are none.
 */
#include "tools/top/top.h"

#ifdef _WIN32

#include <conio.h>
#include <io.h>

void keys_begin(void) {}
void keys_end(void) {}

int keys_wait(uint64_t ms) {
    for (uint64_t waited = 0; waited < ms; waited += 50) {
        if (_isatty(0) && _kbhit()) return _getch();
        look_sleep_ms(50);
    }
    return 0;
}

#else

#include <poll.h>
#include <termios.h>
#include <unistd.h>

static struct termios ordinary;
static bool changed;

void keys_begin(void) {
    changed = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &ordinary) == 0;
    if (!changed) return;
    struct termios single = ordinary;
    single.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &single);
}

void keys_end(void) {
    if (changed) tcsetattr(STDIN_FILENO, TCSANOW, &ordinary);
}

int keys_wait(uint64_t ms) {
    struct pollfd input = {.fd = changed ? STDIN_FILENO : -1, .events = POLLIN};
    unsigned char key;
    if (poll(&input, 1, (int)ms) <= 0 || !(input.revents & POLLIN)) return 0;
    return read(STDIN_FILENO, &key, 1) == 1 ? key : 'q'; /* the terminal is gone */
}

#endif
