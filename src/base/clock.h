/* Time for progress and perf figures; no result depends on it. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

double clock_seconds(void); /* since some moment, never set back */

#endif
