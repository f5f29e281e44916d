// How a BSD-shaped socket gets its connection. Callers, under the socket's lock.
#pragma once

#include "stack/socket/bsd/bsd_socket.hpp"

namespace pantala::bsd {

// A port of the host's choosing: nobody holds it, nobody listens on it. 0 or errno.
int choose_port(bsd_socket& self);
// Where a connection attempt stands: 0, errno, or EINPROGRESS.
int outcome_of(bsd_socket& self);
// Begins one, of a fresh socket. 0 or errno.
int start_connecting(bsd_socket& self, const endpoint& to, connect_options& how);
// TCP_FASTOPEN_CONNECT: begins one when the first bytes are sent, if the server's cookie is there;
// else at once.
int defer_connecting(bsd_socket& self, const endpoint& to);

} // namespace pantala::bsd
