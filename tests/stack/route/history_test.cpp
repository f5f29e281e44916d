// Random histories of route operations in several tables, of both families: after each step every
// replica that has caught up answers as a naive model does. The seed is printed when a step fails;
// PANTALA_SEED=n replays it. PANTALA_STEPS=n makes the histories longer, PANTALA_PROBES=n the
// comparison at the end.
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
    static nexthop_id lookup(const route_replica& in, unsigned table, address of) {
        nexthop_id answer;
        in.lookup4(table, {&of, 1}, &answer);
        const nexthop_id alone = table == 0 ? in.fib4().lookup(of) : in.lookup4(table, of);
        return answer == alone ? answer : nexthop_none;
    }
    static bool has(const route_replica& in, unsigned table) { return in.image4(table) != nullptr; }
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
    static nexthop_id lookup(const route_replica& in, unsigned table, const address& of) {
        nexthop_id answer;
        in.lookup6(table, {&of, 1}, &answer);
        const nexthop_id alone = table == 0 ? in.fib6().lookup(of) : in.lookup6(table, of);
        return answer == alone ? answer : nexthop_none;
    }
    static bool has(const route_replica& in, unsigned table) { return in.image6(table) != nullptr; }
    static std::string text(const address& of) { return format_address6(of); }
};

constexpr unsigned numbers[] = {0, 7, tables_max - 1};

