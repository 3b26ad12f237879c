/* What may go wrong at one of a process's changes to the files of a folder; loaded by LD_PRELOAD, see tests/faults.py.

   Counted are: mkdir, making a file, write, pwrite, truncate, sync, rename, unlink. At the change with the number `at`:
   'k' the process is killed before it, 't' a write is done by half and the process is killed, 'e' it fails once,
   'f' it and all that follow fail, 'c' the power is cut: the process is killed, and of what was not synced nothing is there:
   no write, no new, renamed or removed name. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char folder[PATH_MAX];
static int how, error, log_to = -1;
static long at, seen;

/* What a power cut takes back: the bytes that a write replaced, or a name that was made ('+'), removed ('-') or renamed ('>'). */
struct undo {
  char what, path[PATH_MAX], beside[PATH_MAX];
  off_t offset, size;
  size_t length;
  char *bytes;
  struct undo *next;
};
static struct undo *undos;

void faults_arm(const char *where, int how_, long at_, int error_, int log_) {
  how = how_, at = at_, error = error_, log_to = log_, seen = 0;
  snprintf(folder, sizeof folder, "%s", where);
}

long faults_seen(void) { return seen; }

static int inside(const char *path) {
  size_t n = strlen(folder);
  return n && path && !strncmp(path, folder, n) && (path[n] == '/' || path[n] == 0);
}

static int named(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = folder[0] ? readlink(link, path, PATH_MAX - 1) : -1;
  path[n > 0 ? n : 0] = 0;
  return inside(path);
}

static struct undo *remember(char what, const char *path) {
  struct undo *made = calloc(1, sizeof *made);
  made->what = what, made->next = undos, undos = made;
  snprintf(made->path, PATH_MAX, "%s", path);
  return made;
}

static void take_back(struct undo *u) {
  if (u->what == '+') REAL(unlink)(u->path);
  if (u->what == '-') REAL(rename)(u->beside, u->path);
  if (u->what == '>') REAL(rename)(u->path, u->beside);
  if (u->what == 'w') {
    int fd = REAL(open)(u->path, O_WRONLY);
    if (fd < 0) return;
    if (u->length) REAL(pwrite)(fd, u->bytes, u->length, u->offset);
    REAL(ftruncate)(fd, u->size);
  }
}

static void cut(void) {
  for (struct undo *u = undos; u; u = u->next) take_back(u);
}

/* What a sync makes last: the bytes of a file, or the names in a folder. */
static void forget(const char *path) {
  struct stat is;
  int names = !stat(path, &is) && S_ISDIR(is.st_mode);
  for (struct undo **u = &undos; *u;)
    if (names ? (*u)->what != 'w' : (*u)->what == 'w' && !strcmp((*u)->path, path)) {
      if ((*u)->what == '-') REAL(unlink)((*u)->beside);
      *u = (*u)->next;
    } else
      u = &(*u)->next;
}

static void written(int fd, const char *path, size_t count, off_t offset) {
  struct stat is;
  if (how != 'c' || fstat(fd, &is)) return;
  struct undo *u = remember('w', path);
  int from = REAL(open)(path, O_RDONLY);
  u->offset = offset, u->size = is.st_size, u->bytes = malloc(count + 1);
  ssize_t n = from < 0 ? 0 : pread(from, u->bytes, count, offset);
  u->length = n > 0 ? n : 0;
  /* `from` stays open: to close a descriptor would drop the process's locks on the file. */
}

/* Counts a change; whether it is to fail. `half` writes a half of it. */
static int happens(const char *what, const char *path, void (*half)(void *), void *of) {
  long n = ++seen;
  if (log_to >= 0) dprintf(log_to, "%ld %s %s\n", n, what, path + strlen(folder));
  if (n == at && how == 't' && half) half(of);
  if (n == at && how == 'c') cut();
  if (n == at && (how == 'k' || how == 't' || how == 'c')) kill(getpid(), SIGKILL), pause();
  if ((n == at && how == 'e') || (n >= at && how == 'f')) {
    errno = error;
    return 1;
  }
  return 0;
}

#define BEGIN pthread_mutex_lock(&lock)
#define END pthread_mutex_unlock(&lock)

