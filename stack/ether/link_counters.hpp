// What came and went by interface. Owner: one worker; control sums over the workers.
#pragma once

#include "engine/counters.hpp"
#include "stack/route/interface.hpp"

#include <array>

namespace pantala {

// Bytes are those of the network packet, without the link header.
struct link_counter {
    counter in_packets;
    counter in_bytes;
    counter out_packets;
    counter out_bytes;
};

struct link_counter_name {
    const char* name;
    counter link_counter::*member;
};
inline constexpr link_counter_name link_counter_names[] = {
    {"in_packets", &link_counter::in_packets},
    {"in_bytes", &link_counter::in_bytes},
    {"out_packets", &link_counter::out_packets},
    {"out_bytes", &link_counter::out_bytes},
};

struct link_counters {
    std::array<link_counter, ifaces_max> ifaces;

    link_counter& operator[](iface_id id) { return ifaces[id.value]; }
    const link_counter& operator[](iface_id id) const { return ifaces[id.value]; }
};

} // namespace pantala
