/* What a hook's capture costs at the least: the same entry, with the same durable steps, without an
   interpreter. A measure for benchmarks/hooks.py, and no part of Fleet: it starts no drainer, and
   expects paths without control characters.

       capture FLEET_HOME EVENT < payload
*/

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static char *session_of(char *payload) {
    char *at = strstr(payload, "\"session_id\""), *end;
    static char found[65];
    if (!at || !(at = strchr(at + 12, '"')) || !(end = strchr(at + 1, '"')) || end - at > 65)
        return "-";
    memcpy(found, at + 1, end - at - 1);
    return found;
}

int main(int count, char **arguments) {
    size_t size = 0, room = 1 << 20;
    char *payload = malloc(room + 1), header[16384], *project, *cwd;
    char name[512], temporary[4096], final[4096], folder[4096], here[1024];
    struct timespec now;
    unsigned random;
    ssize_t got;

    if (count != 3)
        return 0;
    while ((got = read(0, payload + size, room - size)) > 0)
        if ((size += got) == room)
            payload = realloc(payload, (room *= 2) + 1);
    payload[size] = 0;
    project = getenv("CLAUDE_PROJECT_DIR");
    cwd = getcwd(here, sizeof here);
    clock_gettime(CLOCK_REALTIME, &now);
    getentropy(&random, sizeof random);
    long long received = now.tv_sec * 1000000000LL + now.tv_nsec;
    snprintf(name, sizeof name, "%020lld.%s.%s.%d-%08x", received, arguments[2],
             session_of(payload), getpid(), random);
    snprintf(temporary, sizeof temporary, "%s/spool/tmp/%s", arguments[1], name);
    snprintf(final, sizeof final, "%s/spool/new/%s", arguments[1], name);
    snprintf(folder, sizeof folder, "%s/spool/new", arguments[1]);
    int length = snprintf(
        header, sizeof header,
        "fleet-spool 1\nevent %s\nreceived %lld\nproject %s\ncwd %s\npayload %zu\n\n",
        arguments[2], received, project ? project : "", cwd ? cwd : "", size);

    int file = open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (file < 0 || flock(file, LOCK_EX) || write(file, header, length) != length ||
        write(file, payload, size) != (ssize_t)size || fsync(file) || rename(temporary, final))
        return 0;
    int directory = open(folder, O_RDONLY | O_DIRECTORY);
    fsync(directory);
    return 0;
}
