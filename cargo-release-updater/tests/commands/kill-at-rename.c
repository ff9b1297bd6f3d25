/* Loaded into the program: the process dies right before its n-th rename, counted over all its threads (KILL_AT). */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int rename(const char *from, const char *to) {
    static atomic_long seen;
    const char *at = getenv("KILL_AT");
    if (at && atomic_fetch_add(&seen, 1) + 1 == atol(at)) {
        kill(getpid(), SIGKILL);
        pause();
    }
    return (int)syscall(SYS_rename, from, to);
}
