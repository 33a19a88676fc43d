/* Preloaded by kills.py: the n-th call that writes below a folder fails, or is the last.

   Covers what Python, SQLite and numpy call in libc. Only what is armed after a fork counts. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { OPEN = 1, READ = 2, WRITE = 4, SYNC = 8, RENAME = 16, UNLINK = 32, MKDIR = 64 };
enum { KILL = -1, TEAR = -2 }; /* TEAR: half of what is written is written before the kill */

static char root[4096];
static size_t root_length;
static int kinds, action, sticky;
static long goal;
static atomic_long seen;

void arm(const char *folder, int which, long nth, int what, int again) {
    strncpy(root, folder, sizeof root - 1);
    root_length = strlen(root);
    kinds = which, goal = nth, action = what, sticky = again;
    atomic_store(&seen, 0);
}

long calls_seen(void) { return atomic_load(&seen); }

static int inside(const char *path) {
    return root_length && !strncmp(path, root, root_length);
}

static int inside_fd(int fd) {
    char link[64], path[4096];
    if (!root_length) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return inside(path);
}

static int inside_at(int fd, const char *path) {
    return path[0] == '/' || fd == AT_FDCWD ? inside(path) : inside_fd(fd);
}

static void end(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* 0: the call goes on; else it fails with this, or ends the process half done. */
static int fault(int kind) {
    if (!(kinds & kind)) return 0;
    long n = atomic_fetch_add(&seen, 1) + 1;
    if (!goal || n < goal || (n > goal && !sticky)) return 0;
    if (action == KILL || (action == TEAR && kind != WRITE)) end();
    return action;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define FAIL_IF(there, kind) \
    if (there) { int e = fault(kind); if (e) { errno = e; return -1; } }
#define FLAGGED(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT) ? OPEN : READ)
#define MODE \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

int open(const char *path, int flags, ...) {
    MODE REAL(open);
    FAIL_IF(inside(path), FLAGGED(flags))
    return real(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE REAL(open64);
    FAIL_IF(inside(path), FLAGGED(flags))
    return real(path, flags, mode);
}
int openat(int at, const char *path, int flags, ...) {
    MODE REAL(openat);
    FAIL_IF(inside_at(at, path), FLAGGED(flags))
    return real(at, path, flags, mode);
}
int openat64(int at, const char *path, int flags, ...) {
    MODE REAL(openat64);
    FAIL_IF(inside_at(at, path), FLAGGED(flags))
    return real(at, path, flags, mode);
}

ssize_t write(int fd, const void *data, size_t n) {
    REAL(write);
    if (inside_fd(fd)) {
        int e = fault(WRITE);
        if (e == TEAR) { real(fd, data, n / 2); end(); }
        if (e) { errno = e; return -1; }
    }
    return real(fd, data, n);
}
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) {
    REAL(pwrite);
    if (inside_fd(fd)) {
        int e = fault(WRITE);
        if (e == TEAR) { real(fd, data, n / 2, at); end(); }
        if (e) { errno = e; return -1; }
    }
    return real(fd, data, n, at);
}
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) {
    REAL(pwrite64);
    if (inside_fd(fd)) {
        int e = fault(WRITE);
        if (e == TEAR) { real(fd, data, n / 2, at); end(); }
        if (e) { errno = e; return -1; }
    }
    return real(fd, data, n, at);
}
int ftruncate(int fd, off_t n) {
    REAL(ftruncate);
    FAIL_IF(inside_fd(fd), WRITE)
    return real(fd, n);
}
int ftruncate64(int fd, off64_t n) {
    REAL(ftruncate64);
    FAIL_IF(inside_fd(fd), WRITE)
    return real(fd, n);
}

/* What a stream of C holds back is written inside of libc, where nothing can be put between. */
size_t fwrite(const void *data, size_t size, size_t n, FILE *file) {
    REAL(fwrite);
    if (inside_fd(fileno(file))) {
        int e = fault(WRITE);
        if (e == TEAR) { real(data, size, n / 2, file); fflush(file); end(); }
        if (e) { errno = e; return 0; }
    }
    return real(data, size, n, file);
}
int fclose(FILE *file) {
    REAL(fclose);
    if (root_length && __fpending(file) && inside_fd(fileno(file))) {
        int e = fault(WRITE);
        if (e == TEAR) end();
        if (e) { __fpurge(file); real(file); errno = e; return EOF; }
    }
    return real(file);
}

int fsync(int fd) {
    REAL(fsync);
    FAIL_IF(inside_fd(fd), SYNC)
    return real(fd);
}
int fdatasync(int fd) {
    REAL(fdatasync);
    FAIL_IF(inside_fd(fd), SYNC)
    return real(fd);
}
int rename(const char *from, const char *to) {
    REAL(rename);
    FAIL_IF(inside(to), RENAME)
    return real(from, to);
}
int renameat(int a, const char *from, int b, const char *to) {
    REAL(renameat);
    FAIL_IF(inside_at(b, to), RENAME)
    return real(a, from, b, to);
}
int unlink(const char *path) {
    REAL(unlink);
    FAIL_IF(inside(path), UNLINK)
    return real(path);
}
int unlinkat(int at, const char *path, int flags) {
    REAL(unlinkat);
    FAIL_IF(inside_at(at, path), UNLINK)
    return real(at, path, flags);
}
int rmdir(const char *path) {
    REAL(rmdir);
    FAIL_IF(inside(path), UNLINK)
    return real(path);
}
int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    FAIL_IF(inside(path), MKDIR)
    return real(path, mode);
}
int mkdirat(int at, const char *path, mode_t mode) {
    REAL(mkdirat);
    FAIL_IF(inside_at(at, path), MKDIR)
    return real(at, path, mode);
}
