#include "stack/ether/ether_output.hpp"

#include <cstring>

namespace pantala {
namespace {

// Writes the link header to `at`; returns its length.
std::uint8_t write_header(
    const iface& record, const wire::mac_address& to, wire::ether_type type, std::uint8_t* at) {
    wire::ethernet_header header;
    header.destination = to;
    header.source.bytes = record.mac;
    header.type = be16::from(static_cast<std::uint16_t>(type));
    if (record.vlan == vlan_none) {
        std::memcpy(at, &header, sizeof header);
        return sizeof header;
    }
    wire::vlan_tag tag;
    tag.control = be16::from(record.vlan);
    tag.type = header.type;
    header.type = be16::from(static_cast<std::uint16_t>(wire::ether_type::vlan));
    std::memcpy(at, &header, sizeof header);
    std::memcpy(at + sizeof header, &tag, sizeof tag);
    return sizeof header + sizeof tag;
}

} // namespace

adjacency make_adjacency(const iface& record, iface_id id, const wire::mac_address& to) {
    adjacency result;
    result.kind = record.present && record.up ? adjacency_kind::forward : adjacency_kind::down;
    result.port = record.port;
    result.iface = id;
    result.mtu = record.mtu;
    result.mtu6 = record.link_mtu6();
    result.rewrite_length = write_header(record, to, wire::ether_type::ipv4, result.rewrite.data());
    return result;
}

bool ether_prepend(
    const iface& record, const wire::mac_address& to, wire::ether_type type, rte_mbuf& packet) {
    std::uint8_t header[rewrite_bytes_max];
    const std::uint8_t length = write_header(record, to, type, header);
    char* at = rte_pktmbuf_prepend(&packet, length);
    if (at == nullptr) {
        return false;
    }
    std::memcpy(at, header, length);
    return true;
}

void ether_send(std::span<tx_port> tx, const adjacency& out, rte_mbuf* packet) {
    const std::uint8_t version = *rte_pktmbuf_mtod(packet, const std::uint8_t*) >> 4;
    char* at = rte_pktmbuf_prepend(packet, out.rewrite_length);
    PANTALA_ASSERT(at != nullptr); // mbufs have headroom; a link header came off or none was there
    std::memcpy(at, out.rewrite.data(), out.rewrite_length);
    if (version == 6) {
        const be16 type = be16::from(static_cast<std::uint16_t>(wire::ether_type::ipv6));
        std::memcpy(at + out.rewrite_length - sizeof type, &type, sizeof type);
    }
    ether_send_frame(tx, out.port, packet);
}

void ether_send_frame(std::span<tx_port> tx, port_id port, rte_mbuf* frame) {
    tx[port.value].push(frame);
}

} // namespace pantala
