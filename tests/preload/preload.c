/* Faults that only the C library can bring: a disk that is full at the Nth write, and a wall clock that jumps.
 *
 * The harness builds this as a shared object, loads it before everything else (LD_PRELOAD) into `orch` and all it
 * starts, and steers it through a file that is mapped into each of them (ORCH_FAULTS_CONTROL; see
 * `src/faults/preload.rs`, which has the same layout). Only the daemon meets a full disk, and only in files below
 * ORCH_FAULTS_BELOW; every process sees the same clock. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct control {
  /* Writes of the daemon below the folder since the harness put 0 here. */
  _Atomic uint64_t seen;
  /* Those from `first` (counted from 1; 0 for never) to `last` find a full disk. */
  _Atomic uint64_t first;
  _Atomic uint64_t last;
  /* How many found one. */
  _Atomic uint64_t failed;
  /* What the wall clock shows, minus what it should, in nanoseconds. */
  _Atomic int64_t ahead;
};

static struct control *control;
static int is_daemon;
static char below[PATH_MAX];

static long real_open(const char *path, int flags, mode_t mode) { return syscall(SYS_openat, AT_FDCWD, path, flags, mode); }

static int command_line_says(const char *word) {
  char text[4096];
  long file = real_open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC, 0);
  if (file < 0) return 0;
  long count = syscall(SYS_read, file, text, sizeof text - 1);
  syscall(SYS_close, file);
  if (count <= 0) return 0;
  text[count] = 0;
  for (char *at = text; at < text + count; at += strlen(at) + 1)
    if (strcmp(at, word) == 0) return 1;
  return 0;
}

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("ORCH_FAULTS_CONTROL"), *folder = getenv("ORCH_FAULTS_BELOW");
  if (!path || !folder || strlen(folder) >= sizeof below) return;
  strcpy(below, folder);
  is_daemon = command_line_says("serve");
  long file = real_open(path, O_RDWR | O_CLOEXEC, 0);
  if (file < 0) return;
  void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, (int)file, 0);
  syscall(SYS_close, file);
  if (mapped != MAP_FAILED) control = mapped;
}

static int is_below(const char *path) {
  size_t length = strlen(below);
  return strncmp(path, below, length) == 0 && (path[length] == '/' || path[length] == 0);
}

/* Counts a write and says whether it finds a full disk. */
static int meets_full_disk(void) {
  uint64_t number = atomic_fetch_add(&control->seen, 1) + 1;
  uint64_t first = atomic_load(&control->first);
  if (first == 0 || number < first || number > atomic_load(&control->last)) return 0;
  atomic_fetch_add(&control->failed, 1);
  errno = ENOSPC;
  return 1;
}

static int file_meets_full_disk(int descriptor) {
  if (!control || !is_daemon) return 0;
  int saved = errno;
  struct stat found;
  char link[64], path[PATH_MAX];
  int fails = 0;
  if (fstat(descriptor, &found) == 0 && S_ISREG(found.st_mode)) {
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length > 0) {
      path[length] = 0;
      fails = is_below(path) && meets_full_disk();
    }
  }
  errno = fails ? ENOSPC : saved;
  return fails;
}

/* A name that is not there yet needs room in its folder. */
static int name_meets_full_disk(int folder, const char *path) {
  if (!control || !is_daemon || path[0] != '/' || !is_below(path)) return 0;
  int saved = errno;
  struct stat found;
  int fails = syscall(SYS_newfstatat, folder, path, &found, 0) != 0 && meets_full_disk();
  errno = fails ? ENOSPC : saved;
  return fails;
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
  return file_meets_full_disk(descriptor) ? -1 : syscall(SYS_write, descriptor, bytes, count);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off64_t offset) {
  return file_meets_full_disk(descriptor) ? -1 : syscall(SYS_pwrite64, descriptor, bytes, count, offset);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) { return pwrite64(descriptor, bytes, count, offset); }

ssize_t writev(int descriptor, const struct iovec *pieces, int count) {
  return file_meets_full_disk(descriptor) ? -1 : syscall(SYS_writev, descriptor, pieces, count);
}

ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t count, unsigned flags) {
  return file_meets_full_disk(to) ? -1 : syscall(SYS_copy_file_range, from, from_offset, to, to_offset, count, flags);
}

int mkdir(const char *path, mode_t mode) {
  return name_meets_full_disk(AT_FDCWD, path) ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

static int open_in(int folder, const char *path, int flags, mode_t mode) {
  if ((flags & O_CREAT) && name_meets_full_disk(folder, path)) return -1;
  return (int)syscall(SYS_openat, folder, path, flags, mode);
}

#define MODE_OF(flags)                             \
  mode_t mode = 0;                                 \
  if ((flags) & (O_CREAT | __O_TMPFILE)) {         \
    va_list rest;                                  \
    va_start(rest, flags);                         \
    mode = va_arg(rest, mode_t);                   \
    va_end(rest);                                  \
  }

int open(const char *path, int flags, ...) { MODE_OF(flags) return open_in(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE_OF(flags) return open_in(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE_OF(flags) return open_in(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE_OF(flags) return open_in(folder, path, flags | O_LARGEFILE, mode); }

static void add_ahead(struct timespec *moment) {
  if (!control) return;
  int64_t ahead = atomic_load(&control->ahead);
  int64_t nanoseconds = moment->tv_nsec + ahead % 1000000000;
  moment->tv_sec += ahead / 1000000000 + nanoseconds / 1000000000;
  moment->tv_nsec = nanoseconds % 1000000000;
  if (moment->tv_nsec < 0) {
    moment->tv_nsec += 1000000000;
    moment->tv_sec -= 1;
  }
}

int clock_gettime(clockid_t clock, struct timespec *moment) {
  int outcome = (int)syscall(SYS_clock_gettime, clock, moment);
  if (outcome == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) add_ahead(moment);
  return outcome;
}

int gettimeofday(struct timeval *restrict moment, void *restrict zone) {
  (void)zone;
  struct timespec exact;
  int outcome = clock_gettime(CLOCK_REALTIME, &exact);
  if (outcome == 0) *moment = (struct timeval){.tv_sec = exact.tv_sec, .tv_usec = exact.tv_nsec / 1000};
  return outcome;
}

time_t time(time_t *moment) {
  struct timespec exact;
  if (clock_gettime(CLOCK_REALTIME, &exact) != 0) return -1;
  if (moment) *moment = exact.tv_sec;
  return exact.tv_sec;
}
