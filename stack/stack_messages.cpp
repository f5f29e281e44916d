// What arrives at a worker's stack by message, besides routes and neighbours: control's questions,
// and news of paths from other workers.
#include "stack/ether/nd/router_check.hpp"
#include "stack/route/host_cache/host_cache_command.hpp"
#include "stack/route/host_cache/memory_alarm.hpp"
#include "stack/socket/socket_list.hpp"
#include "stack/socket/tcp_command.hpp"
#include "stack/stack.hpp"

namespace pantala {

void socket_list_handler(netmsg& message, netmsg_endpoint& here) {
    list_sockets(here.context<stack>().host(), static_cast<socket_list&>(message));
    here.reply(message);
}

void tcp_command_handler(netmsg& message, netmsg_endpoint& here) {
    const auto& command = static_cast<const tcp_command&>(message);
    tcp::host& tcp = here.context<stack>().host().tcp;
    tcp.config = command.settings;
    tcp.sizes.peer_conns = command.peer_conns;
    tcp.sizes.listeners_backlog_max = command.listeners_backlog_max;
    here.reply(message);
}

void host_cache_command_handler(netmsg& message, netmsg_endpoint& here) {
    run(here.context<stack>().hosts(), static_cast<host_cache_command&>(message));
    here.reply(message);
}

void drain_handler(netmsg& message, netmsg_endpoint& here) {
    stack& mine = here.context<stack>();
    mine.hosts_.drain();
    mine.drain_ = &message;
}

void router_check_handler(netmsg& message, netmsg_endpoint& here) {
    here.context<stack>().run(static_cast<router_check&>(message));
    here.reply(message);
}

void stack::run(router_check& check) {
    for (unsigned i = 0; i < check.link_count; ++i) {
        const link_timers& said = check.links[i];
        owner_->set_times(
            said.iface, said.reachable_ms * ns_per_ms, said.retransmit_ms * ns_per_ms);
        duties_->prober.set_interval6(said.iface, said.retransmit_ms * ns_per_ms);
    }
    for (unsigned i = 0; i < check.router_count; ++i) {
        check.routers[i].state = owner_->check_gateway(check.routers[i].key, now_);
    }
}

// ---------------------------------------------------------------------------------------------
// Errors about echo replies: round all workers, to the one that sent the reply.

struct echo_wiring {
    static void visit(netmsg_chain& message, netmsg_endpoint& here) {
        stack& mine = here.context<stack>();
        const quoted_echo6& error = static_cast<const echo_error&>(message).what;
        if (mine.ip6_.echoes.believes(error, mine.now_)) {
            // Anybody can have us send a reply: what TCP believes stays as it is.
            mine.hosts_.learn_mtu(
                ip_address::from(error.reply.remote), error.mtu, mine.now_, mtu_for::datagrams);
        }
    }
    static void replied(netmsg& message, netmsg_endpoint& here) {
        here.context<stack>().echo_errors_.put(static_cast<echo_error&>(message));
    }
};

// Takes those that quote an echo reply out of the burst.
void stack::take_echo_errors(mbuf_burst& packets) {
    std::uint16_t kept = 0;
    for (rte_mbuf* packet : packets) {
        const auto error = read_quoted_echo6(*packet);
        if (!error) {
            packets.packets[kept++] = packet;
            continue;
        }
        if (echo_error* news = echo_errors_.get(); news != nullptr) {
            news->what = *error;
            news->visit = echo_wiring::visit;
            news->on_reply = echo_wiring::replied;
            worker_.messages.send_chain(*news);
        }
        worker_.drops.drop(packet, drop_reason::icmp6_error_consumed);
    }
    packets.count = kept;
}

} // namespace pantala
