/* data/fetch.sh against a local server: tests/fetch_test.sh. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/wait.h>

Test(fetch, local_server, .timeout = 120)
{
    int status = system("sh tests/fetch_test.sh");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        cr_skip("python3, a downloader or another tool is missing");
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "see above");
}
