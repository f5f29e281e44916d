// Sockets in the shape of BSD's, for any thread of the process. As in POSIX: -1 and errno on
// failure, blocking unless O_NONBLOCK (SOCK_NONBLOCK) is set. Descriptors are this library's own
// numbers, not the kernel's. TCP and UDP over the process's Pantala host; requests travel to the
// worker that has the connection, bytes through two rings a socket.
//
// Any number of threads may use a socket at a time. close() wakes those that wait for it: they get
// EBADF, poll POLLNVAL, and an epoll forgets it. A signal's handler interrupts who waits (EINTR) as
// signal(7) says: with SA_RESTART only poll, epoll_wait and what has a timeout. When the host
// stops, they get ECONNABORTED, and ENETDOWN when they ask for something new; a thread that is
// within a call when the host goes returns from it.
//
// fork is not supported: a child has none of its parent's descriptors (EBADF) and can make none
// (ENETDOWN). Its parent goes on undisturbed.
#pragma once

#include <cstddef>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

namespace pantala::bsd {

// AF_INET or AF_INET6; SOCK_STREAM or SOCK_DGRAM, with SOCK_NONBLOCK and SOCK_CLOEXEC.
int socket(int domain, int type, int protocol);
// Port 0: the host chooses one that no other socket has. A port in use: listen says so.
int bind(int socket, const sockaddr* address, socklen_t length);
// Listens on every worker; unbound, on a port of the host's choosing. A connection beyond the
// backlog (1 to 4,096; negative: the most) is reset. Again: changes the backlog.
int listen(int socket, int backlog);
int accept(int socket, sockaddr* address, socklen_t* length);
int accept4(int socket, sockaddr* address, socklen_t* length, int flags);
// An attempt that failed may be made again on the same socket. Of datagrams: hears this peer alone
// and its refusals (ECONNREFUSED); AF_UNSPEC: everybody again. What had come before is forgotten.
int connect(int socket, const sockaddr* address, socklen_t length);
// MSG_DONTWAIT; of recv also MSG_PEEK and MSG_WAITALL (both: waits for no more than SO_RCVBUF
// holds) and, of a stream, MSG_TRUNC: throws the bytes away, and needs no buffer. MSG_NOSIGNAL,
// MSG_EOR, MSG_CONFIRM, MSG_ZEROCOPY and MSG_CMSG_CLOEXEC change nothing; MSG_OOB and MSG_ERRQUEUE
// never find anything (EINVAL, EAGAIN). Nobody gets SIGPIPE. MSG_MORE: a short segment waits for
// what the next call brings (TCP_CORK for one call), at most until an ACK comes or the
// retransmission timeout is over; of datagrams EOPNOTSUPP, since each call is one of its own. A
// call takes 2 GiB at most. MSG_FASTOPEN (RFC 7413) on a socket that is not connected: connects to
// the address and sends the begin of the bytes in the SYN, if the server has given a cookie; else
// the SYN asks for one, and a non-blocking socket says EINPROGRESS with nothing sent. The server
// may get these bytes twice.
ssize_t send(int socket, const void* bytes, std::size_t count, int flags);
ssize_t sendto(
    int socket, const void* bytes, std::size_t count, int flags, const sockaddr* to,
    socklen_t length);
// A datagram of 65,507 bytes at most, or of SO_SNDBUF. What the host finds wrong with it (no route)
// is told by the next call. SO_RCVBUF is each worker's; what finds no room in it is lost.
// Receiving, MSG_TRUNC: its whole length.
ssize_t recv(int socket, void* bytes, std::size_t count, int flags);
ssize_t
recvfrom(int socket, void* bytes, std::size_t count, int flags, sockaddr* from, socklen_t* length);
ssize_t sendmsg(int socket, const msghdr* message, int flags);
// Ancillary data, of datagrams alone: recvmsg tells what was asked for (IPPROTO_IP: IP_PKTINFO,
// IP_RECVTOS, IP_RECVTTL; of an AF_INET6 socket IPPROTO_IPV6: IPV6_RECVPKTINFO, IPV6_RECVTCLASS,
// IPV6_RECVHOPLIMIT), sendmsg takes PKTINFO: the address of ours to send from (one that is not
// ours: EADDRNOTAVAIL, by the next call), IP_TOS and IP_TTL, IPV6_TCLASS and IPV6_HOPLIMIT.
// Interfaces have no numbers: 0.
ssize_t recvmsg(int socket, msghdr* message, int flags);
// How many; one after the other. recvmmsg takes MSG_WAITFORONE, and no time: SO_RCVTIMEO is each's.
int sendmmsg(int socket, mmsghdr* messages, unsigned count, int flags);
int recvmmsg(int socket, mmsghdr* messages, unsigned count, int flags);
ssize_t write(int socket, const void* bytes, std::size_t count);
ssize_t read(int socket, void* bytes, std::size_t count);
ssize_t writev(int socket, const iovec* pieces, int count);
ssize_t readv(int socket, const iovec* pieces, int count);
// Behind SHUT_RD, recv says the end of the stream once what had arrived is read; a listener listens
// no more (who waits in accept gets EINVAL).
int shutdown(int socket, int how);
// Also an epoll's. With SO_LINGER and a time, waits that long for the peer to have everything,
// also of a non-blocking socket. Else what is not sent yet still goes, unless the peer takes
// nothing of it for TCP_USER_TIMEOUT, or for ten minutes from now.
int close(int socket);
// SOL_SOCKET: SO_ERROR, SO_TYPE, SO_DOMAIN, SO_PROTOCOL, SO_ACCEPTCONN, SO_REUSEADDR and
// SO_OOBINLINE and SO_BROADCAST (always as if set), SO_REUSEPORT (changes nothing: a listener is on
// every worker, a second one on its endpoint EADDRINUSE), SO_KEEPALIVE, SO_LINGER, SO_SNDBUF and
// SO_RCVBUF (the rings: 4 KiB to 4 MiB, before the connection is made; a smaller SO_SNDBUF also
// later; TCP's own buffers come on top), SO_SNDTIMEO, SO_RCVTIMEO, SO_MAX_PACING_RATE (bytes a
// second, in 4 or 8 bytes; all ones: no bound; below 238 it is 238). IPPROTO_IPV6: IPV6_V6ONLY,
// before bind. Of datagrams IP_TOS and IP_TTL, of an AF_INET6 socket IPV6_TCLASS and
// IPV6_UNICAST_HOPS (-1: as the host has it), and what asks for ancillary data. IPPROTO_TCP:
// TCP_NODELAY, TCP_CORK, TCP_QUICKACK (of a connection, not for good), TCP_USER_TIMEOUT,
// TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT (heeded with SO_KEEPALIVE), TCP_MAXSEG (before the
// connection is made), TCP_CONGESTION (cubic, reno, dctcp; ENOENT: another one; dctcp wants ECN,
// which the host's configuration asks for), to ask TCP_INFO (Linux's layout). Fast Open, off by
// default: TCP_FASTOPEN of a listener (how many connections at a time may rest on a cookie alone,
// on each worker), TCP_FASTOPEN_CONNECT (connect waits for the first bytes sent, where there is a
// cookie).
int getsockopt(int socket, int level, int name, void* value, socklen_t* length);
int setsockopt(int socket, int level, int name, const void* value, socklen_t length);
int getsockname(int socket, sockaddr* address, socklen_t* length);
int getpeername(int socket, sockaddr* address, socklen_t* length);
int fcntl(int socket, int command, int value = 0);        // F_GETFL, F_SETFL: O_NONBLOCK
int ioctl(int socket, unsigned long request, int* value); // FIONREAD, FIONBIO, TIOCOUTQ

// Descriptors of this library only. POLLRDNORM and POLLWRNORM are POLLIN and POLLOUT.
int poll(pollfd* sockets, nfds_t count, int timeout_ms);
// Descriptors below FD_SETSIZE; `timeout` stays as it is.
int select(int count, fd_set* read, fd_set* write, fd_set* except, timeval* timeout);
// EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLERR, EPOLLHUP; EPOLLET and EPOLLONESHOT; EPOLLEXCLUSIVE wakes
// everybody all the same. Sockets only, no epoll in an epoll. Cost of a wait: linear in what is
// registered.
int epoll_create(int size);
int epoll_create1(int flags);
int epoll_ctl(int epoll, int operation, int socket, epoll_event* event);
int epoll_wait(int epoll, epoll_event* events, int most, int timeout_ms);

} // namespace pantala::bsd
