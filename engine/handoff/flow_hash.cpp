#include "engine/handoff/flow_hash.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace pantala {

namespace {

constexpr std::size_t ether_bytes = 14;
constexpr std::size_t vlan_bytes = 4;
constexpr unsigned vlan_tags_max = 2;
constexpr std::size_t ip4_bytes = 20;
constexpr std::size_t ip6_bytes = 40;
constexpr std::size_t l4_ports_bytes = 4;
constexpr std::uint16_t ip4_fragment_mask = 0x3fff; // more fragments, or an offset

using bytes = std::span<const std::uint8_t>;

std::uint16_t word(bytes at, std::size_t offset) {
    return static_cast<std::uint16_t>(at[offset] << 8 | at[offset + 1]);
}

bool has_ports(std::uint8_t protocol) {
    return protocol == 6 || protocol == 17 || protocol == 132;
}

std::uint32_t
hash_addresses(const toeplitz& sum, bytes addresses, bytes behind_header, bool with_ports) {
    std::array<std::uint8_t, rss_input_max_bytes> input;
    auto* end = std::copy(addresses.begin(), addresses.end(), input.begin());
    if (with_ports && behind_header.size() >= l4_ports_bytes) {
        end = std::copy_n(behind_header.begin(), l4_ports_bytes, end);
    }
    return sum.hash({input.begin(), end});
}

std::uint32_t hash_ip4(const toeplitz& sum, bytes packet) {
    if (packet.size() < ip4_bytes) {
        return 0;
    }
    const std::size_t header = (packet[0] & 0xfu) * 4;
    const bool whole = (word(packet, 6) & ip4_fragment_mask) == 0;
    const bool with_ports = whole && has_ports(packet[9]) && header >= ip4_bytes;
    return hash_addresses(
        sum, packet.subspan(12, 8), packet.subspan(std::min(header, packet.size())), with_ports);
}

std::uint32_t hash_ip6(const toeplitz& sum, bytes packet) {
    if (packet.size() < ip6_bytes) {
        return 0;
    }
    return hash_addresses(
        sum, packet.subspan(8, 32), packet.subspan(ip6_bytes), has_ports(packet[6]));
}

} // namespace

std::uint32_t flow_hash(const toeplitz& sum, std::span<const std::uint8_t> frame) {
    if (frame.size() < ether_bytes) {
        return 0;
    }
    std::size_t type_at = ether_bytes - 2;
    std::uint16_t type = word(frame, type_at);
    for (unsigned tag = 0; tag < vlan_tags_max && (type == 0x8100 || type == 0x88a8); ++tag) {
        type_at += vlan_bytes;
        if (frame.size() < type_at + 2) {
            return 0;
        }
        type = word(frame, type_at);
    }
    const bytes packet = frame.subspan(type_at + 2);
    switch (type) {
    case 0x0800:
        return hash_ip4(sum, packet);
    case 0x86dd:
        return hash_ip6(sum, packet);
    default:
        return 0;
    }
}

} // namespace pantala
