#include "tests/stack/tcp/scripted_peer.hpp"

#include "stack/wire/checksum.hpp"
#include "stack/wire/ipv4.hpp"

#include <algorithm>
#include <cstring>

#include <rte_mbuf.h>

namespace pantala::sim {

namespace {

constexpr unsigned l3_bytes = 20;

wire_segment read(const rte_mbuf* packet) {
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

} // namespace

scripted_peer::scripted_peer(const tcp::settings& config, const tcp::limits& sizes)
    : one_("host", packet_pool(), 7, config, sizes, 1'500, now) {}

scripted_peer::~scripted_peer() = default;

rte_mbuf* scripted_peer::packet_of(const wire_segment& segment) const {
    rte_mbuf* packet = rte_pktmbuf_alloc(packet_pool());
    PANTALA_ASSERT(packet != nullptr);
    std::vector<std::uint8_t> options = segment.options;
    options.resize((options.size() + 3) / 4 * 4);
    const std::size_t l4 = sizeof(wire::tcp_header) + options.size() + segment.payload.size();
    auto* at = reinterpret_cast<std::uint8_t*>(
        rte_pktmbuf_append(packet, static_cast<std::uint16_t>(l3_bytes + l4)));
    const auto source = wire::ipv4_address::of(10, 0, 0, segment.peer_last);
    const auto destination = wire::ipv4_address::of(10, 0, 0, 2);
    wire::ipv4_header ip;
    ip.version_ihl = 0x45;
    ip.total_length = be16::from(static_cast<std::uint16_t>(l3_bytes + l4));
    ip.time_to_live = 64;
    ip.protocol = 6;
    ip.source = source;
    ip.destination = destination;
    ip.checksum = wire::checksum_of(wire::sum_ipv4_header20(&ip));
    std::memcpy(at, &ip, sizeof ip);
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
    header.checksum = wire::checksum_of(wire::sum_bytes(
        tcp, l4,
        wire::sum_pseudo_header(
            source, destination, wire::ip_protocol::tcp, static_cast<std::uint16_t>(l4))));
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
    listener =
        tcp::listen(
            one_.host, {ip_address::from(wire::ipv4_address::of(10, 0, 0, 2)), l4_port::from(port)},
            backlog, nullptr)
            .listener;
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
