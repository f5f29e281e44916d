#include "tests/packetdrill/virtual_host.hpp"

#include "engine/base/check.hpp"
#include "stack/tcp/input/tcp_input.hpp"
#include "stack/wire/checksum.hpp"
#include "stack/wire/ipv4.hpp"
#include "stack/wire/ipv6.hpp"
#include "stack/wire/tcp.hpp"
#include "tests/packetdrill/kernel_settings.hpp"

#include <algorithm>
#include <cstring>

#include <rte_mbuf.h>

namespace pantala::packetdrill {
namespace {

constexpr unsigned expire_budget = 1'000;
constexpr unsigned rounds_max = 1'000;     // at one instant
constexpr std::size_t packet_max = 65'535; // of one large segment

// Where the parts of a whole TCP packet lie.
struct view {
    explicit view(const bytes& of) {
        l4 = of[0] >> 4 == 4 ? (of[0] & 15U) * 4U : 40U;
        std::memcpy(&tcp, of.data() + l4, sizeof tcp);
        payload = l4 + tcp.header_bytes();
        length = of.size() - payload;
    }
    bool has(std::uint8_t flag) const { return (tcp.flags & flag) != 0; }
    std::size_t l4;
    std::size_t payload;
    std::size_t length;
    wire::tcp_header tcp;
};

void fill_checksums(bytes& packet) {
    const view at(packet);
    const auto l4_bytes = static_cast<std::uint16_t>(packet.size() - at.l4);
    wire::partial_sum pseudo;
    if (at.l4 == 40) {
        wire::ipv6_header ip;
        std::memcpy(&ip, packet.data(), sizeof ip);
        ip.payload_length = be16::from(l4_bytes);
        std::memcpy(packet.data(), &ip, sizeof ip);
        pseudo =
            wire::sum_pseudo_header(ip.source, ip.destination, wire::ip_protocol::tcp, l4_bytes);
    } else {
        wire::ipv4_header ip;
        std::memcpy(&ip, packet.data(), sizeof ip);
        ip.total_length = be16::from(static_cast<std::uint16_t>(packet.size()));
        ip.checksum = be16{};
        ip.checksum = wire::checksum_of(wire::sum_ipv4_header20(&ip));
        std::memcpy(packet.data(), &ip, sizeof ip);
        pseudo =
            wire::sum_pseudo_header(ip.source, ip.destination, wire::ip_protocol::tcp, l4_bytes);
    }
    wire::tcp_header tcp = at.tcp;
    tcp.checksum = be16{};
    std::memcpy(packet.data() + at.l4, &tcp, sizeof tcp);
    tcp.checksum = wire::checksum_of(pseudo + wire::sum_bytes(packet.data() + at.l4, l4_bytes));
    std::memcpy(packet.data() + at.l4, &tcp, sizeof tcp);
}

// Would a device with segmentation offload have been given both as one?
bool continues(const bytes& first, const bytes& next, std::size_t segment) {
    const view a(first);
    const view b(next);
    const std::uint8_t last_only = wire::tcp_flag::psh | wire::tcp_flag::fin;
    const std::size_t headers = a.payload - a.l4;
    return a.length != 0 && b.length != 0 && a.length % segment == 0 && b.length <= segment &&
           !a.has(last_only) && b.payload == a.payload &&
           (a.tcp.flags | last_only) == (b.tcp.flags | last_only) &&
           a.tcp.sequence.host() + a.length == b.tcp.sequence.host() &&
           a.tcp.source_port == b.tcp.source_port && a.tcp.acknowledgment == b.tcp.acknowledgment &&
           a.tcp.window == b.tcp.window &&
           std::memcmp(first.data() + a.l4 + 20, next.data() + b.l4 + 20, headers - 20) == 0 &&
           first.size() + b.length <= packet_max;
}

void append(bytes& chunk, const bytes& next) {
    const view at(next);
    chunk.insert(chunk.end(), next.begin() + static_cast<std::ptrdiff_t>(at.payload), next.end());
    chunk[view(chunk).l4 + 13] |= at.tcp.flags;
}

// A packet of any size in as many buffers as it takes.
rte_mbuf* chain_of(std::span<const std::uint8_t> packet) {
    rte_mbuf* head = nullptr;
    while (!packet.empty()) {
        rte_mbuf* fresh = rte_pktmbuf_alloc(sim::packet_pool());
        PANTALA_ASSERT(fresh != nullptr);
        const std::size_t here = std::min<std::size_t>(packet.size(), rte_pktmbuf_tailroom(fresh));
        std::memcpy(
            rte_pktmbuf_append(fresh, static_cast<std::uint16_t>(here)), packet.data(), here);
        packet = packet.subspan(here);
        if (head == nullptr) {
            head = fresh;
            continue;
        }
        const int chained = rte_pktmbuf_chain(head, fresh);
        PANTALA_ASSERT(chained == 0);
    }
    return head;
}

} // namespace

virtual_host::virtual_host(const host_choice& chosen)
    : chosen_(chosen), node_(
                           "host", sim::packet_pool(), 1, chosen.settings,
                           {.conns = 1'024,
                            .sent_segments = 16'384,
                            .time_waits = 1'024,
                            .syn_entries = 1'024,
                            .listeners = 64},
                           chosen.mtu, now_) {
    node_.host.sink.is_blocked = [](void*) { return takes_nothing(read_qdisc()); };
}

virtual_host::~virtual_host() = default;

void virtual_host::inject(std::span<const std::uint8_t> packet) {
    const bool v4 = !packet.empty() && packet[0] >> 4 == 4;
    const bool whole = packet.size() >= (v4 ? 20U : 40U) && packet.size() <= packet_max;
    const std::uint8_t protocol = !whole ? 0 : v4 ? packet[9] : packet[6];
    if (protocol != static_cast<std::uint8_t>(wire::ip_protocol::tcp)) {
        return; // no script of the suites sends anything else
    }
    rte_mbuf* copy = chain_of(packet);
    copy->l3_len = v4 ? (packet[0] & 15U) * 4U : 40U;
    arrived_.push(copy);
    settle();
}

void virtual_host::round() {
    tcp::input(node_.host, arrived_, now_);
    tcp::expire(node_.host, now_, expire_budget);
    if (after_round) {
        after_round();
    }
    tcp::end_of_round(node_.host, now_);
    node_.drops.flush();
    collect();
}

void virtual_host::settle() {
    for (unsigned i = 0; i < rounds_max; ++i) {
        const std::size_t before = sent.size();
        round();
        const tcp::host& h = node_.host;
        if (sent.size() == before && h.output_ready.empty() && h.event_ready.empty()) {
            return;
        }
    }
}

void virtual_host::advance_to(std::uint64_t us) {
    while (advance_to_next(us)) {
    }
    if (us > now_us()) {
        now_ = instant{us * 1'000};
    }
    settle();
}

bool virtual_host::advance_to_next(std::uint64_t latest_us) {
    const instant next = tcp::next_deadline(node_.host);
    if (next.ns > latest_us * 1'000) {
        return false;
    }
    now_ = instant{std::max(next.ns, now_.ns + 1'000)};
    settle();
    return true;
}

// What the round sent, as the sniffer on a Linux device sees it. Linux hands segments down in
// chunks, and marks a chunk of several PSH when it is new (to flush the peer's GRO); a device
// without segmentation offload gets its segments one by one, of which the last bears the mark.
void virtual_host::collect() {
    std::vector<bytes> packets;
    unsigned parts = 0;      // segments of the last chunk
    std::size_t segment = 0; // payload of its first
    bytes chunk;
    const auto finish = [&] {
        if (parts == 0) {
            return;
        }
        bytes& last = packets.back();
        if (is_new(last) && parts > 1 && chosen_.persona == tcp::persona::linux_like) {
            last[view(last).l4 + 13] |= wire::tcp_flag::psh;
        }
        parts = 0;
    };
    for (rte_mbuf* packet : node_.sent) {
        bytes one(packet->pkt_len);
        const void* from = rte_pktmbuf_read(packet, 0, packet->pkt_len, one.data());
        if (from != one.data()) {
            std::memcpy(one.data(), from, one.size());
        }
        rte_pktmbuf_free(packet);
        const bool more =
            parts != 0 && parts < chosen_.chunk_segments && continues(chunk, one, segment);
        if (!more) {
            finish();
            segment = view(one).length;
            chunk = one;
            packets.push_back(std::move(one));
        } else {
            append(chunk, one);
            if (chosen_.segmentation_offload) {
                packets.back() = chunk;
            } else {
                packets.push_back(std::move(one));
            }
        }
        ++parts;
    }
    finish();
    node_.sent.clear();
    for (bytes& one : packets) {
        fill_checksums(one);
        sent.push_back({std::move(one), now_us()});
    }
}

// Its last byte was never sent before.
bool virtual_host::is_new(const bytes& packet) {
    const view at(packet);
    const auto end = static_cast<std::uint32_t>(at.tcp.sequence.host() + at.length);
    const bool fresh = !any_sent_ || static_cast<std::int32_t>(end - highest_sent_) > 0;
    if (fresh && at.length != 0) {
        any_sent_ = true;
        highest_sent_ = end;
    }
    return fresh;
}

} // namespace pantala::packetdrill
