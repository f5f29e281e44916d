#include "app/run/router.hpp"

#include "engine/drop.hpp"

#include <fmt/format.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mempool.h>

namespace pantala::app {

namespace {

std::string text_of(const iface_address6& address) {
    return fmt::format(
        "{}/{}", format_address6(address6::from_bytes(address.address)), address.prefix_length);
}

// As iproute2 names them; empty: none.
std::string flag_words(std::uint8_t flags) {
    if (!address_on_trust(flags)) {
        flags = static_cast<std::uint8_t>(flags & ~unsigned{address_optimistic});
    }
    if ((flags & address_duplicate) != 0) {
        flags = static_cast<std::uint8_t>(flags & ~unsigned{address_tentative});
    }
    constexpr std::pair<std::uint8_t, const char*> names[] = {
        {address_tentative, "tentative"},
        {address_duplicate, "dadfailed"},
        {address_deprecated, "deprecated"},
        {address_optimistic, "optimistic"},
        {address_automatic, "dynamic"}};
    std::string text;
    for (const auto& [flag, name] : names) {
        if ((flags & flag) != 0) {
            text += text.empty() ? name : fmt::format(" {}", name);
        }
    }
    return text;
}

// Rows of `stats`: what, of whom, how much, and what it means.
class stat_rows {
  public:
    explicit stat_rows(bool all) : all_(all) {}
    void
    add(std::string_view where, std::string_view name, json value, std::string_view text = {}) {
        if (!all_ && value.is_number() && value == 0) {
            return;
        }
        json row = {{"where", where}, {"name", name}, {"value", std::move(value)}};
        if (!text.empty()) {
            row["text"] = text;
        }
        rows_.push_back(std::move(row));
    }
    json take() { return std::move(rows_); }

