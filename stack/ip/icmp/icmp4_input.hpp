// ICMP for this host: echo is answered, errors about our packets are consumed.
#pragma once

#include "stack/ip/ip4_context.hpp"

namespace pantala {

// Takes all of `packets` (whole, data at the IPv4 header) and empties it. Echo requests to one of
// our own addresses are answered in place, within the rate of settings; the answer carries no IP
// options. Errors, checked and unchanged, are left in `errors`.
void icmp4_input(ip4_context& context, mbuf_burst& packets, mbuf_burst& errors);

} // namespace pantala
