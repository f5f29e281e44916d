#include "tests/stack/tcp/scripted_peer.hpp"

#include "stack/wire/checksum.hpp"
#include "stack/wire/ipv4.hpp"
#include "stack/wire/ipv6.hpp"

#include <algorithm>
#include <cstring>

#include <rte_mbuf.h>

namespace pantala::sim {

namespace {

wire_segment read(const rte_mbuf* packet) {
    const unsigned l3_bytes = *rte_pktmbuf_mtod(packet, const std::uint8_t*) >> 4 == 4 ? 20 : 40;
    const auto* at = rte_pktmbuf_mtod(packet, const std::uint8_t*) + l3_bytes;
    wire::tcp_header header;
    std::memcpy(&header, at, sizeof header);
    wire_segment result;
    result.flags = header.flags;
    result.seq = header.sequence.host();
    result.ack = header.acknowledgment.host();
    result.window = header.window.host();
    result.host_port = header.source_port.host();
    result.peer_port = header.destination_port.host();
    result.options.assign(at + sizeof header, at + header.header_bytes());
    result.payload.assign(
        at + header.header_bytes(),
        rte_pktmbuf_mtod(packet, const std::uint8_t*) + packet->data_len);
    result.parsed = wire::parse_tcp_options(result.options);
    return result;
}

void put_ip_header(std::uint8_t* at, const flow_key& key, std::size_t l4) {
    if (key.is_v4()) {
        wire::ipv4_header ip;
        ip.version_ihl = 0x45;
        ip.total_length = be16::from(static_cast<std::uint16_t>(20 + l4));
        ip.time_to_live = 64;
        ip.protocol = 6;
        ip.source = key.remote.v4();
        ip.destination = key.local.v4();
        ip.checksum = wire::checksum_of(wire::sum_ipv4_header20(&ip));
        std::memcpy(at, &ip, sizeof ip);
        return;
    }
    wire::ipv6_header ip;
    ip.version_class_flow = be32::from(6U << 28);
    ip.payload_length = be16::from(static_cast<std::uint16_t>(l4));
    ip.next_header = 6;
    ip.hop_limit = 64;
    ip.source = key.remote.v6();
    ip.destination = key.local.v6();
    std::memcpy(at, &ip, sizeof ip);
}

wire::partial_sum pseudo_header(const flow_key& key, std::size_t l4) {
    const auto length = static_cast<std::uint16_t>(l4);
    return key.is_v4() ? wire::sum_pseudo_header(
                             key.remote.v4(), key.local.v4(), wire::ip_protocol::tcp, length)
                       : wire::sum_pseudo_header(
                             key.remote.v6(), key.local.v6(), wire::ip_protocol::tcp, length);
}

} // namespace

scripted_peer::scripted_peer(const tcp::settings& config, const tcp::limits& sizes)
    : one_("host", packet_pool(), 7, config, sizes, 1'500, now) {}

scripted_peer::~scripted_peer() = default;

ip_address scripted_peer::address(std::uint8_t last) const {
    return v6 ? ip_address::from(wire::ipv6_address::of(0xfd00, 0, 0, 0, 0, 0, 0, last))
              : ip_address::from(wire::ipv4_address::of(10, 0, 0, last));
}

rte_mbuf* scripted_peer::packet_of(const wire_segment& segment) const {
    rte_mbuf* packet = rte_pktmbuf_alloc(packet_pool());
    PANTALA_ASSERT(packet != nullptr);
    std::vector<std::uint8_t> options = segment.options;
    options.resize((options.size() + 3) / 4 * 4);
    const std::uint16_t l3_bytes = v6 ? 40 : 20;
    const std::size_t l4 = sizeof(wire::tcp_header) + options.size() + segment.payload.size();
    auto* at = reinterpret_cast<std::uint8_t*>(
        rte_pktmbuf_append(packet, static_cast<std::uint16_t>(l3_bytes + l4)));
    const flow_key key{
        address(2), address(segment.peer_last), l4_port::from(segment.host_port),
        l4_port::from(segment.peer_port)};
    put_ip_header(at, key, l4);
    wire::tcp_header header;
    header.source_port = be16::from(segment.peer_port);
    header.destination_port = be16::from(segment.host_port);
    header.sequence = be32::from(segment.seq);
    header.acknowledgment = be32::from(segment.ack);
    header.data_offset = static_cast<std::uint8_t>((sizeof header + options.size()) / 4 << 4);
    header.flags = segment.flags;
    header.window = be16::from(segment.window);
    std::uint8_t* tcp = at + l3_bytes;
    std::memcpy(tcp, &header, sizeof header);
    std::copy(options.begin(), options.end(), tcp + sizeof header);
    std::copy(segment.payload.begin(), segment.payload.end(), tcp + sizeof header + options.size());
    header.checksum = wire::checksum_of(wire::sum_bytes(tcp, l4, pseudo_header(key, l4)));
    std::memcpy(tcp, &header, sizeof header);
    packet->l3_len = l3_bytes;
    return packet;
}

void scripted_peer::give_packet(rte_mbuf* packet) {
    mbuf_burst burst;
    burst.push(packet);
    tcp::input(one_.host, burst, now);
    turn();
}

void scripted_peer::give(const wire_segment& segment) {
    give_packet(packet_of(segment));
}

void scripted_peer::turn() {
    tcp::end_of_round(one_.host, now);
    one_.drops.flush();
    collect();
}

void scripted_peer::wait_ms(std::uint64_t ms) {
    const instant until = now + ms * ns_per_ms;
    while (now < until) {
        now = std::min(until, std::max(tcp::next_deadline(one_.host), now + ns_per_us));
        tcp::expire(one_.host, now, 1'000);
        turn();
    }
}

void scripted_peer::collect() {
    for (rte_mbuf* packet : one_.sent) {
        out_.push_back(read(packet));
        rte_pktmbuf_free(packet);
    }
    one_.sent.clear();
}

std::optional<wire_segment> scripted_peer::next() {
    if (out_.empty()) {
        return std::nullopt;
    }
    wire_segment first = out_.front();
    out_.pop_front();
    return first;
}

std::uint32_t scripted_peer::listen(std::uint16_t port, std::uint32_t backlog) {
    listener = tcp::listen(one_.host, {address(2), l4_port::from(port)}, backlog, nullptr).listener;
    return listener;
}

wire_segment scripted_peer::segment(std::uint8_t flags, std::size_t payload) const {
    wire_segment result;
    result.flags = flags;
    result.seq = seq;
    result.ack = ack;
    result.payload = bytes(payload);
    return result;
}

tcp::conn_handle scripted_peer::establish(const std::vector<std::uint8_t>& options) {
    if (listener == tcp::no_id) {
        listen();
    }
    give({.flags = wire::tcp_flag::syn, .seq = seq, .options = options});
    const auto answer = next();
    PANTALA_ASSERT(answer && answer->flags == (wire::tcp_flag::syn | wire::tcp_flag::ack));
    ++seq;
    ack = answer->seq + 1;
    give(segment(wire::tcp_flag::ack));
    return tcp::accept(one_.host, listener, nullptr);
}

std::size_t scripted_peer::send(tcp::conn_handle handle, std::size_t count) {
    const std::vector<std::byte> data(count, std::byte{'y'});
    one_.host.now = now;
    const std::size_t taken = tcp::send(one_.host, handle, data);
    turn();
    return taken;
}

} // namespace pantala::sim
