#include "stack/ip/ip4_single.hpp"

#include "stack/ether/packet_meta.hpp"
#include "stack/ip/icmp/icmp4_error.hpp"
#include "stack/ip/ip4_forward.hpp"
#include "stack/ip/ip4_input.hpp"
#include "stack/ip/ip4_options.hpp"
#include "stack/ip/ip4_output.hpp"
#include "stack/wire/ipv4.hpp"

#include <cstring>

namespace pantala {
namespace {

void refuse_options(ip4_context& context, rte_mbuf* packet, const ip4_options_check& check) {
    if (check.verdict == ip4_options_verdict::source_route) {
        icmp4_unreachable(context, *packet, wire::icmp4_unreachable::source_route_failed);
    } else {
        icmp4_parameter_problem(context, *packet, check.pointer);
    }
    context.worker.drops.drop(packet, drop_reason::ip4_options);
}

// A sound packet, data at its header, by the kind of its destination.
void sort(ip4_context& context, rte_mbuf* packet, const wire::ipv4_header& ip) {
    if (ip.destination.is_multicast()) {
        return context.worker.drops.drop(packet, drop_reason::ip4_multicast);
    }
    if (ip.destination.is_limited_broadcast()) {
        return context.local.push(packet); // never forwarded (RFC 1812 5.3.5.1)
    }
    if (!ip4_routable(ip.destination.host())) {
        return context.worker.drops.drop(packet, drop_reason::ip4_destination);
    }
    const std::uint8_t table = context.links[meta_of(*packet).iface].table;
    ip4_forward_one(context, packet, context.routes.lookup4(table, ip.destination.host()));
}

void input_one(ip4_context& context, rte_mbuf* packet, std::uint8_t* header, std::uint32_t bytes) {
    const auto offset =
        static_cast<std::uint16_t>(header - rte_pktmbuf_mtod(packet, std::uint8_t*));
    const drop_reason verdict = ip4_check(header, bytes, packet->data_len - offset);
    if (verdict != drop_reason::none) {
        return context.worker.drops.drop(packet, verdict);
    }
    wire::ipv4_header ip;
    std::memcpy(&ip, header, sizeof ip);
    rte_pktmbuf_adj(packet, offset);
    ip4_trim(*packet, ip.total_length.host());
    if (ip.header_bytes() > wire::ipv4_header_min_bytes) {
        const ip4_options_check options = ip4_check_options({header, ip.header_bytes()});
        if (options.verdict != ip4_options_verdict::sound) {
            return refuse_options(context, packet, options);
        }
    }
    sort(context, packet, ip);
}

} // namespace

void ip4_single(ip4_context& context, l3_burst& packets) {
    for (unsigned i = 0; i < packets.count; ++i) {
        input_one(context, packets.packets[i], packets.header[i], packets.bytes[i]);
    }
    packets.clear();
}

} // namespace pantala
