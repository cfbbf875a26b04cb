/* Between the service and the kernel: loaded before libc (LD_PRELOAD), for tests only.
 *
 * Notes each call that changes something below the folder POWERLOSS_FOLDER in the file
 * POWERLOSS_JOURNAL, which all processes share, and each answer of success that leaves for a
 * client.  A call is noted once it is done and before its caller goes on, an answer before it
 * leaves: whatever a client was told stands behind what it rests on.
 * Makes calls fail as `powerloss_fail` says; the sync of a file that has the number
 * POWERLOSS_FAILING_SYNC in its process fails, which is its end.  With POWERLOSS_LIES=1 a sync
 * does nothing.
 *
 * With POWERLOSS_CLOCK the wall clock goes as many seconds ahead as that file says at the moment.
 *
 * Calls go to the kernel directly: SQLite and Python meet the kernel's own errors.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { MAY_FAIL = 1, ALLOCATES = 2, OPENS = 4 };

struct head { /* `calls.py` reads it */
    uint32_t kind, thread;
    uint64_t file;
    int64_t at;
    uint32_t path_bytes, other_bytes, data_bytes, is_folder;
};

struct place {
    uint64_t file;
    int is_folder;
    char path[PATH_MAX];
};

static char folder[PATH_MAX];
static size_t folder_length;
static int journal = -1;
static int lies;
static const volatile int64_t *ahead_s; /* of the wall clock, in a file that is mapped */
static long failing_sync, synced;
static int wanted_error;
static long first_failing, last_failing, counted;

static int is_below(const char *path) {
    return folder_length && path && !strncmp(path, folder, folder_length) &&
           (path[folder_length] == '/' || !path[folder_length]);
}

/* Look after the files below `path` from now on. */
void powerloss_watch(const char *path) {
    if (!path || strlen(path) >= sizeof folder) return;
    strcpy(folder, path);
    folder_length = strlen(path);
}

/* Take the orders from the environment: when loaded, and again in a process that was forked off
 * one to which they did not yet apply (`tests/forked.py`). */
__attribute__((constructor)) void begin_anew(void) {
    const char *notes = getenv("POWERLOSS_JOURNAL");
    powerloss_watch(getenv("POWERLOSS_FOLDER"));
    const char *clock = getenv("POWERLOSS_CLOCK");
    if (clock) {
        int file = syscall(SYS_openat, AT_FDCWD, clock, O_RDONLY | O_CLOEXEC);
        void *mapped = mmap(NULL, sizeof *ahead_s, PROT_READ, MAP_SHARED, file, 0);
        if (mapped == MAP_FAILED) abort();
        ahead_s = mapped;
        close(file);
    }
    lies = getenv("POWERLOSS_LIES") != NULL;
    const char *number = getenv("POWERLOSS_FAILING_SYNC");
    failing_sync = number ? atol(number) : 0;
    if (notes && *notes) {
        int low = syscall(SYS_openat, AT_FDCWD, notes, O_WRONLY | O_APPEND | O_CREAT, 0600);
        journal = fcntl(low, F_DUPFD_CLOEXEC, 500);
        close(low);
        if (journal < 0) abort();
    }
}

/* Let the calls from number `first` to `last`, counted from now on, fail with `error`;
 * those that can fail so are counted, and with `error` 0 none. */
void powerloss_fail(int error, long first, long last) {
    first_failing = first;
    last_failing = last;
    __atomic_store_n(&counted, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&wanted_error, error, __ATOMIC_SEQ_CST);
}

long powerloss_counted(void) { return __atomic_load_n(&counted, __ATOMIC_SEQ_CST); }

static int fails(int what) {
    int error = __atomic_load_n(&wanted_error, __ATOMIC_SEQ_CST);
    if (!error || (error == ENOSPC && !(what & ALLOCATES)) || (error == EMFILE && !(what & OPENS)))
        return 0;
    long number = __atomic_add_fetch(&counted, 1, __ATOMIC_SEQ_CST);
    if (number < first_failing || number > last_failing) return 0;
    errno = error;
    return 1;
}

