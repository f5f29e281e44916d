#include "stack/ip/ip4_local.hpp"

#include "stack/ether/packet_meta.hpp"
#include "stack/ip/icmp/icmp4_error.hpp"
#include "stack/wire/ipv4.hpp"

#include <cstring>

namespace pantala {
namespace {

wire::ipv4_header header_of(const rte_mbuf& packet) {
    wire::ipv4_header ip;
    std::memcpy(&ip, rte_pktmbuf_mtod(&packet, const void*), sizeof ip);
    return ip;
}

} // namespace

void ip4_local(ip4_context& context, ip4_reassembly& reassembly, ip4_delivered& sorted) {
    for (rte_mbuf* packet : context.local) {
        context.counters.delivered.add(1);
        if (header_of(*packet).is_fragment()) {
            context.counters.fragments_in.add(1);
            packet =
                reassembly.add(packet, context.links[meta_of(*packet).iface].table, context.now);
            if (packet == nullptr) {
                continue;
            }
            context.counters.reassembled.add(1);
            packet->ol_flags &= ~RTE_MBUF_F_RX_L4_CKSUM_MASK; // a fragment's says nothing
        }
        packet->l3_len = header_of(*packet).header_bytes();
        switch (static_cast<wire::ip_protocol>(header_of(*packet).protocol)) {
        case wire::ip_protocol::icmp:
            sorted.icmp.push(packet);
            break;
        case wire::ip_protocol::tcp:
            sorted.tcp.push(packet);
            break;
        case wire::ip_protocol::udp:
            sorted.udp.push(packet);
            break;
        default:
            icmp4_unreachable(context, *packet, wire::icmp4_unreachable::protocol);
            context.worker.drops.drop(packet, drop_reason::ip4_protocol);
            break;
        }
    }
    context.local.clear();
}

} // namespace pantala
