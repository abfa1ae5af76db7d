/*
 * The physical limit: a single-threaded epoll server that has each frame ready and does nothing but write it to every
 * socket. Default: the frames of a batch in one write a socket; --each: a write a frame. No WebSocket library,
 * no checks; what a socket does not take at once is kept for it and written when it can be.
 *
 * Input: as servers/feed.mjs says. It ends when its input ends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define FILES 65536
#define EVENTS 1024

/* The bench's client always sends the same key, so the answer is always this. */
static const char ANSWER[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: ";

struct client {
  uint8_t open;
  char *left; /* what is still to be written */
  size_t left_at, left_bytes;
};

static struct client clients[FILES];
static int highest;
static int poller;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void leave(int fd) {
  close(fd);
  free(clients[fd].left);
  memset(&clients[fd], 0, sizeof clients[fd]);
}

static void wait_for(int fd, uint32_t events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  epoll_ctl(poller, EPOLL_CTL_MOD, fd, &event);
}

static void keep(int fd, const char *bytes, size_t length) {
  struct client *client = &clients[fd];
  size_t before = client->left_bytes - client->left_at;
  char *all = malloc(before + length);
  if (all == NULL) fail("malloc");
  if (before > 0) memcpy(all, client->left + client->left_at, before);
  memcpy(all + before, bytes, length);
  free(client->left);
  client->left = all;
  client->left_at = 0;
  client->left_bytes = before + length;
  if (before == 0) wait_for(fd, EPOLLIN | EPOLLOUT);
}

static void send_to(int fd, const char *bytes, size_t length) {
  if (clients[fd].left != NULL) {
    keep(fd, bytes, length);
    return;
  }
  ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && errno != EAGAIN) {
    leave(fd);
    return;
  }
  size_t done = sent < 0 ? 0 : (size_t)sent;
  if (done < length) keep(fd, bytes + done, length - done);
}

static void writable(int fd) {
  struct client *client = &clients[fd];
  if (client->left == NULL) return;
  ssize_t sent = send(fd, client->left + client->left_at, client->left_bytes - client->left_at,
                      MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) {
    if (errno != EAGAIN) leave(fd);
    return;
  }
  client->left_at += (size_t)sent;
  if (client->left_at < client->left_bytes) return;
  free(client->left);
  client->left = NULL;
  client->left_at = client->left_bytes = 0;
  wait_for(fd, EPOLLIN);
}

static void readable(int fd, const char *accept_key) {
  char bytes[4096];
  ssize_t length = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
  if (length == 0 || (length < 0 && errno != EAGAIN)) {
    leave(fd);
    return;
  }
  if (length < 0 || clients[fd].open) return;
  /* The client's request comes in one piece. */
  char answer[512];
  int size = snprintf(answer, sizeof answer, "%s%s\r\n\r\n", ANSWER, accept_key);
  clients[fd].open = 1;
  send_to(fd, answer, (size_t)size);
}

static void accept_all(int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0) return;
    if (fd >= FILES) {
      close(fd);
      continue;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl");
    if (fd > highest) highest = fd;
  }
}

/* A frame's header for an unfragmented binary message. */
static size_t header(char *at, uint32_t bytes) {
  at[0] = (char)0x82;
  if (bytes < 126) {
    at[1] = (char)bytes;
    return 2;
  }
  at[1] = 126;
  at[2] = (char)(bytes >> 8);
  at[3] = (char)bytes;
  return 4;
}

static void broadcast(const char *payloads, uint32_t count, uint32_t bytes, int each) {
  char *frames = malloc((size_t)count * (bytes + 4));
  if (frames == NULL) fail("malloc");
  size_t total = 0, frame = 0;
  for (uint32_t number = 0; number < count; number++) {
    frame = header(frames + total, bytes);
    memcpy(frames + total + frame, payloads + (size_t)number * bytes, bytes);
    frame += bytes;
    total += frame;
  }
  if (each) {
    for (size_t at = 0; at < total; at += frame)
      for (int fd = 0; fd <= highest; fd++)
        if (clients[fd].open) send_to(fd, frames + at, frame);
  } else {
    for (int fd = 0; fd <= highest; fd++)
      if (clients[fd].open) send_to(fd, frames, total);
  }
  free(frames);
}

static char *input;
static size_t input_bytes, input_room;

static void read_input(int each) {
  if (input_room - input_bytes < 65536) {
    input_room += 262144;
    input = realloc(input, input_room);
    if (input == NULL) fail("realloc");
  }
  ssize_t length = read(0, input + input_bytes, input_room - input_bytes);
  if (length <= 0) exit(0);
  input_bytes += (size_t)length;
  size_t at = 0;
  while (input_bytes - at >= 8) {
    uint32_t count, bytes;
    memcpy(&count, input + at, 4);
    memcpy(&bytes, input + at + 4, 4);
    count = ntohl(count);
    bytes = ntohl(bytes);
    if (bytes > 65535) {
      fprintf(stderr, "a payload of %u bytes\n", bytes);
      exit(1);
    }
    size_t whole = 8 + (size_t)count * bytes;
    if (input_bytes - at < whole) break;
    broadcast(input + at + 8, count, bytes, each);
    at += whole;
  }
  memmove(input, input + at, input_bytes - at);
  input_bytes -= at;
}

int main(int argc, char **argv) {
  int each = argc > 2 && strcmp(argv[2], "--each") == 0;
  if (argc < 2) {
    fprintf(stderr, "limit ACCEPT [--each]\n");
    return 2;
  }
  signal(SIGINT, SIG_IGN);
  poller = epoll_create1(0);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) fail("bind");
  if (listen(listener, 4096) < 0) fail("listen");
  socklen_t size = sizeof address;
  getsockname(listener, (struct sockaddr *)&address, &size);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
  event.data.fd = 0;
  epoll_ctl(poller, EPOLL_CTL_ADD, 0, &event);
  printf("{\"port\":%d}\n", ntohs(address.sin_port));
  fflush(stdout);

  static struct epoll_event events[EVENTS];
  for (;;) {
    int count = epoll_wait(poller, events, EVENTS, -1);
    for (int number = 0; number < count; number++) {
      int fd = events[number].data.fd;
      if (fd == listener) accept_all(listener);
      else if (fd == 0) read_input(each);
      else {
        if (events[number].events & EPOLLOUT) writable(fd);
        if (events[number].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(fd, argv[1]);
      }
    }
  }
}
