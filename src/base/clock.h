/* Time for progress and perf figures; no result depends on it. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

double clock_seconds(void); /* since some moment, never set back */
double clock_thread_seconds(void); /* of a processor that this thread has had */
double clock_unix(void);    /* since 1970, in whole milliseconds: for people */

#endif