// A RIB with replicas of several speeds, and the model: one gateway a prefix of a table.
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
        link.port = port_id{2};
        mover_ = *rib_->add_interface(link);
        for (std::uint32_t i = 0; i < 40; ++i) {
            route_target target{
                nexthop_kind::gateway, 0x0a000001 + i, i % 4 == 3 ? unsteady_ : link_, 1};
            if (Family::bits == 128) {
                target.gateway = 0;
                target.gateway6 = address6{0x20010db8ffff0000, i + 1};
            }
            for (const unsigned number : numbers) {
                tables_[number].hops.push_back(*rib_->hop({&target, 1}, 0, number));
            }
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
        } else if (dice < 1994) {
            down_ = !down_; // routes over it fall back, or come again
            ASSERT_TRUE(rib_->set_up(unsteady_, !down_).ok());
        } else if (dice < 1996) {
            rejoin();
        } else if (dice < 1998) {
            reload();
        } else if (dice < 1999) {
            empty();
        } else {
            home_ = any_number(); // its table is there as long as it is in it
            ASSERT_TRUE(rib_->set_table(mover_, home_).ok());
        }
        down_seen_ = down_seen_ || down_;
        rib_->pump();
        for (auto& replica : replicas_) {
            replica->apply(below(random_, 3) == 0 ? 0 : 1 + below(random_, 200));
        }
        for (auto& replica : replicas_) {
            if (replica->generation() == rib_->generation() && (!down_seen_ || fallen_back())) {
                probe(*replica, at_, Family::within(touched_, random_));
                probe(*replica, at_, touched_.last());
                probe(*replica, at_, Family::after(touched_.last()));
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
            for (const unsigned number : numbers) {
                const bool wanted =
                    number == 0 || number == home_ || !tables_[number].model.empty();
                ASSERT_EQ(Family::has(*replica, number), wanted) << "table " << number;
            }
        }
        for (unsigned i = 0; i < probes; ++i) {
            const unsigned number = any_number();
            const address at =
                below(random_, 4) == 0 ? Family::any_address(random_) : near_prefix(number);
            for (auto& replica : replicas_) {
                probe(*replica, number, at);
            }
        }
    }

    std::size_t prefixes() const {
        std::size_t sum = 0;
        for (const auto& [number, each] : tables_) {
            sum += each.model.size();
        }
        return sum;
    }
    std::size_t most() const { return most_; }

  private:
    // Nothing is on its way between two states of a link.
    bool fallen_back() { return rib_->settled(); }

    struct table {
        std::vector<nexthop_id> hops;
        std::map<prefix, nexthop_id> model;
        test::slow_trie<nexthop_id> trie;
    };

    // Every other time the main one.
    unsigned any_number() {
        return below(random_, 2) == 0 ? 0 : numbers[below(random_, std::size(numbers))];
    }

    address near_prefix(unsigned number) {
        const auto& model = tables_[number].model;
        if (model.empty()) {
            return {};
        }
        const auto at = model.lower_bound(Family::any_prefix(random_));
        const prefix near = at == model.end() ? model.begin()->first : at->first;
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

    void put(unsigned number, const prefix& what, nexthop_id hop) {
        at_ = number;
        touched_ = what;
        tables_[number].model[what] = hop;
        most_ = std::max(most_, prefixes());
        tables_[number].trie.set(Family::key(what.address), what.length, hop);
    }

    void announce() {
        const unsigned number = any_number();
        const prefix what = Family::any_prefix(random_);
        const nexthop_id hop =
            tables_[number].hops[below(random_, below(random_, 2) == 0 ? 3 : 40)];
        ASSERT_TRUE(rib_->announce({what, hop}, route_protocol::bgp, number).ok());
        put(number, what, hop);
    }

    void withdraw() {
        const unsigned number = any_number();
        auto& [hops, model, trie] = tables_[number];
        if (model.empty()) {
            return;
        }
        auto at = model.lower_bound(Family::any_prefix(random_));
        at = at == model.end() ? model.begin() : at;
        at_ = number;
        touched_ = at->first;
        ASSERT_TRUE(rib_->withdraw(at->first, route_protocol::bgp, number).ok());
        ASSERT_FALSE(rib_->withdraw(at->first, route_protocol::bgp, number).ok());
        ASSERT_TRUE(trie.erase(Family::key(at->first.address), at->first.length));
        model.erase(at);
    }

    // All of a table but the main one.
    void empty() {
        const unsigned number = numbers[1 + below(random_, std::size(numbers) - 1)];
        auto& [hops, model, trie] = tables_[number];
        std::size_t deleted = 0;
        ASSERT_TRUE(rib_->flush(route_protocol::bgp, deleted, number).ok());
        ASSERT_EQ(deleted, model.size());
        model.clear();
        trie = {};
    }

    void rejoin() {
        auto& replica = replicas_[below(random_, replicas_.size())];
        rib_->leave(*replica);
        replica = std::move(*rib_->join());
    }

    void reload() {
        const unsigned number = any_number();
        std::vector<typename Family::feed> routes;
        for (unsigned i = 0; i < 30; ++i) {
            routes.push_back(
                {Family::any_prefix(random_), tables_[number].hops[below(random_, 40)]});
        }
        ASSERT_TRUE(rib_->load(routes, route_protocol::bgp, number).ok());
        for (const auto& each : routes) {
            put(number, each.prefix, each.hop);
        }
    }

    void probe(const route_replica& replica, unsigned number, const address& at) {
        const auto expected =
            down_ ? longest_live(number, at) : tables_[number].trie.lookup(Family::key(at));
        const nexthop& got = replica.hop(Family::lookup(replica, number, at));
        if (!expected) {
            ASSERT_EQ(got.kind, nexthop_kind::none) << number << ": " << Family::text(at);
        } else {
            ASSERT_EQ(got, replica.hop(*expected)) << number << ": " << Family::text(at);
        }
    }

    std::optional<nexthop_id> longest_live(unsigned number, const address& at) const {
        const auto& model = tables_.at(number).model;
        for (unsigned length = Family::bits + 1; length-- > 0;) {
            const auto found = model.find(Family::around(at, length));
            if (found != model.end() && rib_->record(found->second).iface == link_ &&
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
    iface_id mover_;    // goes from table to table
    unsigned home_ = 0; // where it is
    bool down_ = false;
    bool down_seen_ = false;
    std::map<unsigned, table> tables_;
    std::vector<std::unique_ptr<route_replica>> replicas_;
    unsigned at_ = 0; // the table of the last change
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
    EXPECT_GE(run.most(), test::length(2500U, 500U));
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
