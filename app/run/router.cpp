// Start and stop of a router, and the work of its control loop. (What a configuration says:
// config/configure.cpp; changes: router_changes.cpp; questions: router_questions.cpp.)
#include "app/run/router.hpp"

#include "app/config/stable_secret.hpp"
#include "app/config/tcp_choice.hpp"
#include "app/run/port_settings.hpp"
#include "stack/socket/bsd/bsd_table.hpp"

#include <algorithm>
#include <chrono>
#include <random>

#include <fmt/format.h>
#include <rte_ethdev.h>
#include <rte_mempool.h>

namespace pantala::app {

namespace {

constexpr unsigned buffers_scarce = 16; // fewer free than one in so many

// Makes the worker serve the BSD-shaped sockets of this process.
class bsd_program : public worker_program {
  public:
    bsd_program(net_host& host, doorbell& bell) : gate_(host, bell) {}

  private:
    bsd::gate gate_;
};

result<void> has_ports(const config& from) {
    return !from.ports.empty()
               ? result<void>()
               : error{
                     EINVAL, "no ports: name them with --port NAME=DEVICE or [[port]] in a "
                             "configuration (pantala run --reference shows all keys)"};
}

host_cache_settings host_cache_of(const hostcache_config& from) {
    return {
        .expire_s = from.expire,
        .min_expire_s = from.min_expire,
        .sweep_s = from.sweep,
        .max_cache = from.max_cache,
        .entries = from.entries,
        .path_mtu_s = from.path_mtu,
        .seed_connections = from.seed_connections};
}

siphash_key random_key() {
    std::random_device device;
    const auto word = [&] { return std::uint64_t{device()} << 32 | device(); };
    return {word(), word()};
}

// The timestamps of this host go on where those of the process before it stopped: the machine's
// clock and a key of its own secret.
void continue_timestamps(siphash_key secret, instant now, tcp::settings& to) {
    using namespace std::chrono;
    const auto since = system_clock::now().time_since_epoch();
    to.timestamp_key = {
        siphash24::of(secret, "timestamps 0", 12), siphash24::of(secret, "timestamps 1", 12)};
    to.timestamp_base_ms =
        static_cast<std::uint32_t>(duration_cast<milliseconds>(since).count() - now.ms());
}

engine_settings engine_settings_of(const config& from) {
    engine_settings settings;
    settings.dispatch =
        from.engine.dispatch == "deferred" ? dispatch_policy::deferred : dispatch_policy::direct;
    settings.idle.policy = from.engine.idle == "busy" ? idle_policy::busy : idle_policy::adaptive;
    settings.mbufs = from.engine.mbufs;
    settings.ports_planned = std::max<unsigned>(1, static_cast<unsigned>(from.ports.size()));
    for (const port_config& port : from.ports) {
        settings.descriptors =
            std::max({settings.descriptors, port.rx_descriptors, port.tx_descriptors});
        settings.mbuf_bytes =
            std::max<unsigned>(settings.mbuf_bytes, std::min(port.mtu + 64U, 9600U));
    }
    return settings;
}

} // namespace

result<std::unique_ptr<router>> router::make(
    const config& from, const std::vector<std::string>& eal, const progress_report& progress,
    const program_factory& programs) {
    std::unique_ptr<router> made(new router);
    if (auto started = made->start(from, eal, progress, programs); !started) {
        return started.failure();
    }
    return made;
}

router::~router() {
    if (engine_) {
        engine_->stop();
    }
    programs_.clear(); // their sockets are the stacks'
    stacks_.clear();
    for (const auto& replica : replicas_) {
        rib_->leave(*replica);
    }
}

result<void> router::start(
    const config& from, const std::vector<std::string>& eal, const progress_report& progress,
    const program_factory& programs) {
    auto devices = start_engine(from, eal);
    if (!devices) {
        return devices.failure();
    }
    if (auto made = start_routes(from); !made) {
        return made;
    }
    control_context_ = {rib_.get(), automatic_.get()};
    engine_->fabric().set_context(engine_->workers(), &control_context_);
    for (std::size_t i = 0; i < from.ports.size(); ++i) {
        if (auto added = add_port(from.ports[i], (*devices)[i]); !added) {
            return at_line(from, from.ports[i].line, added.failure());
        }
    }
    if (auto done = configure(from); !done) {
        return done;
    }
    if (auto done = load_tables(from, progress); !done) {
        return done;
    }
    if (auto done = start_workers(from, programs); !done) {
        return done;
    }
    if (auto done = add_neighbors(from); !done) { // the owner of neighbours is a worker
        return done;
    }
    start_seconds_ =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
    return {};
}

result<void> router::start_routes(const config& from) {
    log_ = std::make_unique<route_log>();
    auto made = rib::make(*log_);
    if (!made) {
        return made.failure();
    }
    rib_ = std::move(*made);
    automatic_ = std::make_unique<autoconf>(*rib_, stable_secret(from.ip6.stable_secret));
    return {};
}

result<void> router::check(const config& from, const progress_report& progress) {
    router pretended;
    return pretended.rehearse(from, progress);
}

// start() without what needs EAL.
result<void> router::rehearse(const config& from, const progress_report& progress) {
    if (auto any = has_ports(from); !any) {
        return any;
    }
    if (auto made = start_routes(from); !made) {
        return made;
    }
    for (std::size_t i = 0; i < from.ports.size(); ++i) {
        const port_config& port = from.ports[i];
        auto parsed = parse_device(port.device, static_cast<unsigned>(i));
        auto done = parsed ? pretend_port(port, port_id{static_cast<std::uint16_t>(i)})
                           : result<void>(parsed.failure());
        if (!done) {
            return at_line(from, port.line, done.failure());
        }
    }
    if (auto done = configure(from); !done) {
        return done;
    }
    auto done = load_tables(from, progress);
    return done ? add_neighbors(from) : done;
}

result<std::vector<device>>
router::start_engine(const config& from, const std::vector<std::string>& eal) {
    if (auto any = has_ports(from); !any) {
        return any.failure();
    }
    launch_settings launch;
    launch.workers = from.engine.workers;
    if (from.engine.memory_mib != 0) {
        launch.memory_mb = from.engine.memory_mib;
    }
    std::vector<device> devices;
    for (const port_config& port : from.ports) {
        auto parsed = parse_device(port.device, static_cast<unsigned>(devices.size()));
        if (!parsed) {
            return at_line(from, port.line, parsed.failure());
        }
        launch.eal.push_back(parsed->argument);
        devices.push_back(*parsed);
    }
    if (!from.engine.lcores.empty()) {
        launch.eal.push_back(
            from.engine.lcores == "floating" ? floating_lcores(launch.workers + 1)
                                             : "--lcores=" + from.engine.lcores);
    }
    launch.eal.insert(launch.eal.end(), from.engine.eal.begin(), from.engine.eal.end());
    launch.eal.insert(launch.eal.end(), eal.begin(), eal.end());
    auto session = eal_session::start(launch);
    if (!session) {
        return session.failure();
    }
    eal_ = std::move(*session);
    auto made = engine::make(engine_settings_of(from), worker_places());
    if (!made) {
        return made.failure();
    }
    engine_ = std::move(*made);
    return devices;
}

result<void> router::add_port(const port_config& port, const device& where) {
    if (links_.find(port.name)) {
        return error{EEXIST, fmt::format("two ports are called '{}'", port.name)};
    }
    auto found = find_port(where);
    if (!found) {
        return found.failure();
    }
    const port_id id{*found};
    if (!port.mac.empty()) {
        if (auto taken = set_port_mac(id, port.name, *parse_mac(port.mac)); !taken) {
            return taken.failure();
        }
    }
    const port_settings settings{
        .mtu = static_cast<std::uint16_t>(port.mtu),
        .rx_descriptors = static_cast<std::uint16_t>(port.rx_descriptors),
        .tx_descriptors = static_cast<std::uint16_t>(port.tx_descriptors),
        .queues = static_cast<std::uint16_t>(port.queues),
        .promiscuous = port.promiscuous,
        .impair =
            {.lose = port.lose_ppm, .duplicate = port.duplicate_ppm, .reorder = port.reorder_ppm},
    };
    auto opened = engine_->add_port(id, settings);
    if (!opened) {
        return opened.failure();
    }
    const link named{.name = port.name, .port_name = port.name, .port = id};
    auto added = add_link(named, opened->mtu, true);
    return added ? result<void>() : added.failure();
}

// A port that is not there, for a check: its name, its MTU and an address of its own.
result<void> router::pretend_port(const port_config& port, port_id id) {
    if (links_.find(port.name)) {
        return error{EEXIST, fmt::format("two ports are called '{}'", port.name)};
    }
    if (!port.mac.empty()) {
        if (auto good = is_station_mac(*parse_mac(port.mac)); !good) {
            return good;
        }
    }
    const link named{.name = port.name, .port_name = port.name, .port = id};
    auto added = add_link(named, static_cast<std::uint16_t>(port.mtu), true);
    return added ? result<void>() : added.failure();
}

result<iface_id> router::add_link(const link& named, std::uint16_t mtu, bool up) {
    iface record;
    record.present = true;
    record.up = up;
    record.port = named.port;
    record.vlan = named.vlan.value_or(vlan_none);
    record.mtu = mtu;
    record.mac = engine_ ? port_mac(named.port)
                         : mac_address{2, 0, 0, 0, 0, static_cast<std::uint8_t>(named.port.value)};
    if (engine_) {
        if (auto carried = carry_mtu(named.port, named.port_name, mtu, *engine_->pool());
            !carried) {
            return carried.failure();
        }
    }
    auto id = rib_->add_interface(record);
    if (id) {
        link made = named;
        made.id = *id;
        links_.add(std::move(made));
    }
    return id;
}

result<void> router::start_workers(const config& from, const program_factory& programs) {
    stack_settings settings;
    settings.ip4.send_redirects = from.ip4.send_redirects;
    settings.ip4.icmp_errors_per_s = from.ip4.errors_per_second;
    settings.hosts = host_cache_of(from.hostcache);
    choose_tcp(from.tcp, settings.host);
    settings.host.tcp.fast_open_key = random_key(); // one worker's cookies are good at all
    continue_timestamps(
        stable_secret(from.ip6.stable_secret), engine_->clock().now(), settings.host.tcp);
    tcp_ = from.tcp;
    host_settings_ = settings.host;
    std::vector<stack*> stacks;
    for (std::uint16_t w = 0; w < engine_->workers(); ++w) {
        auto replica = rib_->join();
        if (!replica) {
            return replica.failure();
        }
        replicas_.push_back(std::move(*replica));
        stacks_.push_back(std::make_unique<stack>(
            engine_->rig(worker_id{w}).services(), *replicas_.back(), settings));
        engine_->fabric().set_context(w, stacks_.back().get());
        stacks.push_back(stacks_.back().get());
        programs_.push_back(std::make_unique<bsd_program>(
            stacks_.back()->host(), engine_->fabric().endpoint(w).bell()));
        if (programs) {
            auto made = programs(stacks_.back()->host().native());
            if (!made) {
                return made.failure();
            }
            programs_.push_back(std::move(*made));
        }
    }
    return engine_->start<stack>(std::span<stack* const>(stacks));
}

bool router::turn() {
    using namespace std::chrono;
    const instant now{static_cast<std::uint64_t>(
        duration_cast<nanoseconds>(steady_clock::now() - began_).count())};
    automatic_->tick(now, &engine_->control());
    notice_memory(now);
    engine_->control().poll();
    const bool churned = turn_churn();
    const bool quiet = rib_->pump() && !churned;
    rib_->mind_workers(now);
    if (log_->words_written() != woken_for_) {
        woken_for_ = log_->words_written();
        wake_workers();
    }
    engine_->control().flush();
    pay_tcp_owed();
    notice_silent_ports();
    return quiet;
}

// Said once a port, where a service's log is, and from then on by `link show`.
void router::notice_silent_ports() {
    std::uint32_t silent = 0;
    for (std::uint16_t w = 0; w < engine_->workers(); ++w) {
        silent |= engine_->rig(worker_id{w}).idle.silent_ports();
    }
    if (silent == silent_ports_) [[likely]] {
        return;
    }
    for (const link& one : links_.all()) {
        if (!one.vlan && ((silent & ~silent_ports_) >> one.port.value & 1) != 0) {
            fmt::print(stderr, "port {}: {}\n", one.name, silent_port_text);
        }
    }
    silent_ports_ = silent;
}

// Buffers nearly gone are the alarm that BSD's mbuf allocator raised.
void router::notice_memory(instant now) {
    if (now.ns / ns_per_s == memory_second_) [[likely]] {
        return;
    }
    memory_second_ = now.ns / ns_per_s;
    const rte_mempool* pool = engine_->pool();
    if (rte_mempool_avail_count(pool) < pool->size / buffers_scarce) {
        alarm_.raise(engine_->control(), now);
    }
}

// A worker asleep does not look at the log.
void router::wake_workers() {
    for (std::uint16_t w = 0; w < engine_->workers(); ++w) {
        engine_->fabric().endpoint(w).bell().ring_if_armed();
    }
}

} // namespace pantala::app
