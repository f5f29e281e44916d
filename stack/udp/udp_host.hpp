// UDP of one worker (RFC 768, 1122 4.1, 6935, 8085): who gets a datagram, and how one is built.
// Owner: its worker.
//
// Who gets it, in this order: the connected endpoint of its four-tuple, the one bound to the very
// address, the one bound to every address of the family, [::] (which takes both).
#pragma once

#include "engine/base/siphash.hpp"
#include "engine/counters.hpp"
#include "engine/drop.hpp"
#include "engine/mbuf_burst.hpp"
#include "engine/random.hpp"
#include "stack/ip/ip4_ids.hpp"
#include "stack/wire/flow.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

struct rte_mempool;

namespace pantala::udp {

// Any thread may read.
struct counters {
    counter received; // delivered to somebody
    counter sent;
    counter bad_length;   // shorter than it says, or than its header
    counter bad_checksum; // or none where there must be one (RFC 8200 8.1)
    counter no_port;      // nobody there
    counter no_memory;
    counter refused; // errors about datagrams of ours that somebody was told of
    counter full;    // no room at whom they were for
};

struct counter_name {
    const char* name;
    counter counters::*member;
};
inline constexpr counter_name counter_names[] = {
    {"udp_received", &counters::received},     {"udp_sent", &counters::sent},
    {"udp_bad_length", &counters::bad_length}, {"udp_bad_checksum", &counters::bad_checksum},
    {"udp_no_port", &counters::no_port},       {"udp_no_memory", &counters::no_memory},
    {"udp_refused", &counters::refused},       {"udp_full", &counters::full},
};

// The most a datagram carries (RFC 768, 791): IPv4's largest packet less the headers.
inline constexpr std::size_t datagram_bytes_max = 65'507;
inline constexpr unsigned endpoints_max = 65'536;

struct settings {
    std::uint16_t port_first = 32'768; // ephemeral (RFC 6056)
    std::uint16_t port_last = 60'999;
    std::uint8_t ttl = 64;
    bool verify_checksum = true; // where the port has not
};

// Data at the payload, which may lie in several segments, and may be followed by bytes that UDP's
// length does not count. The packet is the host's: it is freed when the receiver returns.
struct received {
    flow_key key; // as this host sees it
    rte_mbuf* packet = nullptr;
    std::uint32_t bytes = 0; // of payload
};

// Who is bound or connected. `deliver` gets datagrams in order of arrival, `fail` an error about
// one that was sent (hard: nobody is there).
struct endpoint_user {
    void (*deliver)(void* context, std::span<const received> datagrams) = nullptr;
    void (*fail)(void* context, const flow_key& key) = nullptr;
    void* context = nullptr;
};

enum class error : std::uint8_t { none, in_use, no_room, invalid, no_route, too_long, no_memory };

// How a datagram leaves.
struct marks {
    std::uint8_t traffic_class = 0; // IPv4's TOS
    std::uint8_t hop_limit = 0;     // IPv4's TTL; 0: settings::ttl, IPv6: what the link says
};

struct services {
    rte_mempool* pool = nullptr;
    drop_sink& drops;
    random_source& random;
    // Takes whole packets; empties the burst.
    void (*output)(void* context, mbuf_burst& packets) = nullptr;
    void* output_context = nullptr;
    // Do answers for this flow come to this worker? nullptr: always.
    bool (*comes_home)(void* context, const flow_key& key) = nullptr;
    void* home_context = nullptr;
};

class host {
  public:
    host(const services& given, const settings& chosen);
    host(const host&) = delete;
    host& operator=(const host&) = delete;
    ~host();

    // Delivers a burst (whole packets, l3_len set); what nobody wants is left in it, as it came,
    // for somebody to answer and drop. Neighbours for one endpoint are delivered together.
    void input(mbuf_burst& packets);
    // A hard ICMP error about a datagram with this key. Only connected endpoints hear of it.
    void error_input(const flow_key& key);
    // Is there an endpoint for datagrams with this key?
    bool is_bound(const flow_key& key) const { return find(key) != nullptr; }
    // May a router have found a datagram with this key too big? Never one of IPv4: those may be
    // cut. Of IPv6 there must be an endpoint that is connected, or that sent there lately.
    bool may_be_too_big(const flow_key& key) const;

    // `local.port` 0: one is chosen. An "any" remote: bound, not connected; then `local` may be
    // "any" too.
    struct opened {
        error failure = error::none;
        flow_key key;
    };
    opened open(const flow_key& wanted, const endpoint_user& user);
    void close(const flow_key& key);

    // One datagram; gathered until flush(). `key` has both addresses.
    error send(const flow_key& key, std::span<const std::byte> bytes, marks how = {});
    void flush();

    settings config;
    counters stats;

  private:
    struct hasher {
        siphash_key key;
        std::size_t operator()(const flow_key& of) const;
    };
    using table = std::unordered_map<flow_key, endpoint_user, hasher>;

    const endpoint_user* find(const flow_key& key) const;
    bool check(rte_mbuf* packet, received& out);
    void deliver(const endpoint_user& user, std::span<const received> datagrams);
    bool choose_port(flow_key& key);
    static std::uint32_t tag_of(std::uint64_t hash);
    void note_sent6(const flow_key& key);

    services given_;
    table endpoints_;
    mbuf_burst out_;
    ip4_ids ids_;
    // Tags of the flows that IPv6 datagrams lately went to, by their hash; later ones push out
    // earlier ones.
    std::array<std::uint32_t, 1'024> sent6_{};
};

} // namespace pantala::udp
