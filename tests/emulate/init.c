/* The first process of the emulated machine (avx512.sh): runs the commands in /commands one after another on the
 * serial line, then reports the first exit code that is not 0 and switches the machine off.
 * /commands: arguments that each end in '\0'; an argument ":" ends a command. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static char text[65536];
static char *argv[4096];

static void serial_console(void)
{
    int tty = open("/dev/ttyS0", O_RDWR);
    struct termios mode;

    if (tcgetattr(tty, &mode) == 0) {
        cfmakeraw(&mode); /* or every line would end in "\r\n" */
        tcsetattr(tty, TCSANOW, &mode);
    }
    dup2(tty, STDIN_FILENO);
    dup2(tty, STDOUT_FILENO);
    dup2(tty, STDERR_FILENO);
}

static int run(char **command)
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        execv(command[0], command);
        perror(command[0]);
        _exit(127);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run_all(void)
{
    int file = open("/commands", O_RDONLY), argc = 0, failed = 0;
    ssize_t length = read(file, text, sizeof text - 1);

    for (char *arg = text; arg < text + length; arg += strlen(arg) + 1) {
        if (strcmp(arg, ":") != 0) {
            argv[argc++] = arg;
            continue;
        }
        argv[argc] = NULL;
        int code = run(argv);
        failed = failed ? failed : code;
        argc = 0;
    }
    return failed;
}

int main(void)
{
    mount("proc", "/proc", "proc", 0, "");
    mount("sysfs", "/sys", "sysfs", 0, "");
    mount("dev", "/dev", "devtmpfs", 0, "");
    mkdir("/dev/shm", 01777);
    mount("shm", "/dev/shm", "tmpfs", 0, "");
    serial_console();
    if (chdir("/tmp") != 0)
        perror("/tmp");
    printf("emulated: exit %d\n", run_all());
    fflush(stdout);
    tcdrain(STDOUT_FILENO);
    ioperm(0x8900, 1, 1); /* Bochs: this word at this port is the power switch */
    for (const char *word = "Shutdown"; *word; word++)
        outb((unsigned char)*word, 0x8900);
    for (;;)
        pause();
}
