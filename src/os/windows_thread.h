/*
 * windows_thread.h - what windows_thread.c does for its neighbours. Layer: os.
 */
#ifndef HM_WINDOWS_THREAD_H
#define HM_WINDOWS_THREAD_H

/*
 * From now on the library stays, whoever unloads it: some thread is to come back to it. The system is asked once, since asking
 * takes the loader's lock. Changes the last error.
 */
void windows_library_stays(void);

#endif