static void note(char kind, uint64_t file, int64_t at, const char *path, const char *other,
                 const void *data, size_t size, int is_folder) {
    if (journal < 0) return;
    int error = errno;
    struct head head = {kind, syscall(SYS_gettid), file, at, path ? strlen(path) : 0,
                        other ? strlen(other) : 0, size, is_folder};
    struct iovec parts[] = {{&head, sizeof head},
                            {(void *)path, head.path_bytes},
                            {(void *)other, head.other_bytes},
                            {(void *)data, size}};
    ssize_t whole = sizeof head + head.path_bytes + head.other_bytes + size;
    if (syscall(SYS_writev, journal, parts, 4) != whole) abort();
    errno = error;
}

/* Say which file below the folder a descriptor is, 0 for none. */
static int find(int fd, struct place *place) {
    struct stat status;
    char link[40];
    int error = errno;
    if (!folder_length || fstat(fd, &status) ||
        !(S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))) {
        errno = error;
        return 0;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, place->path, sizeof place->path - 1);
    errno = error;
    if (length < 0) return 0;
    place->path[length] = 0;
    place->file = status.st_ino;
    place->is_folder = S_ISDIR(status.st_mode);
    return is_below(place->path);
}

/* Note an answer of success that is about to leave: to which port of a client. */
static void note_answer(int fd, const void *data, size_t size) {
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    if (journal < 0 || size < 12 || memcmp(data, "HTTP/1.1 2", 10)) return;
    if (!getpeername(fd, (struct sockaddr *)&peer, &length) && peer.sin_family == AF_INET)
        note('v', 0, ntohs(peer.sin_port), NULL, NULL, data, size < 64 ? size : 64, 0);
}

static uint64_t number_of(const char *path) {
    struct stat status;
    return lstat(path, &status) ? 0 : status.st_ino;
}

/* ---- names ---------------------------------------------------------------------------------- */

