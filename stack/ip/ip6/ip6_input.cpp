#include "stack/ip/ip6/ip6_input.hpp"

#include "stack/wire/ip6/ip6_plain.hpp"

namespace pantala {

drop_reason ip6_check(const wire::ipv6_header& ip, std::uint32_t bytes) {
    if (ip.version() != 6) {
        return drop_reason::ip6_version;
    }
    if (wire::ipv6_header_bytes + ip.payload_length.host() > bytes) {
        return drop_reason::ip6_length;
    }
    // Who asks whether an address is taken has none yet, and asks a group (RFC 4862 5.4.2).
    const bool nobody = ip.source.is_unspecified();
    if (ip.source.is_multicast() || ip.source.is_loopback() || ip.source.is_v4_mapped() ||
        (nobody && !ip.destination.is_multicast())) {
        return drop_reason::ip6_source;
    }
    const bool narrow = ip.destination.is_multicast() && // RFC 4291 2.7: reserved, or of a node
                        (ip.destination.bytes[1] & 0x0f) <= 1;
    if (ip.destination.is_unspecified() || ip.destination.is_loopback() ||
        ip.destination.is_v4_mapped() || narrow) {
        return drop_reason::ip6_destination;
    }
    return drop_reason::none;
}

void ip6_input(l3_burst& packets, address6* destination, l3_burst& single) {
    const unsigned count = packets.count;
    const std::uint64_t all =
        count == burst_max ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
    const std::uint64_t mask = wire::ip6_look(packets.header, packets.bytes, count, destination);
    if (mask == all) [[likely]] {
        return;
    }
    packets.mark();
    unsigned kept = 0;
    for (unsigned i = 0; i < count; ++i) {
        if ((mask >> i & 1) == 0) {
            single.push(packets.packets[i], packets.header[i], packets.bytes[i]);
            continue;
        }
        packets.move(kept, i);
        destination[kept] = destination[i];
        ++kept;
    }
    packets.count = static_cast<std::uint16_t>(kept);
}

} // namespace pantala
