// Random histories of route operations, of both families: after each step every replica that has
// caught up answers as a naive model does. The seed is printed when a step fails; PANTALA_SEED=n
// replays it. PANTALA_STEPS=n makes the histories longer, PANTALA_PROBES=n the comparison at the
// end.
#include "stack/route/rib.hpp"
#include "tests/harness/instrumented.hpp"
#include "tests/harness/slow_trie.hpp"

#include <cstdlib>
#include <map>
#include <optional>
#include <random>

#include <gtest/gtest.h>

namespace pantala {

namespace {

std::uint64_t number_given(const char* name, std::uint64_t otherwise) {
    const char* given = std::getenv(name);
    return given != nullptr ? std::strtoull(given, nullptr, 10) : otherwise;
}

using random_source = std::mt19937_64;

std::uint32_t below(random_source& random, std::uint64_t limit) {
    return static_cast<std::uint32_t>(random() % limit);
}

// Prefixes and addresses of a family. Dense on purpose: prefixes nest and touch.
struct family4 {
    using prefix = prefix4;
    using address = std::uint32_t;
    using feed = feed_route;

    static prefix any_prefix(random_source& random) {
        const unsigned length = below(random, 20) == 0 ? below(random, 33) : 12 + below(random, 21);
        switch (below(random, 3)) {
        case 0: // a few /24s, all lengths
            return make_prefix4(0xc6336400 | below(random, 1024), length);
        case 1:
            return make_prefix4(0x0b000000 | below(random, 1U << 20), length);
        default:
            return make_prefix4(static_cast<std::uint32_t>(random()), length);
        }
    }
    static address any_address(random_source& random) {
        return static_cast<std::uint32_t>(random());
    }
    static address after(address last) { return last + 1; }
    static address within(const prefix& of, random_source& random) {
        return of.address | (any_address(random) & ~mask4(of.length));
    }
    static prefix around(address of, unsigned length) { return make_prefix4(of, length); }
    static constexpr unsigned bits = 32;
    static test::key128 key(address of) { return test::key_of4(of); }
    static nexthop_id lookup(const route_replica& in, address of) { return in.fib4().lookup(of); }
    static std::string text(address of) { return format_address4(of); }
};

struct family6 {
    using prefix = prefix6;
    using address = address6;
    using feed = feed_route6;

    // Of each level of trees: short ones, some thousand within a /20 (a tree that grows and
    // shrinks), and those longer than /52, /84 and /116.
    static prefix any_prefix(random_source& random) {
        address6 address{random(), random()};
        const unsigned dice = below(random, 100);
        if (dice < 3) {
            return make_prefix6(address, below(random, 129));
        }
        if (dice < 10) {
            address.high = 0x2000000000000000 | address.high >> 3;
            return make_prefix6(address, 8 + below(random, 20));
        }
        address.high = 0x20010db000000000 | (address.high & 0x3fffff0000);
        if (dice < 75) {
            return make_prefix6(address, 24 + below(random, 25));
        }
        address.high = 0x20010db800000000 | (address.high & 0x1f0000) | below(random, 4);
        address.low = below(random, 2) == 0 ? address.low : address.low & 0x30000000000f000f;
        return make_prefix6(address, 48 + below(random, 81));
    }
    static address any_address(random_source& random) {
        const address6 any{random(), random()};
        return below(random, 2) == 0 ? any : address6{any.high >> 3 | 0x2000000000000000, any.low};
    }
    static address after(const address& last) {
        return {last.high + (last.low == ~std::uint64_t{0}), last.low + 1};
    }
    static address within(const prefix& of, random_source& random) {
        const address6 mask = mask6(of.length);
        return {of.address.high | (random() & ~mask.high), of.address.low | (random() & ~mask.low)};
    }
    static prefix around(const address& of, unsigned length) { return make_prefix6(of, length); }
    static constexpr unsigned bits = 128;
    static test::key128 key(const address& of) {
        return static_cast<test::key128>(of.high) << 64 | of.low;
    }
    static nexthop_id lookup(const route_replica& in, const address& of) {
        nexthop_id answer;
        in.fib6().lookup({&of, 1}, &answer);
        return answer;
    }
    static std::string text(const address& of) { return format_address6(of); }
};

// A RIB with replicas of several speeds, and the model: one gateway a prefix.
template <class Family>
class history {
  public:
    using prefix = typename Family::prefix;
    using address = typename Family::address;

    explicit history(std::uint64_t seed, unsigned replicas) : random_(seed) {
        rib_ = std::move(*rib::make(log_));
        iface link;
        link.up = true;
        link_ = *rib_->add_interface(link);
        link.port = port_id{1};
        unsteady_ = *rib_->add_interface(link);
        for (std::uint32_t i = 0; i < 40; ++i) {
            route_target target{
                nexthop_kind::gateway, 0x0a000001 + i, i % 4 == 3 ? unsteady_ : link_, 1};
            if (Family::bits == 128) {
                target.gateway = 0;
                target.gateway6 = address6{0x20010db8ffff0000, i + 1};
            }
            hops_.push_back(*rib_->hop({&target, 1}));
        }
        for (unsigned i = 0; i < replicas; ++i) {
            replicas_.push_back(std::move(*rib_->join()));
        }
    }

