// Random histories of route operations in several tables, of both families: routes of two metrics,
// over gateways, groups of them, and gateways that other routes lead to; links that go down, tables
// that come and go, workers that join late. After each step every replica that has caught up
// answers as a naive model does. The seed is printed when a step fails; PANTALA_SEED=n replays it.
// PANTALA_STEPS=n makes the histories longer, PANTALA_PROBES=n the comparison at the end.
#include "stack/route/rib.hpp"
#include "tests/harness/instrumented.hpp"
#include "tests/harness/slow_trie.hpp"

#include <array>
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
    static address neighbor(unsigned i) { return 0x0a000001 + i; }
    static address far(unsigned i) { return 0x0b000000 + i * 0x40404; } // where prefixes are
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
    static address neighbor(unsigned i) { return {0x20010db8ffff0000, i + 1}; }
    static address far(unsigned i) { return {0x20010db000120000 + (std::uint64_t{i} << 34), 1}; }
};

constexpr unsigned numbers[] = {0, 7, tables_max - 1};

// In the order of their metrics.
constexpr route_protocol protocols[] = {route_protocol::bgp, route_protocol::ospf};

constexpr unsigned plain_hops = 40;
constexpr unsigned group_hops = 4;
constexpr unsigned far_hops = 4; // gateways that routes lead to

// A RIB with replicas of several speeds, and the model: by prefix of a table the hop of each
// metric.
template <class Family>
class history {
  public:
    using prefix = typename Family::prefix;
    using address = typename Family::address;

