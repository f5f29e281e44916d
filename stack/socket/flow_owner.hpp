// Which worker a flow belongs to: the one to which netisr steers its packets, by the sum that a
// NIC's RSS and the bus use as well. A source port is chosen so that the answers come home.
#pragma once

#include "engine/base/rss.hpp"
#include "engine/handoff/netisr.hpp"
#include "stack/wire/flow.hpp"

#include <array>
#include <cstdint>
#include <cstring>

namespace pantala {

// Of packets that arrive for `key`: from its remote to its local end.
inline std::uint32_t flow_hash_of(const toeplitz& sum, const flow_key& key) {
    if (key.is_v4()) {
        return sum.hash4(
            key.remote.v4().host(), key.local.v4().host(), key.remote_port.host(),
            key.local_port.host());
    }
    std::array<std::uint8_t, rss_input_max_bytes> input;
    std::memcpy(input.data(), key.remote.words.data(), 16);
    std::memcpy(input.data() + 16, key.local.words.data(), 16);
    std::memcpy(input.data() + 32, &key.remote_port, 2);
    std::memcpy(input.data() + 34, &key.local_port, 2);
    return sum.hash(input);
}

inline worker_id flow_owner(const toeplitz& sum, const flow_key& key, std::uint16_t workers) {
    return workers == 1 ? worker_id{0} : owner_of(flow_hash_of(sum, key), workers);
}

} // namespace pantala
