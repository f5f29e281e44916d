// What control asks worker 0 about neighbours, by netmsg call:
//
//     neighbor_command command;
//     command.operation = neighbor_operation::add; command.key = ...; command.mac = ...;
//     messages.call(0, command);            // command.done says whether it was done
#pragma once

#include "engine/netmsg.hpp"
#include "stack/ether/neighbor/neighbor_owner.hpp"

#include <array>
#include <cstdint>

namespace pantala {

enum class neighbor_operation : std::uint8_t {
    add,    // permanent: `key` is at `mac`
    remove, // `key`
    flush,  // all but permanent ones on key.iface
    list,   // fills `rows` from `cursor` on; `done` when there are no more
};

void neighbor_command_handler(netmsg& message, netmsg_endpoint& here);

struct neighbor_command : netmsg {
    static constexpr unsigned rows_max = 64;

    neighbor_command() { handler = neighbor_command_handler; }

    neighbor_operation operation = neighbor_operation::list;
    neighbor_key key;
    wire::mac_address mac;
    bool done = false;

    std::uint32_t cursor = 0; // 0 at first; the next call goes on from where this one ended
    unsigned count = 0;
    std::array<neighbor_owner::row, rows_max> rows;
};

} // namespace pantala
