/* A file layer that fails when it is told to: preloaded before libc's own calls in the child of a test.
   The file that LIMEN_FAULT names holds one word: "fsync", "full" or "readonly"; without it nothing fails.
   Only files with ".db" in their path are touched. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int told(int fd, const char *word) {
    const char *name = getenv("LIMEN_FAULT");
    char text[16] = {0}, link[64], path[4096] = {0};
    if (!name) return 0;
    int file = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    long length = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    if (length <= 0 || strncmp(text, word, strlen(word)) != 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) < 0) return 0;
    return strstr(path, ".db") != NULL && strstr(path, ".lock") == NULL;
}

#define FAIL(word, code) if (told(fd, word)) { errno = code; return -1; }
#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, name))

int fsync(int fd) {
    FAIL("fsync", EIO)
    return NEXT(int (*)(int), "fsync")(fd);
}
int fdatasync(int fd) {
    FAIL("fsync", EIO)
    return NEXT(int (*)(int), "fdatasync")(fd);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    FAIL("full", ENOSPC)
    FAIL("readonly", EROFS)
    return NEXT(ssize_t (*)(int, const void *, size_t, off_t), "pwrite")(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    FAIL("full", ENOSPC)
    FAIL("readonly", EROFS)
    return NEXT(ssize_t (*)(int, const void *, size_t, off64_t), "pwrite64")(fd, data, size, at);
}
