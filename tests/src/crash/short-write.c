/* Loaded into the app: the n-th write to a file below a folder (SHORT_WRITE_AT, SHORT_WRITE_BELOW) really writes only the
   first half, once in all processes; the file SHORT_WRITE_DONE tells that it happened. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_below(int descriptor, const char *folder) {
    char name[64], path[4096];
    snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(name, path, sizeof path);
    size_t prefix = strlen(folder);
    return length > (ssize_t)prefix && memcmp(path, folder, prefix) == 0 && path[prefix] == '/';
}

ssize_t write(int descriptor, const void *bytes, size_t length) {
    static atomic_long seen;
    const char *at = getenv("SHORT_WRITE_AT"), *below = getenv("SHORT_WRITE_BELOW"), *done = getenv("SHORT_WRITE_DONE");
    if (at && below && done && is_below(descriptor, below) && atomic_fetch_add(&seen, 1) + 1 == atol(at) && length > 1) {
        int first = open(done, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
        if (first >= 0) {
            close(first);
            length /= 2;
        }
    }
    return syscall(SYS_write, descriptor, bytes, length);
}
