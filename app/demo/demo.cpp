#include "app/demo/demo.hpp"

#include "app/cli/output.hpp"
#include "app/config/config.hpp"
#include "app/demo/child.hpp"
#include "app/gen/generator.hpp"
#include "app/gen/table/synthetic_table.hpp"
#include "app/gen/trial_server.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include <fmt/format.h>
#include <unistd.h>

namespace pantala::app {

namespace {

constexpr const char* west_mac = "02:50:41:4e:00:01";
constexpr const char* east_mac = "02:50:41:4e:00:02";
constexpr const char* gateway_base = "02:70:00:00:00:00";
constexpr std::uint32_t gateways_net = 0x0aff0100; // 10.255.1.0/24
constexpr unsigned first_gateway = 2;

std::uint32_t gateway_address(unsigned number) {
    return gateways_net + first_gateway + number;
}

// The best place for files that are memory: /dev/shm if it has room, else where temporary files go.
std::string make_directory() {
    std::error_code failed;
    const auto room = std::filesystem::space("/dev/shm", failed);
    const char* runtime = std::getenv("XDG_RUNTIME_DIR");
    for (const std::string& parent :
         {std::string(!failed && room.available > (std::uintmax_t{256} << 20) ? "/dev/shm" : ""),
          std::string(runtime != nullptr ? runtime : ""), std::string("/tmp")}) {
        std::string path = parent + "/pantala-demo-XXXXXX";
        if (!parent.empty() && mkdtemp(path.data()) != nullptr) {
            return path;
        }
    }
    return {};
}

class demo {
  public:
    demo(
        const demo_options& options, const std::function<void(const std::string&)>& say,
        const std::function<bool()>& stopped)
        : options_(options), say_(say), stopped_(stopped), directory_(options.directory) {}
    ~demo() {
        sink_.reset();
        sender_.reset();
        router_.reset();
        std::error_code ignored;
        if (own_directory_) {
            std::filesystem::remove_all(directory_, ignored);
        }
    }

    result<json> run() {
        if (auto started = start(); !started) {
            return started.failure();
        }
        trial_runner runner(remote_ends(sender_->control(), sink_->control()), stopped_);
        std::uint64_t rate = options_.rate;
        if (rate == 0) {
            auto found = search(runner);
            if (!found) {
                return found.failure();
            }
            rate = *found;
        }
        return drive_without_loss(runner, rate);
    }

  private:
    result<void> start() {
        if (directory_.empty()) {
            directory_ = make_directory();
            own_directory_ = true;
        }
        if (directory_.empty()) {
            return error{errno, "no place for the buses: neither /dev/shm nor /tmp can be written"};
        }
        if (auto made = make_table(); !made) {
            return made;
        }
        write_router_config();
        if (auto started = start_router(); !started) {
            return started;
        }
        if (auto started = start_ends(); !started) {
            return started;
        }
        for (std::optional<child>* one : {&router_, &sender_, &sink_}) {
            progress_line progress;
            auto ready = (*one)->await_ready([&] {
                progress.show({"starting generator, router and sink", 0, 0});
                return !stopped_();
            });
            if (!ready) {
                return ready;
            }
        }
        return report_start();
    }

    result<void> make_table() {
        table_ = options_.table;
        if (!table_.empty()) {
            return {};
        }
        table_ = directory_ + "/table.txt";
        const auto prefixes = make_synthetic_table(1);
        say_(fmt::format(
            "no routing table is at hand: a synthetic one of {} IPv4 prefixes", prefixes.size()));
        return write_prefix_list(table_, prefixes);
    }

