// IPv6 input: the checks of RFC 8200 3 and RFC 4291 2.5, 2.7.
#pragma once

#include "engine/drop.hpp"
#include "stack/ether/l3_burst.hpp"
#include "stack/route/prefix6.hpp"
#include "stack/wire/ipv6.hpp"

#include <cstdint>

namespace pantala {

// Leaves in `packets`, in order, those that are plain (wire/ip6/ip6_plain.hpp), with their
// destinations at the same places of `destination` (burst_max of them). All others, bad or only
// unusual, go to `single`, which has room for them all (ip6_single.hpp).
void ip6_input(l3_burst& packets, address6* destination, l3_burst& single);

// All checks for one packet, in order, with the reason of the first that fails; drop_reason::none:
// it is sound. `bytes` are those from the header to the end of the frame.
drop_reason ip6_check(const wire::ipv6_header& ip, std::uint32_t bytes);

} // namespace pantala