  private:
    bool all_;
    json rows_ = json::array();
};

void port_stats(stat_rows& rows, const std::string& name, std::uint16_t port, bool all) {
    const std::string where = "port " + name;
    rte_eth_stats stats{};
    if (rte_eth_stats_get(port, &stats) == 0) {
        rows.add(where, "rx_packets", stats.ipackets);
        rows.add(where, "tx_packets", stats.opackets);
        rows.add(where, "rx_bytes", stats.ibytes);
        rows.add(where, "tx_bytes", stats.obytes);
        rows.add(where, "rx_missed", stats.imissed, "lost by the port: nobody took them in time");
        rows.add(where, "rx_errors", stats.ierrors);
        rows.add(where, "tx_errors", stats.oerrors);
        rows.add(where, "rx_no_mbuf", stats.rx_nombuf, "no buffer for a frame that came");
    }
    const int count = all ? rte_eth_xstats_get_names(port, nullptr, 0) : 0;
    if (count <= 0) {
        return;
    }
    std::vector<rte_eth_xstat_name> names(static_cast<std::size_t>(count));
    std::vector<rte_eth_xstat> values(static_cast<std::size_t>(count));
    if (rte_eth_xstats_get_names(port, names.data(), static_cast<unsigned>(count)) == count &&
        rte_eth_xstats_get(port, values.data(), static_cast<unsigned>(count)) == count) {
        for (std::size_t i = 0; i < values.size(); ++i) {
            rows.add(where, names[i].name, values[i].value, "the driver's own");
        }
    }
}

// Time and number of the rounds that had work, without those that were kept from their CPU.
struct busy_time {
    std::uint64_t ns = 0;
    std::uint64_t rounds = 0;
};

busy_time undisturbed(const round_stats& rounds) {
    constexpr std::uint64_t longest_ns = 200'000; // far more than a full round takes
    busy_time sum;
    for (unsigned i = 0; i + 1 < round_stats::buckets; ++i) {
        const std::uint64_t end = round_stats::floor_ns(i + 1);
        if (end <= longest_ns) {
            sum.rounds += rounds.bucket(i);
            sum.ns += rounds.bucket(i) * (round_stats::floor_ns(i) + end) / 2;
        }
    }
    return sum;
}

} // namespace

template <class Route>
json router::route_row(const Route& one) const {
    json row = {{"to", format(one.prefix)}, {"protocol", protocol_word(one.protocol)}};
    json hops = json::array();
    std::string_view kind = "unicast";
    for (const route_target& target : one.targets) {
        if (target.kind != nexthop_kind::gateway && target.kind != nexthop_kind::connected) {
            kind = kind_word(target.kind);
        }
        json hop = json::object();
        if (target.kind == nexthop_kind::gateway) {
            hop["via"] = target.gateway6 ? format_address6(*target.gateway6)
                                         : format_address4(target.gateway);
        }
        if (target.interface) {
            hop["dev"] = links_.name_of(*target.interface);
        }
        if (target.weight != 1) {
            hop["weight"] = target.weight;
        }
        if (!hop.empty()) {
            hops.push_back(std::move(hop));
        }
    }
    const bool on_link = one.targets.size() == 1 && one.targets[0].kind == nexthop_kind::connected;
    add_table(row, one.table);
    row["kind"] = on_link ? "connected" : kind;
    row["hops"] = std::move(hops);
    if (one.mtu != 0) {
        row["mtu"] = one.mtu;
    }
    if (one.metric.value_or(0) != 0) {
        row["metric"] = *one.metric;
    }
    if (one.aside) {
        row["aside"] = true;
    }
    return row;
}

std::optional<prefix4> router::list_routes(
    unsigned slot, const prefix4& from, std::size_t count,
    const std::function<void(json)>& each) const {
    return rib_->visit(slot, from, count, [&](const route& one) { each(route_row(one)); });
}
std::optional<prefix6> router::list_routes(
    unsigned slot, const prefix6& from, std::size_t count,
    const std::function<void(json)>& each) const {
    return rib_->visit(slot, from, count, [&](const route6& one) { each(route_row(one)); });
}

bool router::list_to_restore(
    unsigned slot, restore_walk<prefix4>& walk, std::size_t count,
    const std::function<void(json)>& each) const {
    return rib_->visit_to_restore(
        slot, walk, count, [&](const route& one) { each(route_row(one)); });
}
bool router::list_to_restore(
    unsigned slot, restore_walk<prefix6>& walk, std::size_t count,
    const std::function<void(json)>& each) const {
    return rib_->visit_to_restore(
        slot, walk, count, [&](const route6& one) { each(route_row(one)); });
}

json router::list_aside() const {
    json rows = json::array();
    for (const route& one : rib_->aside4()) {
        rows.push_back(route_row(one));
    }
    for (const route6& one : rib_->aside6()) {
        rows.push_back(route_row(one));
    }
    return rows;
}

json router::find_routes(unsigned slot, const prefix4& prefix) const {
    json rows = json::array();
    for (const route& one : rib_->find(prefix, slot)) {
        rows.push_back(route_row(one));
    }
    return rows;
}

json router::find_routes(unsigned slot, const prefix6& prefix) const {
    json rows = json::array();
    for (const route6& one : rib_->find(prefix, slot)) {
        rows.push_back(route_row(one));
    }
    return rows;
}

result<json> router::get_route(unsigned slot, std::uint32_t address) const {
    const auto found = rib_->get(address, slot);
    if (!found) {
        return found.failure();
    }
    json row = route_row(*found);
    row["address"] = format_address4(address);
    return row;
}

result<json> router::get_route(unsigned slot, const address6& address) const {
    const auto found = rib_->get(address, slot);
    if (!found) {
        return found.failure();
    }
    json row = route_row(*found);
    row["address"] = format_address6(address);
    return row;
}

result<void> router::is_link(const std::string& name) const {
    const auto found = links_.find(name);
    return found ? result<void>() : found.failure();
}

json router::list_links() const {
    json rows = json::array();
    for (const link& one : links_.all()) {
        const iface& record = rib_->interface(one.id);
        json addresses = json::array();
        for (const iface_address4& address : record.ip4()) {
            addresses.push_back(fmt::format(
                "{}/{}", format_address4(address.address.host()), address.prefix_length));
        }
        for (const iface_address6& address : record.ip6()) {
            addresses.push_back(text_of(address));
        }
        json row = {
            {"name", one.name},
            {"port", one.port_name},
            {"vlan", one.vlan ? json(*one.vlan) : json()},
            {"address", format_mac(record.mac)},
            {"mtu", record.mtu},
            {"state", record.up ? "up" : "down"},
            {"addresses", std::move(addresses)}};
        add_table(row, record.table);
        if (record.mtu6 != 0) {
            row["ipv6_mtu"] = record.link_mtu6();
        }
        rte_eth_link carrier{};
        if (rte_eth_link_get_nowait(one.port.value, &carrier) == 0) {
            row["carrier"] = carrier.link_status == RTE_ETH_LINK_UP;
        }
        for (const port_report& port : engine_->ports()) {
            if (port.id == one.port && !one.vlan) {
                row["driver"] = port.driver;
                row["rx_queues"] = port.rx_queues;
                row["tx_queues"] = port.tx_queues;
                row["rss"] = port.rss;
                row["notes"] = port.notes;
                if ((silent_ports_ >> port.id.value & 1) != 0) {
                    row["notes"].push_back(silent_port_text);
                }
            }
        }
        rows.push_back(std::move(row));
    }
    return rows;
}

json router::list_addrs() const {
    json rows = json::array();
    for (const link& one : links_.all()) {
        for (const iface_address4& address : rib_->interface(one.id).ip4()) {
            rows.push_back(
                {{"dev", one.name},
                 {"address",
                  fmt::format(
                      "{}/{}", format_address4(address.address.host()), address.prefix_length)},
                 {"flags", flag_words(address.flags)}});
        }
        for (const iface_address6& address : rib_->interface(one.id).ip6()) {
            rows.push_back(
                {{"dev", one.name},
                 {"address", text_of(address)},
                 {"flags", flag_words(address.flags)}});
        }
    }
    return rows;
}

result<json> router::list_neighs() {
    json rows = json::array();
    worker_questions::question<neighbor_command> command(questions_);
    command->operation = neighbor_operation::list;
    do {
        if (auto answered = command.ask(engine_->control(), 0); !answered) {
            return answered.failure();
        }
        for (unsigned i = 0; i < command->count; ++i) {
            const neighbor_owner::row& row = command->rows[i];
            const bool resolved = !row.mac.is_zero();
            rows.push_back(
                {{"address", row.key.is_ip4() ? format_address4(row.key.ip4().host())
                                              : format_address6({row.key.high, row.key.low})},
                 {"dev", links_.name_of(row.key.iface)},
                 {"lladdr", resolved ? json(format_mac(row.mac.bytes)) : json()},
                 {"state", name_of(row.state)},
                 {"age_ms", row.age_ns / ns_per_ms}});
        }
    } while (!command->done);
    return rows;
}

json router::list_netisr() {
    json rows = json::array();
    for (std::uint16_t w = 0; w < engine_->workers(); ++w) {
        const netisr& packets = engine_->rig(worker_id{w}).packets;
        for (std::uint8_t p = 0; p < protocols_max; ++p) {
            const char* name = packets.name(protocol_id{p});
            if (name == nullptr) {
                continue;
            }
            const netisr_counters& counts = packets.counters(protocol_id{p});
            rows.push_back(
                {{"worker", w},
                 {"protocol", name},
                 {"came", counts.came.read()},
                 {"direct", counts.direct.read()},
                 {"deferred", counts.deferred.read()},
                 {"queued", counts.queued.read()},
                 {"dropped", counts.dropped.read()},
                 {"unhandled", counts.unhandled.read()},
                 {"handled", counts.handled.read()},
                 {"runs", counts.runs.read()}});
        }
    }
    return rows;
}

json router::list_stats(bool all) {
    stat_rows rows(all);
    for (const link& one : links_.all()) {
        if (!one.vlan) {
            port_stats(rows, one.name, one.port.value, all);
        }
    }
    for (const link& one : links_.all()) {
        for (const link_counter_name& what : link_counter_names) {
            std::uint64_t sum = 0;
            for (const auto& each : stacks_) {
                sum += (each->link_counts()[one.id].*what.member).read();
            }
            rows.add("link " + one.name, what.name, sum);
        }
    }
    for (std::uint16_t w = 0; w < engine_->workers(); ++w) {
        const std::string where = fmt::format("worker {}", w);
        worker_rig& rig = engine_->rig(worker_id{w});
        for (const ip4_counter_name& one : ip4_counter_names) {
            rows.add(where, one.name, (stacks_[w]->ip4_counts().*one.member).read());
        }
        for (const ip6_counter_name& one : ip6_counter_names) {
            rows.add(
                where, fmt::format("ip6_{}", one.name),
                (stacks_[w]->ip6_counts().*one.member).read());
        }
        if (const link_duties* duties = stacks_[w]->duties(); duties != nullptr) {
            for (const address_prober_counter_name& one : address_prober_counter_names) {
                rows.add(where, one.name, (duties->prober.counters.*one.member).read());
            }
        }
        for (const nd_counter_name& one : nd_counter_names) {
            rows.add(where, one.name, (stacks_[w]->nd_counts().*one.member).read());
        }
        for (const arp_counter_name& one : arp_counter_names) {
            rows.add(where, one.name, (stacks_[w]->arp_counts().*one.member).read());
        }
        for (const udp::counter_name& one : udp::counter_names) {
            rows.add(where, one.name, (stacks_[w]->host().udp.stats.*one.member).read());
        }
        for (const host_cache_counter_name& one : host_cache_counter_names) {
            rows.add(where, one.name, (stacks_[w]->host_cache_counts().*one.member).read());
        }
        rows.add(where, "rounds_busy", rig.rounds.busy_rounds());
        rows.add(where, "rounds_idle", rig.rounds.idle_rounds());
        rows.add(where, "sleeps", rig.rounds.sleeps());
        rows.add(where, "round_p50_ns", rig.rounds.percentile_ns(500));
        rows.add(where, "round_p999_ns", rig.rounds.percentile_ns(999));
        rows.add(where, "route_generation", log_->generation(replicas_[w]->reader()));
        for (std::size_t i = 1; i < drop_reason_count; ++i) {
            const drop_reason_text& reason = drop_reason_texts[i];
            rows.add(
                where, fmt::format("drop_{}", reason.name),
                rig.drops.dropped(static_cast<drop_reason>(i)), reason.text);
        }
    }
    rows.add("buffers", "all", engine_->pool()->size);
    rows.add(
        "buffers", "in_use", rte_mempool_in_use_count(engine_->pool()),
        "packets held by devices, queues and connections");
    rows.add("buffers", "alarms", alarm_.raised(), "times that too few were free: workers drained");
    const rib_counts counts = rib_->counts();
    rows.add("routes", "ipv4", counts.routes4);
    rows.add("routes", "ipv6", counts.routes6);
    rows.add("routes", "hops", counts.hops);
    rows.add("routes", "replica_bytes_ipv4", counts.replica_bytes4, "of one worker");
    rows.add("routes", "replica_bytes_ipv6", counts.replica_bytes6, "of one worker");
    rows.add("routes", "authority_bytes", counts.authority_bytes, "control's own");
    rows.add("routes", "generation", counts.generation);
    rows.add("routes", "changes", counts.changes);
    rows.add("routes", "fallback_steps", counts.revised, "prefixes looked at for dead next hops");
    rows.add("routes", "stuck", counts.given_up, "times that a worker did not read the log");
    if (automatic_) {
        rows.add(
            "routes", "advertised_limits_put_off", automatic_->limits_put_off(),
            "router advertisements that changed a link's MTU or hop limit too soon after the last");
    }
    for (const json& table : list_tables()) {
        if (table["table"] != main_table) {
            const std::string where = fmt::format("table {}", table["table"].dump());
            rows.add(where, "interfaces", table["interfaces"].size());
            rows.add(where, "ipv4", table["ipv4_routes"]);
            rows.add(where, "ipv6", table["ipv6_routes"]);
            rows.add(where, "replica_bytes_ipv4", table["replica_bytes_ipv4"], "of one worker");
            rows.add(where, "replica_bytes_ipv6", table["replica_bytes_ipv6"], "of one worker");
            rows.add(where, "authority_bytes", table["control_bytes"], "control's own");
        }
    }
    return rows.take();
}

json router::summary() {
    const rib_counts counts = rib_->counts();
    std::uint64_t forwarded = 0;
    std::uint64_t received = 0;
    std::uint64_t dropped = 0;
    busy_time busy;
    for (std::uint16_t w = 0; w < engine_->workers(); ++w) {
        worker_rig& rig = engine_->rig(worker_id{w});
        forwarded +=
            stacks_[w]->ip4_counts().forwarded.read() + stacks_[w]->ip6_counts().forwarded.read();
        for (const rx_queue& queue : rig.rx) {
            received += queue.received();
        }
        for (std::size_t i = 1; i < drop_reason_count; ++i) {
            dropped += rig.drops.dropped(static_cast<drop_reason>(i));
        }
        const busy_time one = undisturbed(rig.rounds);
        busy.ns += one.ns;
        busy.rounds += one.rounds;
    }
    return {
        {"workers", engine_->workers()},
        {"ipv4_routes", counts.routes4},
        {"ipv6_routes", counts.routes6},
        {"feed_routes", loaded_},
        {"replica_bytes_ipv4", counts.replica_bytes4},
        {"generation", counts.generation},
        {"changes", counts.changes},
        {"settled", rib_->settled()},
        {"forwarded", forwarded},
        {"received", received},
        {"dropped", dropped},
        {"busy_ns", busy.ns},
        {"busy_rounds", busy.rounds},
        {"tsc_hz", rte_get_tsc_hz()},
        {"start_seconds", start_seconds_}};
}

} // namespace pantala::app