    void write_router_config() const {
        std::ofstream file(directory_ + "/router.toml");
        file << fmt::format("[engine]\nworkers = {}\nlcores = \"floating\"\n", options_.workers);
        file << port_config("west", west_mac, "10.255.0.1/24");
        file << port_config("east", east_mac, format_ip4(gateways_net + 1) + "/24");
        const mac_address base = *parse_mac(gateway_base);
        std::string via;
        for (unsigned i = 0; i < options_.gateways; ++i) {
            const std::string address = format_ip4(gateway_address(i));
            file << fmt::format(
                "[[neigh]]\naddress = \"{}\"\nlladdr = \"{}\"\ndev = \"east\"\n", address,
                format_mac(gateway_mac(base, i)));
            via += fmt::format("{}\"{}\"", i == 0 ? "" : ", ", address);
        }
        if (options_.updates > 0) { // a link without traffic, to be taken down and up
            file << "[[link]]\nname = \"spare\"\nport = \"east\"\nvlan = 4000\n"
                    "[[addr]]\naddress = \"10.254.0.1/24\"\ndev = \"spare\"\n"
                    "[[route]]\nto = \"192.0.2.0/24\"\nvia = \"10.254.0.2\"\n";
        }
        file << fmt::format("[[table]]\nfile = {}\nvia = [{}]\n", toml_string(table_), via);
    }
    std::string port_config(const char* name, const char* mac, const std::string& address) const {
        return fmt::format(
            "[[port]]\nname = \"{0}\"\ndevice = {1}\nmac = \"{2}\"\n[[addr]]\naddress = \"{3}\"\n"
            "dev = \"{0}\"\n",
            name, toml_string(fmt::format("bus:{}/{}.bus,{}", directory_, name, options_.bus)), mac,
            address);
    }

    result<void> start_router() {
        auto started =
            child::start("router", directory_, {"run", "-c", directory_ + "/router.toml"});
        if (!started) {
            return started.failure();
        }
        router_.emplace(std::move(*started));
        return {};
    }

    result<void> start_ends() {
        std::vector<std::string> common = {"gen",     "--serve",
                                           "--table", table_,
                                           "--flows", std::to_string(options_.flows),
                                           "--from",  "10.255.0.2",
                                           "--size",  options_.sizes};
        auto sender = common;
        sender.insert(
            sender.end(), {"--tx", fmt::format("bus:{}/west.bus", directory_), "--next", west_mac});
        auto sink = common;
        sink.insert(
            sink.end(),
            {"--rx", fmt::format("bus:{}/east.bus", directory_), "--routed", "--gateways",
             std::to_string(options_.gateways), "--gateway-base", gateway_base});
        if (options_.updates > 0) {
            sink.insert(sink.end(), {"--churn-seed", "1"});
        }
        auto first = child::start("generator", directory_, sender);
        if (!first) {
            return first.failure();
        }
        sender_.emplace(std::move(*first));
        auto second = child::start("sink", directory_, sink);
        if (!second) {
            return second.failure();
        }
        sink_.emplace(std::move(*second));
        return {};
    }

    result<void> report_start() {
        auto state = router_->ask("summary");
        auto sink = sink_->ask("gen.info");
        if (!state || !sink) {
            return state ? sink.failure() : state.failure();
        }
        start_seconds_ = state->value("start_seconds", 0.0);
        say_(fmt::format(
            "router ready after {:.2f} s: {} IPv4 routes by {} gateways, {} worker{}; "
            "sink's own table ready after {:.2f} s",
            start_seconds_, state->value("feed_routes", std::uint64_t{0}), options_.gateways,
            options_.workers, options_.workers == 1 ? "" : "s", sink->value("setup_seconds", 0.0)));
        return {};
    }

    result<std::uint64_t> search(trial_runner& runner) {
        say_("looking for the rate without loss:");
        auto found = search_throughput(
            runner, {.seconds = 1, .resolution = 0.05, .trials = 10},
            [&](const trial_report& trial) {
                say_(fmt::format(
                    "  {:>8}pps  lost {}", format_count(trial.sent_rate()) + " ", trial.lost()));
            });
        if (!found || found->interrupted) {
            return found ? error{EINTR, "interrupted"} : found.failure();
        }
        rate_found_ = found->best.sent_rate();
        return static_cast<std::uint64_t>(rate_found_ * options_.share);
    }

    // A rate that lost nothing for a second may lose something in ten: then it was not the rate.
    result<json> drive_without_loss(trial_runner& runner, std::uint64_t rate) {
        constexpr unsigned attempts_max = 4;
        for (unsigned attempt = 1;; ++attempt) {
            auto report = drive(runner, rate);
            if (!report) {
                return report;
            }
            (*report)["attempts"] = attempt;
            const bool searched = options_.rate == 0;
            if ((*report)["lost"] == 0 || (*report)["interrupted"] == true || !searched ||
                attempt == attempts_max) {
                return report;
            }
            say_(fmt::format("lost {}: not yet the rate", (*report)["lost"].dump()));
            rate = rate * 7 / 10;
        }
    }

