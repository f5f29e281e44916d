// Ancillary data of datagrams (RFC 3542; Linux's ip(7)): what recvmsg tells beside the bytes, and
// what sendmsg is told. An AF_INET socket speaks IPPROTO_IP, an AF_INET6 one IPPROTO_IPV6, also
// about IPv4. Interfaces have no numbers here: 0.
#pragma once

#include "stack/socket/bsd/bsd_datagram.hpp"

#include <sys/socket.h>

namespace pantala::bsd {

// Puts what the socket asked for into the message's control buffer, whole or not at all (then
// MSG_CTRUNC); msg_controllen says how much it is.
void write_ancillary(const datagram_facts& facts, msghdr& message);

// How a datagram shall leave: the address that it comes from (PKTINFO; zero: the host's choice),
// TOS, TTL, traffic class, hop limit. 0 or errno: EINVAL, it is malformed or something else;
// ENODEV, it names an interface.
int read_ancillary(const msghdr& message, int domain, datagram_head& out);

} // namespace pantala::bsd
