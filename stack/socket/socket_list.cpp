#include "stack/socket/socket_list.hpp"

#include "stack/socket/net_host.hpp"

namespace pantala {
namespace {

socket_list::row row_of(const tcp::listener& one) {
    socket_list::row row;
    row.key.local = one.local.address;
    row.key.local_port = one.local.port;
    row.receive_queue = one.accepted.count;
    row.send_queue = one.backlog;
    row.info.tcpi_state = linux_state::listen;
    return row;
}

socket_list::row row_of(const tcp::host& host, const tcp::conn& c) {
    socket_list::row row;
    row.key = c.key;
    row.receive_queue = c.rcv_buffered;
    row.send_queue = c.snd_end - c.snd_una;
    row.congestion = c.congestion;
    row.info = make_tcp_info(host, c);
    return row;
}

} // namespace

// The cursor counts listeners first, then records of connections.
void list_sockets(net_host& host, socket_list& list) {
    const tcp::host& tcp = host.tcp;
    const auto listeners = static_cast<std::uint32_t>(tcp.listeners.size());
    const std::uint32_t end = listeners + tcp.conns.high_water();
    list.count = 0;
    for (unsigned i = 0;
         i < socket_list::looked_at_max && list.cursor < end && list.count < socket_list::rows_max;
         ++i, ++list.cursor) {
        if (list.cursor < listeners) {
            const tcp::listener& one = tcp.listeners[list.cursor];
            if (one.open) {
                list.rows[list.count++] = row_of(one);
            }
            continue;
        }
        const tcp::conn& c = tcp.conns[list.cursor - listeners];
        if (c.generation != 0) {
            list.rows[list.count++] = row_of(tcp, c);
        }
    }
    list.done = list.cursor >= end;
}

} // namespace pantala
