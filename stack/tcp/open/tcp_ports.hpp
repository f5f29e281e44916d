// Where connections that we open begin: their port and their first sequence number.
#pragma once

#include "stack/wire/flow.hpp"
#include "stack/wire/tcp.hpp"

#include <cstdint>

namespace pantala::tcp {

class host;
struct conn;

// Has the flow a connection, or one in TIME-WAIT that may not be taken over yet?
bool is_taken(const host& h, const flow_key& key, std::uint64_t hash);
// RFC 6056 algorithm 3: a keyed offset for the destination plus a counter, the first free port
// whose replies come to this worker. False: there is none.
bool choose_port(host& h, flow_key& key, std::uint64_t& hash);
// Of a flow that is not taken. One that was in TIME-WAIT (and no longer is) begins above what it
// sent (RFC 6191, RFC 9293 3.6.1 (2)).
tcp_seq first_sequence(host& h, const conn& c);

} // namespace pantala::tcp
