// A running router: EAL, engine, ports, stacks and RIB put together from a configuration, and the
// changes and questions of operators. Control thread only.
#pragma once

#include "app/changes.hpp"
#include "app/config/config.hpp"
#include "app/eal/devices.hpp"
#include "app/monitor/change_feed.hpp"
#include "app/run/churn.hpp"
#include "app/run/links.hpp"
#include "app/run/worker_program.hpp"
#include "app/run/worker_questions.hpp"
#include "app/tables/table_file.hpp"
#include "app/tables/table_names.hpp"
#include "app/tables/table_walk.hpp"
#include "engine/base/result.hpp"
#include "engine/setup/engine.hpp"
#include "stack/ether/duties/control_context.hpp"
#include "stack/ether/nd/autoconf.hpp"
#include "stack/route/feed/feed_hops.hpp"
#include "stack/route/host_cache/memory_alarm.hpp"
#include "stack/route/rib.hpp"
#include "stack/stack.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace pantala::app {

using nlohmann::json;

// Of a step at start-up that may take more than a second.
using progress_report =
    std::function<void(std::string_view what, std::uint64_t done, std::uint64_t of)>;

inline constexpr const char* silent_port_text =
    "its receive interrupts do not come: an idle worker looks every few milliseconds instead";
inline constexpr std::size_t sockets_listed_max = 100'000;
inline constexpr std::size_t hosts_listed_max = 100'000;

// What a feed's routes are: of which protocol, in which of the RIB's tables.
struct feed_place {
    route_protocol protocol = route_protocol::fixed;
    unsigned slot = 0;
};

struct show_question; // app/questions.hpp

struct load_counts {
    std::uint64_t routes4 = 0;
    std::uint64_t routes6 = 0;
    std::uint64_t passed_over = 0; // of a family that no gateway was named for
};

class router {
  public:
    // Does everything the configuration says, up to running workers. `eal`: the operator's own
    // options. An error names the configuration's line where there is one.
    static result<std::unique_ptr<router>> make(
        const config& from, const std::vector<std::string>& eal, const progress_report& progress,
        const program_factory& programs = {});
    // Whether make() would find anything wrong with what is said, apart from what only the devices
    // know: names, addresses, gateways, tables are looked at by the very code that sets them up,
    // but without EAL, ports and workers. The error is make()'s.
    static result<void> check(const config& from, const progress_report& progress);
    ~router();
    router(const router&) = delete;
    router& operator=(const router&) = delete;

    // --- changes ---
    result<void> change(const route_change& change);
    result<void> change(const addr_change& change);
    result<void> change(const neigh_change& change);
    result<void> change(const link_change& change);
    // All routes of a table file, each family at once; those without a gateway are spread over
    // `via` by the skewed rule. If that names gateways of one family only, what has none in the
    // other is passed over; if it names none, it is an error.
    result<load_counts> load(const table_contents& table, const load_change& how);
    // Deletes all routes of a protocol in one table; `deleted` grows by how many there were.
    // Errors: EAGAIN (the workers do not keep up: again for the rest), ENOMEM.
    result<void> flush(const feed_place& from, std::size_t& deleted);

    // --- tables: the RIB's numbers (slots) of those that operators name ---
    // One that is there, or has a name. Errors: ENOENT.
    result<unsigned> table_there(const table_word& named) const;
    // The same, or one that is to be made. Errors: ENOENT (no such VRF), ENOSPC.
    result<unsigned> table_for(const table_word& named);
    // By their numbers: their slots may be others' by the next turn (table_walk).
    result<std::vector<std::uint32_t>> tables_asked(const show_question& asked) const;
    // The slot of the table whose turn it is; nothing: there is none left.
    std::optional<unsigned> slot_of(table_walk& walk) const { return walk.slot(tables_, *rib_); }