struct piece {
  int fd;
  const char *bytes;
  size_t count;
  off_t offset; /* -1: where the file stands */
};

static void half(void *of) {
  struct piece *p = of;
  if (p->offset < 0)
    REAL(write)(p->fd, p->bytes, p->count / 2);
  else
    REAL(pwrite)(p->fd, p->bytes, p->count / 2, p->offset);
}

static ssize_t put(struct piece p) {
  char path[PATH_MAX];
  ssize_t done = -1;
  int mine = named(p.fd, path);
  if (mine) BEGIN;
  if (!mine || !happens("write", path, half, &p)) {
    if (mine) written(p.fd, path, p.count, p.offset < 0 ? lseek(p.fd, 0, SEEK_CUR) : p.offset);
    done = p.offset < 0 ? REAL(write)(p.fd, p.bytes, p.count) : REAL(pwrite)(p.fd, p.bytes, p.count, p.offset);
  }
  if (mine) END;
  return done;
}

ssize_t write(int fd, const void *b, size_t n) { return put((struct piece){fd, b, n, -1}); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) { return put((struct piece){fd, b, n, o}); }
ssize_t pwrite64(int fd, const void *b, size_t n, off_t o) { return put((struct piece){fd, b, n, o}); }

static int shorten(int fd, off_t size) {
  char path[PATH_MAX];
  struct stat is;
  int done = -1, mine = named(fd, path);
  if (mine) BEGIN;
  if (!mine || !happens("truncate", path, NULL, NULL)) {
    if (mine && !fstat(fd, &is) && is.st_size > size) written(fd, path, is.st_size - size, size);
    done = REAL(ftruncate)(fd, size);
  }
  if (mine) END;
  return done;
}

int ftruncate(int fd, off_t n) { return shorten(fd, n); }
int ftruncate64(int fd, off_t n) { return shorten(fd, n); }

#define SYNC(name)                                                \
  int name(int fd) {                                              \
    char path[PATH_MAX];                                          \
    int done = -1, mine = named(fd, path);                        \
    if (mine) BEGIN;                                              \
    if (!mine || !happens("sync", path, NULL, NULL)) {            \
      done = REAL(name)(fd);                                      \
      if (mine && !done) forget(path);                            \
    }                                                             \
    if (mine) END;                                                \
    return done;                                                  \
  }
SYNC(fsync)
SYNC(fdatasync)

static int opened(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
  int done = -1, mine = (flags & O_CREAT) && inside(path) && access(path, F_OK);
  if (mine) BEGIN;
  if (!mine || !happens("make", path, NULL, NULL)) {
    done = real(path, flags, mode);
    if (mine && done >= 0 && how == 'c') remember('+', path);
  }
  if (mine) END;
  return done;
}

#define OPEN(name)                                                \
  int name(const char *path, int flags, ...) {                    \
    va_list more;                                                 \
    va_start(more, flags);                                        \
    mode_t mode = (flags & O_CREAT) ? va_arg(more, mode_t) : 0;   \
    va_end(more);                                                 \
    return opened(REAL(name), path, flags, mode);                 \
  }
OPEN(open)
OPEN(open64)

int mkdir(const char *path, mode_t mode) {
  int mine = inside(path), done = -1;
  if (mine) BEGIN;
  if (!mine || !happens("mkdir", path, NULL, NULL)) done = REAL(mkdir)(path, mode);
  if (mine) END;
  return done;
}

int rename(const char *from, const char *to) {
  int mine = inside(to), done = -1;
  if (mine) BEGIN;
  if (!mine || !happens("rename", to, NULL, NULL)) {
    done = REAL(rename)(from, to);
    if (mine && !done && how == 'c') snprintf(remember('>', to)->beside, PATH_MAX, "%s", from);
  }
  if (mine) END;
  return done;
}

int unlink(const char *path) {
  static int number;
  int mine = inside(path), done = -1;
  if (mine) BEGIN;
  if (!mine || !happens("unlink", path, NULL, NULL)) {
    if (mine && how == 'c') {
      struct undo *u = remember('-', path);
      snprintf(u->beside, PATH_MAX, "%s/.removed-%d", folder, number++);
      done = REAL(rename)(path, u->beside);
    } else
      done = REAL(unlink)(path);
  }
  if (mine) END;
  return done;
}
