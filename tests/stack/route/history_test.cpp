// Random histories of route operations: after each step every replica answers as a naive model
// does. The seed is printed when a step fails; PANTALA_SEED=n replays it.
#include "stack/route/rib.hpp"
#include "tests/harness/slow_trie.hpp"

#include <cstdlib>
#include <map>
#include <random>

#include <gtest/gtest.h>

namespace pantala {

namespace {

std::uint64_t seed_of_run() {
    const char* given = std::getenv("PANTALA_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260101;
}

// A RIB with replicas of several speeds, and the model: one gateway a prefix.
class history {
  public:
    explicit history(std::uint64_t seed, unsigned replicas) : random_(seed) {
        rib_ = std::move(*rib::make(log_));
        iface link;
        link.up = true;
        link_ = *rib_->add_interface(link);
        for (std::uint32_t i = 0; i < 40; ++i) {
            const route_target target{nexthop_kind::gateway, 0x0a000001 + i, link_, 1};
            hops_.push_back(*rib_->hop({&target, 1}));
        }
        for (unsigned i = 0; i < replicas; ++i) {
            replicas_.push_back(std::move(*rib_->join()));
        }
    }

    void step() {
        const unsigned dice = below(100);
        if (dice < 60) {
            announce();
        } else if (dice < 97) {
            withdraw();
        } else if (dice < 98) {
            rejoin();
        } else if (dice < 99) {
            reload();
        }
        rib_->pump();
        for (auto& replica : replicas_) {
            replica->apply(below(3) == 0 ? 0 : 1 + below(200));
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
            probe(below(4) == 0 ? static_cast<std::uint32_t>(random_()) : near_prefix());
        }
    }

    std::size_t prefixes() const { return model_.size(); }

  private:
    std::uint32_t below(std::uint32_t limit) {
        return static_cast<std::uint32_t>(random_() % limit);
    }

    // Dense on purpose: prefixes nest and touch.
    prefix4 any_prefix() {
        const unsigned length = below(20) == 0 ? below(33) : 12 + below(21);
        std::uint32_t address = 0;
        switch (below(3)) {
        case 0:
            address = 0xc6336400 | below(1024); // a few /24s, all lengths
            break;
        case 1:
            address = 0x0b000000 | below(1U << 20);
            break;
        default:
            address = static_cast<std::uint32_t>(random_());
        }
        return make_prefix4(address, length);
    }

    std::uint32_t near_prefix() {
        if (model_.empty()) {
            return 0;
        }
        const auto at = model_.lower_bound(any_prefix());
        const prefix4 prefix = at == model_.end() ? model_.begin()->first : at->first;
        switch (below(4)) {
        case 0:
            return prefix.address;
        case 1:
            return prefix.last();
        case 2:
            return prefix.last() + 1;
        default:
            return prefix.address +
                   below(static_cast<std::uint32_t>(1 + (prefix.last() - prefix.address) / 2));
        }
    }

    void announce() {
        const prefix4 prefix = any_prefix();
        const nexthop_id hop = hops_[below(below(2) == 0 ? 3 : 40)];
        ASSERT_TRUE(rib_->announce({prefix, hop}).ok());
        model_[prefix] = hop;
        trie_.set(test::key_of4(prefix.address), prefix.length, hop);
    }

    void withdraw() {
        if (model_.empty()) {
            return;
        }
        auto at = model_.lower_bound(any_prefix());
        at = at == model_.end() ? model_.begin() : at;
        ASSERT_TRUE(rib_->withdraw(at->first).ok());
        ASSERT_FALSE(rib_->withdraw(at->first).ok());
        ASSERT_TRUE(trie_.erase(test::key_of4(at->first.address), at->first.length));
        model_.erase(at);
    }

    void rejoin() {
        auto& replica = replicas_[below(static_cast<std::uint32_t>(replicas_.size()))];
        rib_->leave(*replica);
        replica = std::move(*rib_->join());
    }

    void reload() {
        std::vector<feed_route> routes;
        for (unsigned i = 0; i < 30; ++i) {
            routes.push_back({any_prefix(), hops_[below(40)]});
        }
        ASSERT_TRUE(rib_->load(routes).ok());
        for (const feed_route& each : routes) {
            model_[each.prefix] = each.hop;
            trie_.set(test::key_of4(each.prefix.address), each.prefix.length, each.hop);
        }
    }

    void probe(std::uint32_t address) {
        const auto expected = trie_.lookup(test::key_of4(address));
        for (auto& replica : replicas_) {
            const nexthop_id id = replica->fib4().lookup(address);
            const nexthop& got = replica->hop(id);
            if (!expected) {
                ASSERT_EQ(got.kind, nexthop_kind::none) << format_address4(address);
            } else {
                ASSERT_EQ(got, replica->hop(*expected)) << format_address4(address);
            }
        }
    }

    std::mt19937_64 random_;
    route_log log_{4096}; // small, so that it overflows into the backlog
    std::unique_ptr<rib> rib_;
    iface_id link_;
    std::vector<nexthop_id> hops_;
    std::vector<std::unique_ptr<route_replica>> replicas_;
    std::map<prefix4, nexthop_id> model_;
    test::slow_trie<nexthop_id> trie_;
};

TEST(history, replicas_equal_the_model) {
    const std::uint64_t seed = seed_of_run();
    SCOPED_TRACE("PANTALA_SEED=" + std::to_string(seed));
    history run(seed, 3);
    for (unsigned step = 0; step < 20000; ++step) {
        run.step();
        if (step % 50 == 0) {
            run.check(40);
        }
        if (HasFatalFailure()) {
            FAIL() << "step " << step;
        }
    }
    EXPECT_GT(run.prefixes(), 1000U);
    run.check(20000);
}

} // namespace

} // namespace pantala
