/* The target of the load benchmarks: one thread, one epoll loop, one fixed JSON answer of about 100 bytes.
 *
 * It must be faster than every generator, so it only looks for the end of each request head and never allocates.
 * Build: cc -O2 -o target target.c      Run: ./target PORT      It prints "ready" when it listens.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 512
#define BUFFER 65536
#define PIPELINE 64

static const char BODY[] =
    "{\"id\":42,\"name\":\"Ada Lovelace\",\"email\":\"ada@example.com\",\"roles\":[\"admin\",\"author\"],\"active\":true}\n";

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: target PORT\n");
        return 2;
    }
    char answer[512], answers[PIPELINE * 512];
    int length = snprintf(answer, sizeof answer,
                          "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                          sizeof BODY - 1, BODY);
    for (int i = 0; i < PIPELINE; i++)
        memcpy(answers + i * length, answer, length);

    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("target");
        return 1;
    }
    fcntl(listener, F_SETFL, O_NONBLOCK);
    int poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[EVENTS];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    puts("ready");
    fflush(stdout);

    static char buffer[BUFFER];
    for (;;) {
        int count = epoll_wait(poller, ready, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) {
                int client;
                while ((client = accept(listener, NULL, NULL)) >= 0) {
                    fcntl(client, F_SETFL, O_NONBLOCK);
                    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    struct epoll_event added = {.events = EPOLLIN, .data.fd = client};
                    epoll_ctl(poller, EPOLL_CTL_ADD, client, &added);
                }
                continue;
            }
            ssize_t got = recv(fd, buffer, BUFFER, 0);
            if (got <= 0) {
                if (got == 0 || (errno != EAGAIN && errno != EINTR))
                    close(fd);
                continue;
            }
            int requests = 0;
            for (char *at = buffer; (at = memmem(at, buffer + got - at, "\r\n\r\n", 4)) != NULL; at += 4)
                requests++;
            while (requests > 0) {
                int now = requests < PIPELINE ? requests : PIPELINE;
                if (send(fd, answers, (size_t)now * length, MSG_NOSIGNAL) < 0)
                    break;
                requests -= now;
            }
        }
    }
}
