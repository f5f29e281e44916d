#include "stack/udp/udp_host.hpp"

#include "stack/ip/packet_sum.hpp"
#include "stack/wire/checksum.hpp"
#include "stack/wire/ipv4.hpp"
#include "stack/wire/ipv6.hpp"
#include "stack/wire/udp.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <rte_mbuf.h>

namespace pantala::udp {
namespace {

constexpr ip_address any4 = ip_address::from(wire::ipv4_address{});

wire::partial_sum pseudo_sum(const ip_address& from, const ip_address& to, std::uint16_t bytes) {
    return from.is_v4()
               ? wire::sum_pseudo_header(from.v4(), to.v4(), wire::ip_protocol::udp, bytes)
               : wire::sum_pseudo_header(from.v6(), to.v6(), wire::ip_protocol::udp, bytes);
}

// IPv6 input refuses the mapped form, which stands for IPv4 inside (RFC 4291 2.5.5.2).
void read_addresses(const rte_mbuf& packet, flow_key& key) {
    const auto* at = rte_pktmbuf_mtod(&packet, const std::uint8_t*);
    if (at[0] >> 4 == 4) {
        wire::ipv4_header ip;
        std::memcpy(&ip, at, sizeof ip);
        key.local = ip_address::from(ip.destination);
        key.remote = ip_address::from(ip.source);
    } else {
        wire::ipv6_header ip;
        std::memcpy(&ip, at, sizeof ip);
        key.local = ip_address::from(ip.destination);
        key.remote = ip_address::from(ip.source);
    }
}

void write_ip4(const flow_key& key, marks how, be16 id, rte_mbuf& packet, char* at) {
    wire::ipv4_header ip;
    ip.version_ihl = 0x45;
    ip.type_of_service = how.traffic_class;
    ip.total_length = be16::from(static_cast<std::uint16_t>(packet.pkt_len));
    ip.identification = id;
    ip.time_to_live = how.hop_limit;
    ip.protocol = static_cast<std::uint8_t>(wire::ip_protocol::udp);
    ip.source = key.local.v4();
    ip.destination = key.remote.v4();
    ip.checksum = wire::checksum_of(wire::sum_ipv4_header20(&ip));
    std::memcpy(at, &ip, sizeof ip);
}

void write_ip6(const flow_key& key, marks how, std::uint16_t bytes, char* at) {
    wire::ipv6_header ip;
    ip.version_class_flow = be32::from(6U << 28 | std::uint32_t{how.traffic_class} << 20);
    ip.payload_length = be16::from(bytes);
    ip.next_header = static_cast<std::uint8_t>(wire::ip_protocol::udp);
    ip.hop_limit = how.hop_limit;
    ip.source = key.local.v6();
    ip.destination = key.remote.v6();
    std::memcpy(at, &ip, sizeof ip);
}

// A chain that holds `headers` bytes to be written and then `bytes`; nullptr: no memory.
rte_mbuf* chain_of(rte_mempool* pool, std::size_t headers, std::span<const std::byte> bytes) {
    rte_mbuf* head = rte_pktmbuf_alloc(pool);
    if (head == nullptr ||
        rte_pktmbuf_append(head, static_cast<std::uint16_t>(headers)) == nullptr) {
        rte_pktmbuf_free(head);
        return nullptr;
    }
    for (rte_mbuf* last = head; !bytes.empty();) {
        if (rte_pktmbuf_tailroom(last) == 0) {
            rte_mbuf* fresh = rte_pktmbuf_alloc(pool);
            if (fresh == nullptr || rte_pktmbuf_chain(head, fresh) != 0) {
                rte_pktmbuf_free(fresh);
                rte_pktmbuf_free(head);
                return nullptr;
            }
            last = fresh;
        }
        const std::size_t here = std::min<std::size_t>(bytes.size(), rte_pktmbuf_tailroom(last));
        std::memcpy(rte_pktmbuf_mtod_offset(last, char*, last->data_len), bytes.data(), here);
        last->data_len = static_cast<std::uint16_t>(last->data_len + here);
        head->pkt_len += static_cast<std::uint32_t>(here);
        bytes = bytes.subspan(here);
    }
    return head;
}

} // namespace

host::host(const services& given, const settings& chosen)
    : config(chosen), given_(given),
      endpoints_(64, hasher{{given.random.next(), given.random.next()}}),
      ids_({given.random.next(), given.random.next()}) {}

host::~host() {
    rte_pktmbuf_free_bulk(out_.packets, out_.count);
}

std::size_t host::hasher::operator()(const flow_key& of) const {
    siphash13 sum(key);
    sum.word(of.local.words[0]);
    sum.word(of.local.words[1]);
    sum.word(of.remote.words[0]);
    sum.word(of.remote.words[1]);
    return sum.finish(
        std::uint64_t{of.local_port.value.raw()} << 16 | of.remote_port.value.raw(), 36);
}

// ---------------------------------------------------------------------------------------------

const endpoint_user* host::find(const flow_key& key) const {
    if (endpoints_.empty()) {
        return nullptr;
    }
    flow_key bound;
    bound.local_port = key.local_port;
    const std::array<ip_address, 3> locals = {
        key.local, key.local.is_v4() ? any4 : ip_address{}, ip_address{}};
    auto found = endpoints_.find(key);
    for (std::size_t i = 0; found == endpoints_.end() && i < locals.size(); ++i) {
        bound.local = locals[i];
        found = endpoints_.find(bound);
    }
    return found == endpoints_.end() ? nullptr : &found->second;
}

// Lengths, ports, checksum: RFC 768, RFC 1122 4.1.3.4, RFC 8200 8.1. Data stays at the IP header.
bool host::check(rte_mbuf* packet, received& out) {
    flow_key& key = out.key;
    wire::udp_header header;
    if (packet->data_len < packet->l3_len + sizeof header) {
        stats.bad_length.add(1);
        given_.drops.drop(packet, drop_reason::udp_length);
        return false;
    }
    read_addresses(*packet, key);
    std::memcpy(
        &header, rte_pktmbuf_mtod_offset(packet, const void*, packet->l3_len), sizeof header);
    key.local_port.value = header.destination_port;
    key.remote_port.value = header.source_port;
    const std::uint32_t bytes = header.length.host();
    if (bytes < sizeof header || bytes > packet->pkt_len - packet->l3_len) {
        stats.bad_length.add(1);
        given_.drops.drop(packet, drop_reason::udp_length);
        return false;
    }
    const bool none = header.checksum.raw() == 0 && key.is_v4();
    const bool trusted =
        (packet->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD ||
        !config.verify_checksum;
    if (!none && !trusted) {
        const wire::partial_sum sum =
            pseudo_sum(key.remote, key.local, static_cast<std::uint16_t>(bytes)) +
            sum_packet(*packet, packet->l3_len, bytes);
        if (header.checksum.raw() == 0 || !wire::checksum_valid(sum)) {
            stats.bad_checksum.add(1);
            given_.drops.drop(packet, drop_reason::udp_checksum);
            return false;
        }
    }
    out.packet = packet;
    out.bytes = bytes - std::uint32_t{sizeof header};
    return true;
}

void host::input(mbuf_burst& packets) {
    std::array<received, burst_max> batch;
    std::size_t count = 0;
    std::uint16_t unwanted = 0;
    const endpoint_user* to = nullptr;
    for (rte_mbuf* packet : packets) {
        received one;
        if (!check(packet, one)) {
            continue;
        }
        const endpoint_user* user = find(one.key);
        if (user == nullptr) {
            stats.no_port.add(1);
            packets.packets[unwanted++] = packet;
            continue;
        }
        if (count != 0 && user != to) {
            deliver(*to, {batch.data(), count});
            count = 0;
            user = find(one.key); // the receiver may have closed endpoints
            if (user == nullptr) {
                packets.packets[unwanted++] = packet;
                continue;
            }
        }
        rte_pktmbuf_adj(
            packet, static_cast<std::uint16_t>(packet->l3_len + sizeof(wire::udp_header)));
        to = user;
        batch[count++] = one;
    }
    if (count != 0) {
        deliver(*to, {batch.data(), count});
    }
    packets.count = unwanted;
}

void host::deliver(const endpoint_user& user, std::span<const received> datagrams) {
    stats.received.add(datagrams.size());
    const endpoint_user copy = user; // the receiver may close its endpoint
    copy.deliver(copy.context, datagrams);
    for (const received& one : datagrams) {
        rte_pktmbuf_free(one.packet);
    }
}

// A tag is never 0: the table begins with nothing.
std::uint32_t host::tag_of(std::uint64_t hash) {
    return static_cast<std::uint32_t>(hash >> 32) | 1;
}

void host::note_sent6(const flow_key& key) {
    const std::uint64_t hash = endpoints_.hash_function()(key);
    sent6_[hash % sent6_.size()] = tag_of(hash);
}

bool host::may_be_too_big(const flow_key& key) const {
    if (key.is_v4() || find(key) == nullptr) {
        return false;
    }
    const std::uint64_t hash = endpoints_.hash_function()(key);
    return endpoints_.contains(key) || sent6_[hash % sent6_.size()] == tag_of(hash);
}

void host::error_input(const flow_key& key) {
    const auto found = endpoints_.find(key);
    if (found != endpoints_.end() && !key.remote.is_any()) {
        stats.refused.add(1);
        const endpoint_user user = found->second;
        user.fail(user.context, key);
    }
}

// ---------------------------------------------------------------------------------------------

// RFC 6056 algorithm 1: random, then the next ones; those whose answers come home.
bool host::choose_port(flow_key& key) {
    const std::uint32_t range = config.port_last - config.port_first + 1U;
    const auto begin = static_cast<std::uint32_t>(given_.random.next() % range);
    for (std::uint32_t i = 0; i < range; ++i) {
        key.local_port =
            l4_port::from(static_cast<std::uint16_t>(config.port_first + (begin + i) % range));
        const bool home = given_.comes_home == nullptr || key.remote.is_any() ||
                          given_.comes_home(given_.home_context, key);
        if (home && !endpoints_.contains(key)) {
            return true;
        }
    }
    return false;
}

host::opened host::open(const flow_key& wanted, const endpoint_user& user) {
    flow_key key = wanted;
    const bool connected = !key.remote.is_any();
    if (connected && (key.local.is_any() || key.local.is_v4() != key.remote.is_v4() ||
                      key.remote_port.host() == 0)) {
        return {error::invalid, key};
    }
    if (!connected) {
        key.remote = {};
        key.remote_port = {};
    }
    if (endpoints_.size() >= endpoints_max || (key.local_port.host() == 0 && !choose_port(key))) {
        return {error::no_room, key};
    }
    const bool fresh = endpoints_.emplace(key, user).second;
    return {fresh ? error::none : error::in_use, key};
}

void host::close(const flow_key& key) {
    endpoints_.erase(key);
}

error host::send(const flow_key& key, std::span<const std::byte> bytes, marks how) {
    const bool v4 = key.is_v4();
    const std::size_t l3 = v4 ? wire::ipv4_header_min_bytes : wire::ipv6_header_bytes;
    const std::size_t headers = l3 + sizeof(wire::udp_header);
    if (bytes.size() > datagram_bytes_max) {
        return error::too_long;
    }
    rte_mbuf* packet = chain_of(given_.pool, headers, bytes);
    if (packet == nullptr) {
        stats.no_memory.add(1);
        return error::no_memory;
    }
    packet->l2_len = 0;
    packet->l3_len = l3;
    packet->l4_len = sizeof(wire::udp_header);
    const auto length = static_cast<std::uint16_t>(packet->pkt_len - l3);
    char* at = rte_pktmbuf_mtod(packet, char*);
    wire::udp_header header;
    header.source_port = key.local_port.value;
    header.destination_port = key.remote_port.value;
    header.length = be16::from(length);
    header.checksum = be16{};
    std::memcpy(at + l3, &header, sizeof header);
    const wire::partial_sum sum = pseudo_sum(key.local, key.remote, length) +
                                  sum_packet(*packet, static_cast<std::uint32_t>(l3), length);
    header.checksum = wire::checksum_of(sum);
    if (header.checksum.raw() == 0) {
        header.checksum = be16::from_raw(0xffff); // RFC 768: zero would mean "none"
    }
    std::memcpy(at + l3, &header, sizeof header);
    const bool unsaid = how.hop_limit == 0 && config.ttl == settings{}.ttl;
    how.hop_limit = how.hop_limit != 0 ? how.hop_limit : config.ttl;
    if (v4) {
        const be16 id =
            ids_.next(key.local.v4(), key.remote.v4(), wire::ip_protocol::udp, given_.random);
        write_ip4(key, how, id, *packet, at);
    } else {
        note_sent6(key);
        how.hop_limit = unsaid ? std::uint8_t{0} : how.hop_limit; // the link's
        write_ip6(key, how, length, at);
    }
    if (out_.full()) {
        flush();
    }
    out_.push(packet);
    stats.sent.add(1);
    return error::none;
}

void host::flush() {
    if (!out_.empty()) {
        given_.output(given_.output_context, out_);
        out_.clear();
    }
}

} // namespace pantala::udp