    // --- a feed's changes: one gateway, no names ---
    result<void> announce(const prefix4& to, std::uint32_t gateway, const feed_place& in);
    result<void> announce(const prefix6& to, const address6& gateway, const feed_place& in);
    rib& routes() { return *rib_; }

    // --- who watches ---
    // Changes of routes by command and batch are told one by one, those of a load or a flush in
    // sum; churn is not told. The routes of an address come and go with it; what stands aside for
    // them, or is back, is told as changed.
    change_feed& changes() { return changes_; }
    // Tells what is different about links, addresses and neighbours, and which routes stand aside
    // or do not any more, since the last look.
    void look_for_changes();

    // --- churn: see churn.hpp ---
    // Of the routes that load() spread over gateways by the rule, and of the link `spare` (empty:
    // of none), which should carry nothing. Errors: EBUSY, ENOENT.
    result<void> start_churn(std::uint64_t rate, std::uint64_t seed, const std::string& spare);
    // No more changes; the routes are being restored. What was done; nothing: there was none.
    std::optional<json> stop_churn();
    bool churning() const { return churn_.has_value(); }

    // --- questions ---
    // At most `count` prefixes' routes from `from` on, as rows; where to go on.
    std::optional<prefix4> list_routes(
        unsigned slot, const prefix4& from, std::size_t count,
        const std::function<void(json)>& each) const;
    std::optional<prefix6> list_routes(
        unsigned slot, const prefix6& from, std::size_t count,
        const std::function<void(json)>& each) const;
    // The same in an order that restores, until it answers true: see rib::visit_to_restore.
    bool list_to_restore(
        unsigned slot, restore_walk<prefix4>& walk, std::size_t count,
        const std::function<void(json)>& each) const;
    bool list_to_restore(
        unsigned slot, restore_walk<prefix6>& walk, std::size_t count,
        const std::function<void(json)>& each) const;
    json find_routes(unsigned slot, const prefix4& prefix) const;
    json find_routes(unsigned slot, const prefix6& prefix) const;
    result<json> get_route(unsigned slot, std::uint32_t address) const;
    result<json> get_route(unsigned slot, const address6& address) const;
    json list_aside() const;  // routes that an address's own is used instead of
    json list_tables() const; // with their names, interfaces, and what they cost
    // Number and name of a table, unless it is the main one.
    void add_table(json& row, unsigned slot) const;
    // Errors: ENODEV, with the names that there are.
    result<void> is_link(const std::string& name) const;
    json list_links() const;
    json list_addrs() const;
    // What workers are asked for fails with ETIMEDOUT where one does not answer.
    result<json> list_neighs();
    json list_netisr();
    json list_stats(bool all);
    json list_tcp_stats(bool all) const;
    // TCP's settings: all, or the one of this name.
    json list_tcp(const std::string& name) const;
    // Changes one on all workers; how many there are. It holds for connections that begin from now
    // on, intervals also for timers that are set from now on.
    result<unsigned> set_tcp(const std::string& name, const std::string& value);
    result<json> list_sockets(); // TCP's, at most sockets_listed_max
    // Every worker's, or what they remember of one address.
    result<json> list_host_cache(const std::optional<ip_address>& of);
    // How many workers knew the address; of all: how many workers there are.
    result<unsigned> flush_host_cache(const std::optional<ip_address>& of);
    json summary();

    // --- control's loop ---
    // Moves what waits to the workers and handles their messages. True: nothing waits.
    bool turn();
    doorbell& bell() { return engine_->control().bell(); }
    // Work that need not wait for anything: the loop should not sleep.
    bool has_work() const { return churn_ && (restoring_ || churn_->due()); }
    bool has_messages() { return engine_->control().has_messages(); }

