// What control asks a worker about its host cache, by netmsg call; a part at a time, so that a
// worker with many entries is not held up.
//
//     host_cache_command command;
//     do { messages.call(worker, command); ... command.rows, command.count ... } while
//     (!command.done);
#pragma once

#include "engine/netmsg.hpp"
#include "stack/route/host_cache/host_cache.hpp"

#include <array>
#include <cstdint>

namespace pantala {

// The stack's.
void host_cache_command_handler(netmsg& message, netmsg_endpoint& here);

struct host_cache_command : netmsg {
    static constexpr unsigned rows_max = 32;
    static constexpr unsigned looked_at_max = 4'096; // entries, free ones with them

    host_cache_command() { handler = host_cache_command_handler; }

    bool flush = false; // forget; else list
    bool one = false;   // about `remote` alone
    ip_address remote;

    std::uint32_t cursor = 0; // 0 at first; the next call goes on from where this one ended
    bool done = false;
    unsigned count = 0; // rows; with `one` and `flush`: 1 if it was there
    std::array<host_cache_row, rows_max> rows;
    std::uint64_t expire_s = 0; // as it stands
};

void run(host_cache& cache, host_cache_command& command);

} // namespace pantala
