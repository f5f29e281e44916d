// The host's side of a router: its sockets, TCP's counters, what is remembered of destinations.
#include "app/config/schema.hpp"
#include "app/config/tcp_choice.hpp"
#include "app/run/router.hpp"
#include "stack/route/host_cache/host_cache_command.hpp"
#include "stack/socket/endpoints.hpp"
#include "stack/socket/socket_list.hpp"
#include "stack/socket/tcp_command.hpp"

#include <array>
#include <type_traits>
#include <variant>

#include <fmt/format.h>

namespace pantala::app {

namespace {

const char* state_name(std::uint8_t state) { // as ss calls them
    static constexpr std::array<const char*, 12> names = {
        "UNKNOWN",   "ESTAB",  "SYN-SENT",   "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2",
        "TIME-WAIT", "UNCONN", "CLOSE-WAIT", "LAST-ACK", "LISTEN",     "CLOSING"};
    return names[state < names.size() ? state : 0];
}

const char* congestion_name(tcp::congestion_kind kind) {
    static constexpr std::array<const char*, 3> names = {"newreno", "cubic", "dctcp"};
    return names[static_cast<unsigned>(kind)];
}

json options_of(const ::tcp_info& info) {
    json options = json::array();
    const std::pair<unsigned, const char*> names[] = {
        {TCPI_OPT_TIMESTAMPS, "ts"}, {TCPI_OPT_SACK, "sack"}, {TCPI_OPT_ECN, "ecn"}};
    for (const auto& [bit, name] : names) {
        if ((info.tcpi_options & bit) != 0) {
            options.push_back(name);
        }
    }
    return options;
}

json row_of(const socket_list::row& row, unsigned worker) {
    const ::tcp_info& info = row.info;
    const bool listening = info.tcpi_state == linux_state::listen;
    json made = {
        {"state", state_name(info.tcpi_state)},
        {"worker", worker},
        {"recv_q", row.receive_queue},
        {"send_q", row.send_queue},
        {"local", to_string(to_public(row.key.local, row.key.local_port))},
        {"peer",
         listening ? json("*") : json(to_string(to_public(row.key.remote, row.key.remote_port)))},
    };
    if (listening) {
        return made;
    }
    made["tcp"] = {
        {"congestion", congestion_name(row.congestion)},
        {"options", options_of(info)},
        {"snd_wscale", static_cast<unsigned>(info.tcpi_snd_wscale)},
        {"rcv_wscale", static_cast<unsigned>(info.tcpi_rcv_wscale)},
        {"rto_us", info.tcpi_rto},
        {"rtt_us", info.tcpi_rtt},
        {"rttvar_us", info.tcpi_rttvar},
        {"minrtt_us", info.tcpi_min_rtt},
        {"mss", info.tcpi_snd_mss},
        {"pmtu", info.tcpi_pmtu},
        {"rcvmss", info.tcpi_rcv_mss},
        {"advmss", info.tcpi_advmss},
        {"cwnd", info.tcpi_snd_cwnd},
        {"ssthresh", info.tcpi_snd_ssthresh},
        {"bytes_acked", info.tcpi_bytes_acked},
        {"unacked", info.tcpi_unacked},
        {"sacked", info.tcpi_sacked},
        {"lost", info.tcpi_lost},
        {"retrans", info.tcpi_retrans},
        {"retrans_total", info.tcpi_total_retrans},
        {"backoff", static_cast<unsigned>(info.tcpi_backoff)},
        {"lastsnd_ms", info.tcpi_last_data_sent},
        {"lastrcv_ms", info.tcpi_last_data_recv},
        {"notsent", info.tcpi_notsent_bytes},
        {"rcv_space", info.tcpi_rcv_space},
        {"snd_wnd", info.tcpi_snd_wnd},
    };
    return made;
}

std::string text_of(const ip_address& address) {
    return address.is_v4() ? format_address4(address.v4().host())
                           : format_address6(address6::from_bytes(address.v6().bytes));
}

json known(std::uint32_t value) {
    return value == 0 ? json() : json(value);
}

json row_of(const host_cache_row& row, unsigned worker) {
    return {
        {"address", text_of(row.remote)},
        {"worker", worker},
        {"users", row.users},
        {"mtu", known(row.mtu)},
        {"mtu_expires_s", known(row.mtu_left_s)},
        {"rtt_us", known(row.metrics.srtt_us)},
        {"rttvar_us", known(row.metrics.rttvar_us)},
        {"ssthresh", known(row.metrics.ssthresh)},
        {"cwnd", known(row.metrics.cwnd)},
        {"expires_s", row.users == 0 ? json(row.expires_s) : json()}};
}

struct tcp_counter_name {
    const char* name;
    const char* text;
    counter tcp::counters::*member;
};
constexpr tcp_counter_name tcp_counter_names[] = {
#define TCP_COUNTER(name, text) {#name, text, &tcp::counters::name},
#include "stack/tcp/tcp_counters.def"
#undef TCP_COUNTER
};

} // namespace

result<json> router::list_sockets() {
    json rows = json::array();
    for (std::uint16_t w = 0; w < engine_->workers(); ++w) {
        worker_questions::question<socket_list> list(questions_);
        do {
            if (auto answered = list.ask(engine_->control(), w); !answered) {
                return answered.failure();
            }
            for (unsigned i = 0; i < list->count; ++i) {
                rows.push_back(row_of(list->rows[i], w));
            }
        } while (!list->done && rows.size() < sockets_listed_max);
    }
    return rows;
}

result<json> router::list_host_cache(const std::optional<ip_address>& of) {
    json rows = json::array();
    for (std::uint16_t w = 0; w < engine_->workers(); ++w) {
        worker_questions::question<host_cache_command> command(questions_);
        command->one = of.has_value();
        command->remote = of.value_or(ip_address{});
        do {
            if (auto answered = command.ask(engine_->control(), w); !answered) {
                return answered.failure();
            }
            for (unsigned i = 0; i < command->count; ++i) {
                rows.push_back(row_of(command->rows[i], w));
            }
        } while (!command->done && rows.size() < hosts_listed_max);
    }
    return rows;
}

// Those that answer do it though another does not.
result<unsigned> router::flush_host_cache(const std::optional<ip_address>& of) {
    unsigned known = 0;
    result<void> done;
    for (std::uint16_t w = 0; w < engine_->workers(); ++w) {
        worker_questions::question<host_cache_command> command(questions_);
        command->flush = true;
        command->one = of.has_value();
        command->remote = of.value_or(ip_address{});
        result<void> answered;
        do {
            answered = command.ask(engine_->control(), w);
        } while (answered && !command->done);
        if (answered) {
            known += of ? command->count : 1;
        } else {
            done = answered;
        }
    }
    return done ? result<unsigned>(known) : done.failure();
}

json router::list_tcp(const std::string& name) const {
    json rows = json::array();
    for (const auto& one : tcp_keys) {
        if (!name.empty() && name != one.name) {
            continue;
        }
        json row = {
            {"name", one.name},
            {"when", may_change(one.name) ? "anytime" : "start"},
            {"meaning", one.meaning}};
        std::visit([&](const auto& kind) { row["value"] = tcp_.*kind.member; }, one.value);
        rows.push_back(std::move(row));
    }
    return rows;
}

// The worker makes what is chosen now; one that is stuck is owed it.
result<void> router::tell_tcp(std::uint16_t w) {
    worker_questions::question<tcp_command> command(questions_);
    command->settings = host_settings_.tcp;
    command->peer_conns = host_settings_.limits.peer_conns;
    command->listeners_backlog_max = host_settings_.limits.listeners_backlog_max;
    result<void> answered = command.ask(engine_->control(), w);
    tcp_owed_.resize(engine_->workers());
    tcp_owed_[w] = !answered;
    return answered;
}

void router::pay_tcp_owed() {
    for (std::uint16_t w = 0; w < tcp_owed_.size(); ++w) {
        if (tcp_owed_[w] && !questions_.is_out(w)) {
            static_cast<void>(tell_tcp(w));
        }
    }
}

result<unsigned> router::set_tcp(const std::string& name, const std::string& value) {
    if (auto good = set_tcp_key(tcp_, name, value); !good) {
        return good.failure();
    }
    choose_tcp(tcp_, host_settings_);
    result<void> done;
    for (std::uint16_t w = 0; w < engine_->workers(); ++w) {
        if (auto answered = tell_tcp(w); !answered) {
            done = answered;
        }
    }
    return done ? result<unsigned>(engine_->workers()) : done.failure();
}

json router::list_tcp_stats(bool all) const {
    json rows = json::array();
    for (const tcp_counter_name& one : tcp_counter_names) {
        std::uint64_t sum = 0;
        for (const auto& each : stacks_) {
            sum += (each->host().tcp.stats.*one.member).read();
        }
        if (all || sum != 0) {
            rows.push_back(
                {{"where", "tcp"}, {"name", one.name}, {"value", sum}, {"text", one.text}});
        }
    }
    return rows;
}

} // namespace pantala::app