    // `far`: there are gateways that routes lead to; then few replicas are ever up to date.
    history(std::uint64_t seed, unsigned replicas, bool far) : random_(seed), far_(far) {
        rib_ = std::move(*rib::make(log_));
        iface link;
        link.up = true;
        link_ = *rib_->add_interface(link);
        link.port = port_id{1};
        unsteady_ = *rib_->add_interface(link);
        link.port = port_id{2};
        mover_ = *rib_->add_interface(link);
        for (const unsigned number : numbers) {
            make_hops(number);
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
            const bool simple = !down_seen_ && !far_;
            if (replica->generation() == rib_->generation() && (simple || fallen_back())) {
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

    struct hop {
        nexthop_id id;
        bool unsteady = false;        // all of it is over the link that goes down
        std::optional<address> far{}; // a gateway that routes lead to
    };
    using routes = std::array<std::optional<hop>, std::size(protocols)>; // of one prefix
    struct table {
        std::vector<hop> hops;
        std::map<prefix, routes> model;
        test::slow_trie<nexthop_id> trie; // of the first of each
    };

    static route_target gateway(const address& at, std::optional<iface_id> over) {
        route_target made;
        made.interface = over;
        if constexpr (Family::bits == 128) {
            made.gateway6 = at;
        } else {
            made.gateway = at;
        }
        return made;
    }
    route_target neighbor(unsigned i) const {
        return gateway(Family::neighbor(i), i % 4 == 3 ? unsteady_ : link_);
    }

    void make_hops(unsigned number) {
        std::vector<hop>& hops = tables_[number].hops;
        for (unsigned i = 0; i < plain_hops; ++i) {
            const route_target one = neighbor(i);
            hops.push_back({*rib_->hop({&one, 1}, 0, number), i % 4 == 3});
        }
        for (unsigned i = 0; i < group_hops; ++i) { // the last over the unsteady link alone
            std::vector<route_target> some = {neighbor(4 * i + 3), neighbor(4 * i + 7)};
            if (i + 1 < group_hops) {
                some.push_back(neighbor(i));
                some.back().weight = static_cast<std::uint16_t>(i + 1);
            }
            hops.push_back({*rib_->hop(some, 0, number), i + 1 == group_hops});
        }
        for (unsigned i = 0; far_ && i < far_hops; ++i) {
            const address at = Family::far(i);
            const route_target one = gateway(at, std::nullopt);
            hops.push_back({*rib_->hop({&one, 1}, 0, number), false, at});
        }
    }

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

    // The first metric's counts while no hop is dead.
    void settle_trie(unsigned number, const prefix& what) {
        auto& [hops, model, trie] = tables_[number];
        const auto at = model.find(what);
        if (at == model.end()) {
            trie.erase(Family::key(what.address), what.length);
            return;
        }
        const routes& all = at->second;
        trie.set(Family::key(what.address), what.length, (all[0] ? all[0] : all[1])->id);
    }

    void put(unsigned number, const prefix& what, const hop& to, unsigned protocol) {
        at_ = number;
        touched_ = what;
        tables_[number].model[what][protocol] = to;
        most_ = std::max(most_, prefixes());
        settle_trie(number, what);
    }

    void announce() {
        const unsigned number = any_number();
        const prefix what = Family::any_prefix(random_);
        const auto& hops = tables_[number].hops;
        const unsigned which =
            below(random_, 2) == 0 ? below(random_, 3) : below(random_, hops.size());
        const unsigned protocol = below(random_, 4) == 0 ? 1 : 0;
        ASSERT_TRUE(rib_->announce({what, hops[which].id}, protocols[protocol], number).ok());
        put(number, what, hops[which], protocol);
    }

    void withdraw() {
        const unsigned number = any_number();
        auto& model = tables_[number].model;
        if (model.empty()) {
            return;
        }
        auto at = model.lower_bound(Family::any_prefix(random_));
        at = at == model.end() ? model.begin() : at;
        at_ = number;
        touched_ = at->first;
        const unsigned protocol =
            at->second[0] && (!at->second[1] || below(random_, 2) == 0) ? 0 : 1;
        ASSERT_TRUE(rib_->withdraw(touched_, protocols[protocol], number).ok());
        ASSERT_FALSE(rib_->withdraw(touched_, protocols[protocol], number).ok());
        at->second[protocol].reset();
        if (!at->second[0] && !at->second[1]) {
            model.erase(at);
        }
        settle_trie(number, touched_);
    }

    // All of a table but the main one.
    void empty() {
        const unsigned number = numbers[1 + below(random_, std::size(numbers) - 1)];
        auto& [hops, model, trie] = tables_[number];
        std::size_t wanted = 0;
        for (const auto& [what, all] : model) {
            wanted += all[0].has_value();
            wanted += all[1].has_value();
        }
        std::size_t deleted = 0;
        for (const route_protocol each : protocols) {
            ASSERT_TRUE(rib_->flush(each, deleted, number).ok());
        }
        ASSERT_EQ(deleted, wanted);
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
        std::vector<typename Family::feed> many;
        std::vector<unsigned> which;
        for (unsigned i = 0; i < 30; ++i) {
            which.push_back(below(random_, tables_[number].hops.size()));
            many.push_back({Family::any_prefix(random_), tables_[number].hops[which.back()].id});
        }
        ASSERT_TRUE(rib_->load(many, route_protocol::bgp, number).ok());
        for (std::size_t i = 0; i < many.size(); ++i) {
            put(number, many[i].prefix, tables_[number].hops[which[i]], 0);
        }
    }

    void probe(const route_replica& replica, unsigned number, const address& at) {
        const auto expected = down_ || far_ ? longest_live(number, at, Family::bits, 0)
                                            : tables_[number].trie.lookup(Family::key(at));
        const nexthop& got = replica.hop(Family::lookup(replica, number, at));
        if (!expected) {
            ASSERT_EQ(got.kind, nexthop_kind::none) << number << ": " << Family::text(at);
        } else {
            ASSERT_EQ(got, replica.hop(*expected)) << number << ": " << Family::text(at);
        }
    }

    // The hop that packets to an address leave by: of the longest prefix, and of it the first
    // metric, that leads somewhere. The way to a gateway is no default route.
    std::optional<nexthop_id>
    longest_live(unsigned number, const address& at, unsigned longest, unsigned depth) const {
        const auto& model = tables_.at(number).model;
        for (unsigned length = longest + 1; length-- > (depth == 0 ? 0U : 1U);) {
            const auto found = model.find(Family::around(at, length));
            if (found == model.end()) {
                continue;
            }
            for (const auto& each : found->second) {
                if (const auto way = each ? way_of(number, *each, depth) : std::nullopt; way) {
                    return way;
                }
            }
        }
        return std::nullopt;
    }
    std::optional<nexthop_id> way_of(unsigned number, const hop& over, unsigned depth) const {
        constexpr unsigned gateways_behind_gateways = 4;
        if (!over.far) {
            return over.unsteady && down_ ? std::nullopt : std::optional(over.id);
        }
        return depth < gateways_behind_gateways
                   ? longest_live(number, *over.far, Family::bits, depth + 1)
                   : std::nullopt;
    }

    random_source random_;
    bool far_;
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
void run_history(std::uint64_t steps, bool far) {
    const std::uint64_t seed = number_given("PANTALA_SEED", 20260101);
    steps = number_given("PANTALA_STEPS", steps);
    SCOPED_TRACE("PANTALA_SEED=" + std::to_string(seed));
    history<Family> run(seed, 3, far);
    for (std::uint64_t step = 0; step < steps; ++step) {
        run.step();
        if (step % (far ? 50 : 500) == 0) {
            run.check(40);
        }
        if (testing::Test::HasFatalFailure()) {
            FAIL() << "step " << step;
        }
    }
    EXPECT_GE(run.most(), std::min<std::uint64_t>(steps / 8, 2500));
    run.check(static_cast<unsigned>(number_given("PANTALA_PROBES", far ? 5000 : 20000)));
}

TEST(history, replicas_equal_the_model) {
    run_history<family4>(test::length(20000, 4000), false);
}

TEST(history, ip6_replicas_equal_the_model) {
    run_history<family6>(test::length(20000, 4000), false);
}

TEST(history, gateways_behind_gateways_equal_the_model) {
    run_history<family4>(test::length(4000, 1000), true);
}

TEST(history, ip6_gateways_behind_gateways_equal_the_model) {
    run_history<family6>(test::length(4000, 1000), true);
}

} // namespace

} // namespace pantala
