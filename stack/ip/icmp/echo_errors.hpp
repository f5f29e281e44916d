// Packet Too Big about our own echo replies (RFC 4443 3.2, RFC 8201 4). No socket stands behind
// them that could tell a true error from a forged one, so a worker remembers the large replies that
// it sent lately. An error comes by another worker than the request did, as often as not: what it
// says goes round all workers, and the one that sent the reply believes it.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/netmsg.hpp"
#include "stack/wire/address.hpp"
#include "stack/wire/ipv6.hpp"

#include <array>
#include <cstdint>
#include <optional>

struct rte_mbuf;

namespace pantala {

// An echo reply of ours.
struct echo_reply6 {
    wire::ipv6_address local;
    wire::ipv6_address remote;
    be32 id_and_sequence{};
    bool operator==(const echo_reply6&) const = default;
};

// What an error says of one: the path carries `mtu` bytes.
struct quoted_echo6 {
    echo_reply6 reply;
    std::uint16_t mtu = 0; // wire::ipv6_minimum_mtu_bytes or more
};

// `packet`: as for read_quoted_error. Nothing: it is no Packet Too Big, quotes no echo reply, or
// tells less than every IPv6 link carries (RFC 8201 4: such is discarded).
std::optional<quoted_echo6> read_quoted_echo6(const rte_mbuf& packet);

// The replies larger than any link carries uncut that a worker sent lately; the latest ones, where
// two share a place. Owner: its worker. Cost: one line written a large reply.
class echo_memory {
  public:
    static constexpr unsigned places = 256;
    static constexpr std::uint64_t kept_ns = 10 * ns_per_s; // longer than errors take to come back

    // A reply of `length` bytes, as one IPv6 packet.
    void sent(const echo_reply6& reply, std::uint32_t length, instant now) {
        if (length > wire::ipv6_minimum_mtu_bytes) {
            places_[place_of(reply)] = {reply, length, now};
        }
    }
    // Could the error be about one of them?
    bool believes(const quoted_echo6& error, instant now) const {
        const remembered& one = places_[place_of(error.reply)];
        return one.reply == error.reply && one.length > error.mtu && now < one.when + kept_ns;
    }

  private:
    struct remembered {
        echo_reply6 reply;
        std::uint32_t length = 0; // 0: none
        instant when{};
    };
    // Those of one series of pings lie side by side.
    static unsigned place_of(const echo_reply6& reply) {
        const std::uint64_t address = reply.remote.high() ^ reply.remote.low();
        const auto mixed = static_cast<unsigned>(address * 0x9e3779b97f4a7c15U >> 40U);
        return (mixed + reply.id_and_sequence.host()) % places;
    }

    std::array<remembered, places> places_{};
};

// The news of an error on its way through all workers.
struct echo_error : netmsg_chain {
    quoted_echo6 what;
    echo_error* next_free = nullptr;
};
inline constexpr unsigned echo_errors_max = 16; // under way from a worker; more are not believed

} // namespace pantala
