// What tests of loss recovery give to a scripted peer and read back.
#pragma once

#include "tests/stack/tcp/scripted_peer.hpp"

#include "stack/wire/tcp_options.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace pantala::sim {

inline constexpr std::uint32_t default_mss = 536; // without an option that says otherwise

inline std::vector<std::uint8_t> sack_permitted() {
    return {wire::tcp_option_sack_permitted, 2, 1, 1};
}

// One block.
inline std::vector<std::uint8_t> sack_of(std::uint32_t left, std::uint32_t right) {
    std::vector<std::uint8_t> option = {1, 1, wire::tcp_option_sack, 10};
    for (const std::uint32_t edge : {left, right}) {
        for (const unsigned shift : {24U, 16U, 8U, 0U}) {
            option.push_back(static_cast<std::uint8_t>(edge >> shift));
        }
    }
    return option;
}

// What the host sends next by itself.
inline std::optional<wire_segment> what_comes(scripted_peer& peer) {
    for (unsigned ms = 0; ms < 5'000; ++ms) {
        peer.wait_ms(1);
        if (auto sent = peer.next()) {
            return sent;
        }
    }
    return std::nullopt;
}

inline std::vector<wire_segment> all_sent(scripted_peer& peer) {
    std::vector<wire_segment> sent;
    while (auto one = peer.next()) {
        sent.push_back(*one);
    }
    return sent;
}

} // namespace pantala::sim
