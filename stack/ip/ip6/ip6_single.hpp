// Packets that want a closer look, one by one.
#pragma once

#include "stack/ether/l3_burst.hpp"
#include "stack/ip/ip6/ip6_context.hpp"

namespace pantala {

// Checks each packet in full, looks at its hop-by-hop options and at what kind of addresses it has,
// and sends it on as ip6_forward does. Takes all of `packets` and empties it.
void ip6_single(ip6_context& context, l3_burst& packets);

} // namespace pantala
