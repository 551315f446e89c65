/* Preloaded into a Redis: notes beside each file of its data how much of it the last fsync made durable, as a power cut
 * would leave it. FILE.durable holds the size in bytes, 20 digits. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void note(int file) {
  char link[64], path[4096], size[32];
  struct stat status;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 16);
  if (length <= 0 || fstat(file, &status) || !S_ISREG(status.st_mode)) return;
  path[length] = 0;
  if (!strstr(path, ".aof") || strstr(path, ".manifest")) return;
  strcat(path, ".durable");
  int noted = open(path, O_WRONLY | O_CREAT, 0644);
  if (noted < 0) return;
  int digits = snprintf(size, sizeof size, "%020lld\n", (long long)status.st_size);
  if (pwrite(noted, size, digits, 0) != digits) unlink(path);
  close(noted);
}

#define WRAPPED(name)                                                  \
  int name(int file) {                                                 \
    static int (*real)(int);                                           \
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, #name);           \
    int result = real(file);                                           \
    if (!result) note(file);                                           \
    return result;                                                     \
  }
WRAPPED(fsync)
WRAPPED(fdatasync)
