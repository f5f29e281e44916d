// Packets that want a closer look, one by one.
#pragma once

#include "stack/ether/l3_burst.hpp"
#include "stack/ip/ip4_context.hpp"

namespace pantala {

// Checks each packet in full, looks at its options and at what kind of destination it has, and
// sends it on as ip4_forward does. Takes all of `packets` and empties it.
void ip4_single(ip4_context& context, l3_burst& packets);

} // namespace pantala