  private:
    router() = default;
    result<void> start(
        const config& from, const std::vector<std::string>& eal, const progress_report& progress,
        const program_factory& programs);
    result<std::vector<device>>
    start_engine(const config& from, const std::vector<std::string>& eal);
    result<void> start_routes(const config& from);
    result<void> rehearse(const config& from, const progress_report& progress);
    result<void> add_port(const port_config& port, const device& where);
    result<void> pretend_port(const port_config& port, port_id id);
    result<void> add_neighbors(const config& from);
    result<iface_id> add_link(const link& named, std::uint16_t mtu, bool up);
    template <class Prefix, class Change>
    result<void> watched_change(unsigned slot, const Prefix& prefix, const Change& make);
    template <class Change>
    result<void> then_look(const Change& make);
    result<void> make_change(const addr_change& change);
    result<void> make_change(const neigh_change& change);
    result<void> make_change(const link_change& change);
    result<load_counts>
    load_into(unsigned slot, const table_contents& table, const load_change& how);
    result<void> take_churn_hops();
    void end_churn();
    template <class Route>
    result<Route> deletion(Route wanted, const route_change& change) const;
    result<void> on_link(const link& dev, std::uint32_t gateway, change_verb verb) const;
    result<void> may_be_neighbor(const link& dev, const neigh_change& change) const;
    result<void> set_duties(const link& of, const link_change& change);
    result<void> set_link(const link& of, const link_change& change);
    void undo_link(const link& of, const iface& before, bool mac);
    result<void> may_set_mac(const link& of, const mac_address& mac) const;
    result<void> add_vrf(const link_change& change);
    result<void> del_vrf(const std::string& name);
    result<void> put_into(const link& of, const table_word& to);
    result<void> add_link_local(iface_id id, std::uint8_t flags);
    result<void> change_mac(const link& of, const mac_address& mac);
    result<void> configure(const config& from);
    result<void> configure_links(const config& from);
    result<void> configure_tables(const config& from);
    result<void> configure_routes(const config& from);
    result<void> load_tables(const config& from, const progress_report& progress);
    result<void> start_workers(const config& from, const program_factory& programs);
    template <class Route>
    result<Route> to_route(const route_change& change, unsigned slot) const;
    template <class Route>
    result<void> change_route(const route_change& change, unsigned slot);
    result<void> change_address6(const addr_change& change, iface_id id);
    template <class Route>
    json route_row(const Route& one) const;
    bool turn_churn();
    void wake_workers();
    result<void> tell_tcp(std::uint16_t w);
    void pay_tcp_owed();
    void notice_silent_ports();
    void notice_memory(instant now);

    std::unique_ptr<eal_session> eal_;
    memory_alarm alarm_; // its messages may be with the workers
    std::unique_ptr<route_log> log_;
    std::unique_ptr<rib> rib_;
    tcp_config tcp_;                 // as it stands
    host_settings host_settings_;    // what was made of it
    worker_questions questions_;     // outlives the workers
    std::vector<bool> tcp_owed_;     // by worker: it has not got the last change of [tcp]
    std::unique_ptr<engine> engine_; // none while a configuration is only checked
    std::vector<std::unique_ptr<route_replica>> replicas_;
    std::vector<std::unique_ptr<stack>> stacks_;
    std::vector<std::unique_ptr<worker_program>> programs_;
    std::unique_ptr<autoconf> automatic_;
    control_context control_context_;
    link_names links_;
    table_names tables_;
    feed_hops feed_hops_;
    change_feed changes_;
    std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
    double start_seconds_ = 0;
    std::vector<std::uint32_t> rule_gateways_; // of the last load
    std::uint64_t loaded_ = 0;                 // prefixes that loads added
    std::optional<churn> churn_;
    std::vector<nexthop_id> churn_hops_; // of rule_gateways_, each with a use
    bool restoring_ = false;
    std::string churn_failure_;
    std::uint64_t woken_for_ = 0;     // log words that the workers know of
    std::uint64_t memory_second_ = 0; // when memory was looked at last
    std::uint32_t silent_ports_ = 0;  // a bit a port: the operator knows
};

} // namespace pantala::app