    // Grows for a while, shrinks for a while.
    void step() {
        growing_ = prefixes() > 3000 ? false : prefixes() < 300 ? true : growing_;
        const unsigned dice = below(random_, 2000);
        if (dice < (growing_ ? 1300U : 700U)) {
            announce();
        } else if (dice < 1990) {
            withdraw();
        } else if (dice < 1996) {
            down_ = !down_; // routes over it fall back, or come again
            ASSERT_TRUE(rib_->set_up(unsteady_, !down_).ok());
        } else if (dice < 1998) {
            rejoin();
        } else {
            reload();
        }
        down_seen_ = down_seen_ || down_;
        rib_->pump();
        for (auto& replica : replicas_) {
            replica->apply(below(random_, 3) == 0 ? 0 : 1 + below(random_, 200));
        }
        for (auto& replica : replicas_) {
            if (replica->generation() == rib_->generation() && (!down_seen_ || fallen_back())) {
                probe(*replica, Family::within(touched_, random_));
                probe(*replica, touched_.last());
                probe(*replica, Family::after(touched_.last()));
            }
        }
    }

    // All caught up, all alike, all right.
    void check(unsigned probes) {
        while (!rib_->pump() || !rib_->settled()) {
            for (auto& replica : replicas_) {
                replica->apply();
            }
        }
        for (auto& replica : replicas_) {
            ASSERT_EQ(replica->generation(), rib_->generation());
            ASSERT_EQ(replica->hash(), rib_->hash());
        }
        for (unsigned i = 0; i < probes; ++i) {
            const address at =
                below(random_, 4) == 0 ? Family::any_address(random_) : near_prefix();
            for (auto& replica : replicas_) {
                probe(*replica, at);
            }
        }
    }

    std::size_t prefixes() const { return model_.size(); }
    std::size_t most() const { return most_; }

  private:
    // Nothing is on its way between two states of a link.
    bool fallen_back() { return rib_->settled(); }

    address near_prefix() {
        if (model_.empty()) {
            return {};
        }
        const auto at = model_.lower_bound(Family::any_prefix(random_));
        const prefix near = at == model_.end() ? model_.begin()->first : at->first;
        switch (below(random_, 4)) {
        case 0:
            return near.address;
        case 1:
            return near.last();
        case 2:
            return Family::after(near.last());
        default:
            return Family::within(near, random_);
        }
    }

    void put(const prefix& what, nexthop_id hop) {
        touched_ = what;
        model_[what] = hop;
        most_ = std::max(most_, model_.size());
        trie_.set(Family::key(what.address), what.length, hop);
    }

    void announce() {
        const prefix what = Family::any_prefix(random_);
        const nexthop_id hop = hops_[below(random_, below(random_, 2) == 0 ? 3 : 40)];
        ASSERT_TRUE(rib_->announce({what, hop}).ok());
        put(what, hop);
    }

    void withdraw() {
        if (model_.empty()) {
            return;
        }
        auto at = model_.lower_bound(Family::any_prefix(random_));
        at = at == model_.end() ? model_.begin() : at;
        touched_ = at->first;
        ASSERT_TRUE(rib_->withdraw(at->first).ok());
        ASSERT_FALSE(rib_->withdraw(at->first).ok());
        ASSERT_TRUE(trie_.erase(Family::key(at->first.address), at->first.length));
        model_.erase(at);
    }

    void rejoin() {
        auto& replica = replicas_[below(random_, replicas_.size())];
        rib_->leave(*replica);
        replica = std::move(*rib_->join());
    }

    void reload() {
        std::vector<typename Family::feed> routes;
        for (unsigned i = 0; i < 30; ++i) {
            routes.push_back({Family::any_prefix(random_), hops_[below(random_, 40)]});
        }
        ASSERT_TRUE(rib_->load(routes).ok());
        for (const auto& each : routes) {
            put(each.prefix, each.hop);
        }
    }

    void probe(const route_replica& replica, const address& at) {
        const auto expected = down_ ? longest_live(at) : trie_.lookup(Family::key(at));
        const nexthop& got = replica.hop(Family::lookup(replica, at));
        if (!expected) {
            ASSERT_EQ(got.kind, nexthop_kind::none) << Family::text(at);
        } else {
            ASSERT_EQ(got, replica.hop(*expected)) << Family::text(at);
        }
    }

    std::optional<nexthop_id> longest_live(const address& at) const {
        for (unsigned length = Family::bits + 1; length-- > 0;) {
            const auto found = model_.find(Family::around(at, length));
            if (found != model_.end() && rib_->record(found->second).iface == link_ &&
                rib_->live(found->second)) {
                return found->second;
            }
        }
        return std::nullopt;
    }

    random_source random_;
    route_log log_{4096}; // small, so that it overflows into the backlog
    std::unique_ptr<rib> rib_;
    iface_id link_;
    iface_id unsteady_; // goes down and up
    bool down_ = false;
    bool down_seen_ = false;
    std::vector<nexthop_id> hops_;
    std::vector<std::unique_ptr<route_replica>> replicas_;
    std::map<prefix, nexthop_id> model_;
    test::slow_trie<nexthop_id> trie_;
    prefix touched_{};
    bool growing_ = true;
    std::size_t most_ = 0;
};

template <class Family>
void run_history() {
    const std::uint64_t seed = number_given("PANTALA_SEED", 20260101);
    const std::uint64_t steps = number_given("PANTALA_STEPS", test::length(20000, 4000));
    SCOPED_TRACE("PANTALA_SEED=" + std::to_string(seed));
    history<Family> run(seed, 3);
    for (std::uint64_t step = 0; step < steps; ++step) {
        run.step();
        if (step % 500 == 0) {
            run.check(40);
        }
        if (testing::Test::HasFatalFailure()) {
            FAIL() << "step " << step;
        }
    }
    EXPECT_GE(run.most(), test::length(3000U, 500U));
    run.check(static_cast<unsigned>(number_given("PANTALA_PROBES", 20000)));
}

TEST(history, replicas_equal_the_model) {
    run_history<family4>();
}

TEST(history, ip6_replicas_equal_the_model) {
    run_history<family6>();
}

} // namespace

} // namespace pantala
