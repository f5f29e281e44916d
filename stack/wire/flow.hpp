// What names a flow: addresses of either family in one form, endpoints, the 4-tuple.
#pragma once

#include "engine/base/byte_order.hpp"
#include "engine/base/siphash.hpp"
#include "stack/wire/address.hpp"

#include <array>
#include <cstdint>
#include <cstring>

namespace pantala {

// An IPv4 or IPv6 address. IPv4 is kept as ::ffff:a.b.c.d (RFC 4291 2.5.5.2), a form that is never
// taken from the wire of IPv6 (a packet that carries it there is refused).
struct ip_address {
    std::array<std::uint64_t, 2> words{}; // wire order

    static ip_address from(const wire::ipv6_address& address) {
        ip_address result;
        std::memcpy(result.words.data(), address.bytes.data(), 16);
        return result;
    }
    static constexpr ip_address from(wire::ipv4_address address) {
        ip_address result;
        result.words[1] = std::uint64_t{address.value.raw()} << 32 | 0xffff0000;
        return result;
    }

    constexpr bool is_v4() const { return words[0] == 0 && (words[1] & 0xffffffff) == 0xffff0000; }
    // 0.0.0.0 or ::, "any of ours" in a listening endpoint.
    constexpr bool is_any() const {
        return words[0] == 0 && (words[1] == 0 || words[1] == 0xffff0000);
    }
    constexpr wire::ipv4_address v4() const {
        return {be32::from_raw(static_cast<std::uint32_t>(words[1] >> 32))};
    }
    wire::ipv6_address v6() const {
        wire::ipv6_address result;
        std::memcpy(result.bytes.data(), words.data(), 16);
        return result;
    }
    constexpr bool operator==(const ip_address& other) const { // no call of memcmp
        return ((words[0] ^ other.words[0]) | (words[1] ^ other.words[1])) == 0;
    }
};

// A transport port; `port` alone is an ethdev's.
struct l4_port {
    be16 value{};

    static constexpr l4_port from(std::uint16_t host_value) { return {be16::from(host_value)}; }
    constexpr std::uint16_t host() const { return value.host(); }
    constexpr bool operator==(const l4_port&) const = default;
};

struct ip_endpoint {
    ip_address address;
    l4_port port;
    bool operator==(const ip_endpoint&) const = default;
};

// Both ends of a flow as this host sees them.
struct flow_key {
    ip_address local;
    ip_address remote;
    l4_port local_port;
    l4_port remote_port;

    bool operator==(const flow_key&) const = default;
    bool is_v4() const { return remote.is_v4(); }

    // Keyed, so that nobody outside can choose flows that collide.
    std::uint64_t hash(siphash_key key) const {
        siphash13 sum(key);
        const std::uint64_t ports =
            std::uint64_t{local_port.value.raw()} << 16 | remote_port.value.raw();
        if (is_v4()) {
            sum.word((local.words[1] & 0xffffffff00000000) | remote.words[1] >> 32);
            return sum.finish(ports, 12);
        }
        sum.word(local.words[0]);
        sum.word(local.words[1]);
        sum.word(remote.words[0]);
        sum.word(remote.words[1]);
        return sum.finish(ports, 36);
    }
};

} // namespace pantala