    result<json> drive(trial_runner& runner, std::uint64_t rate) {
        auto before = router_->ask("summary");
        if (!before) {
            return before.failure();
        }
        say_(fmt::format(
            "forwarding {}pps for {} s:", format_count(double(rate)) + " ", options_.seconds));
        const double cpu_before = router_->cpu_seconds();
        if (options_.updates > 0) {
            auto begun =
                router_->ask("churn.start", {{"rate", options_.updates}, {"spare", "spare"}});
            if (!begun) {
                return begun.failure();
            }
        }
        auto trial = runner.run(
            {.rate = rate, .seconds = options_.seconds},
            [this, s = 0UL,
             g = 0UL](double at, const sender_state& sender, const sink_state& sink) mutable {
                say_(live_line(at, sender.sent - s, sink.received - g, sender, sink));
                s = sender.sent;
                g = sink.received;
                return !stopped_();
            });
        json churn = json::object();
        if (options_.updates > 0) {
            auto ended = router_->ask("churn.stop");
            churn = ended ? *ended : churn;
        }
        const double cpu = router_->cpu_seconds() - cpu_before;
        auto after = router_->ask("summary");
        if (!trial || !after) {
            return trial ? after.failure() : trial.failure();
        }
        return finish(*trial, *before, *after, cpu, churn);
    }

    static std::string live_line(
        double at, std::uint64_t sent, std::uint64_t received, const sender_state& sender,
        const sink_state& sink) {
        return fmt::format(
            "  {:3.0f} s  sent {:>8}pps  arrived {:>8}pps  on the way {:>6}  "
            "misrouted {}  p50 {:.0f} us  p99 {:.0f} us",
            at, format_count(double(sent)) + " ", format_count(double(received)) + " ",
            sender.sent - std::min(sender.sent, sink.received), sink.misrouted, sink.p50_us,
            sink.p99_us);
    }

    json finish(
        const trial_report& trial, const json& before, const json& after, double cpu,
        const json& churn) const {
        const auto grown = [&](const char* key) {
            return after.value(key, 0.0) - before.value(key, 0.0);
        };
        const double packets = grown("forwarded");
        json report = {
            {"ipv4_routes", after.value("feed_routes", std::uint64_t{0})},
            {"forwarded", static_cast<std::uint64_t>(packets)},
            {"lost", trial.lost()},
            {"misrouted", trial.sink.misrouted},
            {"mpps", trial.received_rate() / 1e6},
            {"cycles_per_packet",
             packets > 0 ? grown("busy_ns") * after.value("tsc_hz", 0.0) / 1e9 / packets : 0.0},
            {"p50_us", trial.sink.p50_us},
            {"p99_us", trial.sink.p99_us},
            {"replica_bytes_ipv4", after.value("replica_bytes_ipv4", std::uint64_t{0})},
            {"workers", options_.workers},
            {"flows", options_.flows},
            {"sent", trial.sender.sent},
            {"received", trial.sink.received},
            {"duplicate", trial.sink.duplicate},
            {"reordered", trial.sink.reordered},
            {"corrupt", trial.sink.corrupt},
            {"rate_found_mpps", rate_found_ / 1e6},
            {"seconds", trial.sender.seconds},
            {"router_start_seconds", start_seconds_},
            {"router_cpu_share", trial.sender.seconds > 0 ? cpu / trial.sender.seconds : 0.0},
            {"interrupted", trial.interrupted},
        };
        if (options_.updates > 0) {
            report["route_changes"] = churn;
        }
        return report;
    }

    const demo_options& options_;
    const std::function<void(const std::string&)>& say_;
    const std::function<bool()>& stopped_;
    std::string directory_;
    std::string table_;
    bool own_directory_ = false;
    std::optional<child> router_;
    std::optional<child> sender_;
    std::optional<child> sink_;
    double start_seconds_ = 0;
    double rate_found_ = 0;
};

} // namespace

result<json> run_demo(
    const demo_options& options, const std::function<void(const std::string&)>& say,
    const std::function<bool()>& stopped) {
    return demo(options, say, stopped).run();
}

} // namespace pantala::app