static int open_below(const char *path, int flags, mode_t mode) {
    struct place place;
    int fd, is_new = 0;
    if (fails(MAY_FAIL | OPENS | (flags & O_CREAT ? ALLOCATES : 0))) return -1;
    if (!(flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) {
        fd = syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    } else {
        do {
            fd = syscall(SYS_openat, AT_FDCWD, path, flags | O_EXCL, mode);
            is_new = fd >= 0;
            if (fd < 0 && errno == EEXIST && !(flags & O_EXCL))
                fd = syscall(SYS_openat, AT_FDCWD, path, flags & ~O_CREAT, mode);
        } while (fd < 0 && errno == ENOENT && number_of(path));
    }
    if (fd >= 0 && is_new && find(fd, &place)) note('c', place.file, 0, path, NULL, NULL, 0, 0);
    if (fd >= 0 && !is_new && (flags & O_TRUNC) && find(fd, &place))
        note('t', place.file, 0, path, NULL, NULL, 0, 0);
    return fd;
}

#define OPEN(name)                                                            \
    int name(const char *path, int flags, ...) {                              \
        mode_t mode = 0;                                                      \
        if (flags & (O_CREAT | O_TMPFILE)) {                                  \
            va_list rest;                                                     \
            va_start(rest, flags);                                            \
            mode = va_arg(rest, mode_t);                                      \
            va_end(rest);                                                     \
        }                                                                     \
        if (is_below(path)) return open_below(path, flags, mode);             \
        return syscall(SYS_openat, AT_FDCWD, path, flags, mode);              \
    }
OPEN(open)
OPEN(open64)

int unlink(const char *path) {
    int is_ours = is_below(path);
    if (is_ours && fails(MAY_FAIL)) return -1;
    int result = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (is_ours && !result) note('u', 0, 0, path, NULL, NULL, 0, 0);
    return result;
}

int rename(const char *from, const char *to) {
    int is_ours = is_below(to);
    if (is_ours && fails(MAY_FAIL | ALLOCATES)) return -1;
    int result = syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (is_ours && !result) note('r', number_of(to), 0, from, to, NULL, 0, 0);
    return result;
}

int link(const char *from, const char *to) {
    int is_ours = is_below(to);
    if (is_ours && fails(MAY_FAIL | ALLOCATES)) return -1;
    int result = syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (is_ours && !result) note('c', number_of(to), 0, to, NULL, NULL, 0, 0);
    return result;
}

int mkdir(const char *path, mode_t mode) {
    int is_ours = is_below(path);
    if (is_ours && fails(MAY_FAIL | ALLOCATES)) return -1;
    int result = syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (is_ours && !result) note('c', number_of(path), 0, path, NULL, NULL, 0, 1);
    return result;
}

/* ---- bytes ---------------------------------------------------------------------------------- */

ssize_t write(int fd, const void *data, size_t size) {
    struct place place;
    if (!find(fd, &place)) {
        note_answer(fd, data, size);
        return syscall(SYS_write, fd, data, size);
    }
    if (fails(MAY_FAIL | ALLOCATES)) return -1;
    ssize_t done = syscall(SYS_write, fd, data, size);
    if (done > 0)
        note('w', place.file, lseek(fd, 0, SEEK_CUR) - done, place.path, NULL, data, done, 0);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    struct place place;
    if (find(fd, &place)) return write(fd, parts[0].iov_base, parts[0].iov_len);
    if (count) note_answer(fd, parts[0].iov_base, parts[0].iov_len);
    return syscall(SYS_writev, fd, parts, count);
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
    note_answer(fd, data, size);
    return syscall(SYS_sendto, fd, data, size, flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    if (message->msg_iovlen)
        note_answer(fd, message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
    return syscall(SYS_sendmsg, fd, message, flags);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    struct place place;
    if (!find(fd, &place)) return syscall(SYS_pwrite64, fd, data, size, at);
    if (fails(MAY_FAIL | ALLOCATES)) return -1;
    ssize_t done = syscall(SYS_pwrite64, fd, data, size, at);
    if (done > 0) note('w', place.file, at, place.path, NULL, data, done, 0);
    return done;
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    return pwrite64(fd, data, size, at);
}

int ftruncate64(int fd, off64_t size) {
    struct place place;
    if (!find(fd, &place)) return syscall(SYS_ftruncate, fd, size);
    if (fails(MAY_FAIL)) return -1;
    int result = syscall(SYS_ftruncate, fd, size);
    if (!result) note('t', place.file, size, place.path, NULL, NULL, 0, 0);
    return result;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int sync_with(long call, int fd) {
    struct place place;
    if (!find(fd, &place)) return syscall(call, fd);
    if (lies) return 0;
    note('s', place.file, 0, place.path, NULL, NULL, 0, place.is_folder);
    int is_last = !place.is_folder && failing_sync &&
                  __atomic_add_fetch(&synced, 1, __ATOMIC_SEQ_CST) == failing_sync;
    int result = is_last || fails(MAY_FAIL) ? -1 : syscall(call, fd);
    note(result ? 'f' : 'e', place.file, 0, place.path, NULL, NULL, 0, place.is_folder);
    if (is_last) raise(SIGKILL);
    return result;
}
int fsync(int fd) { return sync_with(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_with(SYS_fdatasync, fd); }

ssize_t read(int fd, void *data, size_t size) {
    struct place place;
    if (__atomic_load_n(&wanted_error, __ATOMIC_SEQ_CST) && find(fd, &place) && fails(MAY_FAIL))
        return -1;
    return syscall(SYS_read, fd, data, size);
}

ssize_t pread64(int fd, void *data, size_t size, off64_t at) {
    struct place place;
    if (__atomic_load_n(&wanted_error, __ATOMIC_SEQ_CST) && find(fd, &place) && fails(MAY_FAIL))
        return -1;
    return syscall(SYS_pread64, fd, data, size, at);
}
ssize_t pread(int fd, void *data, size_t size, off_t at) { return pread64(fd, data, size, at); }

/* ---- the wall clock ------------------------------------------------------------------------- */

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (!result && ahead_s && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *ahead_s;
    return result;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec precise;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &precise)) return -1;
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
