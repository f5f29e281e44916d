// What control asks a worker about its sockets, by netmsg call; a part at a time, so that a worker
// with a million connections is not held up.
//
//     socket_list list;
//     do { messages.call(worker, list); ... list.rows, list.count ... } while (!list.done);
#pragma once

#include "engine/netmsg.hpp"
#include "stack/socket/tcp_info.hpp"
#include "stack/wire/flow.hpp"

#include <array>
#include <cstdint>

namespace pantala {

void socket_list_handler(netmsg& message, netmsg_endpoint& here);

struct socket_list : netmsg {
    static constexpr unsigned rows_max = 32;
    static constexpr unsigned looked_at_max = 4096; // records, free ones with them

    struct row {
        flow_key key;                    // of a listener: remote is "any"
        std::uint32_t receive_queue = 0; // bytes; of a listener: connections not accepted yet
        std::uint32_t send_queue = 0;    // bytes; of a listener: its backlog
        tcp::congestion_kind congestion = tcp::congestion_kind::cubic;
        ::tcp_info info{}; // of a listener only the state
    };

    socket_list() { handler = socket_list_handler; }

    std::uint32_t cursor = 0; // 0 at first; the next call goes on from where this one ended
    bool done = false;
    unsigned count = 0;
    std::array<row, rows_max> rows;
};

class net_host;
void list_sockets(net_host& host, socket_list& list);

} // namespace pantala
