// update4: what a change of a route costs, in control (RIB, compile, log) and on a worker (apply).
// Changes are drawn over the whole table: 3 of 5 give a prefix another next hop, 1 withdraws, 1
// announces what was withdrawn.
#include "bench/fib/lookup4.hpp"
#include "stack/route/rib.hpp"

#include <algorithm>
#include <deque>
#include <random>

#include <benchmark/benchmark.h>

namespace pantala::bench {

namespace {

constexpr unsigned prefetch_ahead = 8;
constexpr std::size_t changes_a_turn = 4096;

class updater {
  public:
    explicit updater(fib_data& data) : routes_(data.routes4()), hops_(data.options().hops + 1) {
        control_ = std::move(*rib::make(log_));
        iface link;
        link.up = true;
        const iface_id port = *control_->add_interface(link);
        for (unsigned hop = 1; hop < hops_.size(); ++hop) {
            const route_target target{nexthop_kind::gateway, 0x0a000000 + hop, port, 1};
            hops_[hop] = *control_->hop({&target, 1});
        }
        replica_ = std::move(*control_->join());
        std::vector<feed_route> feed;
        for (const route4& route : routes_) {
            feed.push_back({route.prefix, hops_[route.hop]});
        }
        if (!control_->load(feed).ok()) {
            say("update4: the table does not load");
            std::exit(1);
        }
        catch_up();
        std::mt19937_64 random(3);
        std::shuffle(routes_.begin(), routes_.end(), random);
    }

    // `changes_a_turn` changes, written to the log.
    void turn() {
        for (std::size_t i = 0; i < changes_a_turn; ++i) {
            control_->prefetch(routes_[(next_ + prefetch_ahead) % routes_.size()].prefix);
            route4& route = routes_[next_];
            next_ = (next_ + 1) % routes_.size();
            bool done = true;
            switch (i % 5) {
            case 3:
                done = control_->withdraw(route.prefix).ok();
                gone_.push_back(route);
                break;
            case 4:
                done = control_->announce({gone_.front().prefix, hops_[gone_.front().hop]}).ok();
                gone_.pop_front();
                break;
            default:
                route.hop = static_cast<std::uint16_t>(1 + route.hop % (hops_.size() - 1));
                done = control_->announce({route.prefix, hops_[route.hop]}).ok();
            }
            failed_ += done ? 0 : 1;
        }
        control_->pump();
    }

    std::uint64_t entries() const { return control_->generation(); }
    void catch_up() {
        while (!control_->pump() || !control_->settled()) {
            replica_->apply();
        }
    }
    bool good() const { return failed_ == 0 && replica_->hash() == control_->hash(); }

  private:
    std::vector<route4> routes_;
    std::vector<nexthop_id> hops_;
    route_log log_;
    std::unique_ptr<rib> control_;
    std::unique_ptr<route_replica> replica_;
    std::deque<route4> gone_;
    std::size_t next_ = 0;
    std::uint64_t failed_ = 0;
};

// Times one half of each turn.
void run(benchmark::State& state, fib_data& data, bool compile) {
    static std::unique_ptr<updater> shared;
    if (!shared) {
        shared = std::make_unique<updater>(data);
    }
    const std::uint64_t before = shared->entries();
    std::int64_t changes = 0;
    for (auto _ : state) {
        if (compile) {
            shared->turn();
            state.PauseTiming();
            shared->catch_up();
            state.ResumeTiming();
        } else {
            state.PauseTiming();
            shared->turn();
            state.ResumeTiming();
            shared->catch_up();
        }
        changes += changes_a_turn;
    }
    if (!shared->good()) {
        state.SkipWithError("the replica differs from the RIB");
    }
    state.SetItemsProcessed(changes);
    state.counters["entries_a_change"] =
        static_cast<double>(shared->entries() - before) / static_cast<double>(changes);
}

// One next hop carries half a million prefixes and is reached by way of an IGP route; that route
// flaps. The time is from the change until every worker has applied it.
class flapper {
  public:
    static constexpr unsigned workers = 4;

    explicit flapper(fib_data& data) {
        control_ = std::move(*rib::make(log_));
        iface link;
        link.up = true;
        for (std::uint16_t i = 0; i < 2; ++i) {
            link.port = port_id{i};
            ports_[i] = *control_->add_interface(link);
        }
        turn();
        for (unsigned hop = 1; hop <= data.options().hops; ++hop) {
            const route_target other{nexthop_kind::gateway, 0x0a000000 + hop, ports_[0], 1};
            hops_.push_back(*control_->hop({&other, 1}));
        }
        const route_target far{nexthop_kind::gateway, gateway, std::nullopt, 1};
        const nexthop_id heavy = *control_->hop({&far, 1});
        for (unsigned i = 0; i < workers; ++i) {
            replicas_.push_back(std::move(*control_->join()));
        }
        std::vector<feed_route> feed;
        for (const route4& each : data.routes4()) {
            const bool carried = carried_ < 500'000 && each.prefix != igp;
            feed.push_back({each.prefix, carried ? heavy : hops_[each.hop - 1U]});
            carried_ += carried;
        }
        if (!control_->load(feed).ok()) {
            say("pic: the table does not load");
            std::exit(1);
        }
        settle();
        address_ = feed.front().prefix.address;
    }

    void turn() {
        side_ = !side_;
        const route_target near{nexthop_kind::gateway, 0x0a0000f0U + side_, ports_[side_], 1};
        if (!control_->replace({igp, 0, route_protocol::ospf, 5, 0, {near}}).ok()) {
            ++failed_;
        }
    }
    void settle() {
        while (!control_->pump() || !control_->settled()) {
            for (auto& replica : replicas_) {
                replica->apply();
            }
        }
    }
    // Every worker sends the carried prefixes the way that was chosen last.
    bool good() const {
        return failed_ == 0 && carried_ == 500'000 &&
               std::all_of(replicas_.begin(), replicas_.end(), [&](const auto& replica) {
                   const nexthop& hop = replica->hop(replica->fib4().lookup(address_));
                   return hop.iface == ports_[side_];
               });
    }

  private:
    static constexpr std::uint32_t gateway = 0xc6336401; // 198.51.100.1
    static constexpr prefix4 igp{0xc6336400, 24};

    route_log log_;
    std::unique_ptr<rib> control_;
    std::vector<std::unique_ptr<route_replica>> replicas_;
    std::vector<nexthop_id> hops_;
    iface_id ports_[2];
    std::size_t carried_ = 0;
    std::uint32_t address_ = 0;
    bool side_ = false;
    unsigned failed_ = 0;
};

void flap(benchmark::State& state, fib_data& data) {
    static std::unique_ptr<flapper> shared;
    if (!shared) {
        shared = std::make_unique<flapper>(data);
    }
    for (auto _ : state) {
        shared->turn();
        shared->settle();
        if (!shared->good()) {
            state.SkipWithError("a worker does not follow the flap");
            break;
        }
    }
}

} // namespace

void register_update4(fib_data& data) {
    for (const bool compile : {true, false}) {
        benchmark::RegisterBenchmark(
            compile ? "update4/pantala/compile" : "update4/pantala/apply",
            [&data, compile](benchmark::State& state) { run(state, data, compile); });
    }
    benchmark::RegisterBenchmark("update4/pantala/flap_500k", [&data](benchmark::State& state) {
        flap(state, data);
    })->Unit(benchmark::kMicrosecond);
}

} // namespace pantala::bench
