/* simclr plan: what a run will take, before it is begun. */
#include "cli/cli.h"
#include "cli/run_options.h"

#include "base/status.h"
#include "train/forecast.h"

#include <stdio.h>

static const char usage[] = "Usage: simclr plan [DATA] [OPTION...]\n\n";

struct plan_command {
    struct run_options options;
    bool layers, json;
};

int cmd_plan(int argc, char **argv)
{
    struct plan_command c = {0};
    const struct option own[] = {run_config_option(&c.options, "Plan")};
    const struct run_command command = {"simclr plan", usage, own, sizeof own / sizeof own[0], NULL, NULL};
    struct engine engine;
    struct forecast f;
    struct simclr_error err = {.text = ""};
    enum simclr_status status = run_options_parse(&c.options, &command, argc, argv, &err);
    if (status != SIMCLR_OK || c.options.help)
        return status == SIMCLR_OK ? EXIT_DONE : cli_fail(status, &err);
    status = cli_engine(&engine, c.options.isa, c.options.threads, &err);
    if (status != SIMCLR_OK)
        return cli_fail(status, &err);
    status = forecast_open(&f, &c.options.config, &engine, &err);
    for (int i = 0; i < BILL_ITEMS && status == SIMCLR_OK; i++)
        printf("%-14s %8.1f MB\n", bill_item_name(i), (double)f.bill.bytes[i] / 1e6);
    for (int i = 0; i < BILL_PHASES && status == SIMCLR_OK; i++)
        printf("%-14s %8.1f MB\n", bill_phase_name(i), (double)bill_phase(&f.bill, i) / 1e6);
    printf("peak %zu KB\n", bill_peak(&f.bill) >> 10);
    forecast_close(&f);
    return status == SIMCLR_OK ? EXIT_DONE : cli_fail(status, &err);
}
