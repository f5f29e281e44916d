// The IPv4 table by itself: the shape of nodes, places, every length, and its SIMD twin.
#include "stack/route/fib/fib4_compiler.hpp"
#include "stack/route/fib4_avx512.hpp"
#include "stack/route/rib.hpp"
#include "tests/harness/slow_trie.hpp"

#include <random>
#include <set>

#include <gtest/gtest.h>

namespace pantala {

namespace {

TEST(fib4_allocator, small_nodes_stay_in_a_line_and_large_ones_start_on_one) {
    fib4_allocator places(1 << 16);
    std::mt19937 random(7);
    std::vector<std::pair<std::uint32_t, unsigned>> taken;
    std::vector<bool> used(1 << 16);
    for (unsigned step = 0; step < 20000; ++step) {
        if (taken.size() < 2000 || random() % 2 == 0) {
            const unsigned units = 1 + random() % fib4_allocator::node_units_max;
            const std::uint32_t unit = places.take(units);
            if (unit == fib4_allocator::none) {
                continue;
            }
            EXPECT_TRUE(units <= 8 ? unit / 8 == (unit + units - 1) / 8 : unit % 8 == 0);
            for (unsigned i = 0; i < units; ++i) {
                ASSERT_FALSE(used[unit + i]) << "given twice";
                used[unit + i] = true;
            }
            taken.emplace_back(unit, units);
        } else {
            std::swap(taken[random() % taken.size()], taken.back());
            const auto [unit, units] = taken.back();
            taken.pop_back();
            places.give(unit, units);
            std::fill_n(used.begin() + unit, units, false);
        }
    }
}

TEST(fib4_allocator, full_says_so_and_room_comes_back) {
    fib4_allocator places(64);
    std::vector<std::uint32_t> taken;
    for (std::uint32_t unit = places.take(8); unit != fib4_allocator::none; unit = places.take(8)) {
        taken.push_back(unit);
    }
    EXPECT_EQ(taken.size(), 8U);
    EXPECT_EQ(places.take(1), fib4_allocator::none);
    places.give(taken[2], 8);
    places.give(taken[3], 8);
    EXPECT_EQ(places.take(16), taken[2]) << "two free lines beside each other are one place";
}

TEST(fib4_allocator, same_history_same_places) {
    fib4_allocator one(1 << 12);
    fib4_allocator two(1 << 12);
    for (unsigned i = 1; i < 200; ++i) {
        const std::uint32_t unit = one.take(1 + i % 17);
        ASSERT_EQ(unit, two.take(1 + i % 17));
        if (i % 3 == 0) {
            one.give(unit, 1 + i % 17);
            two.give(unit, 1 + i % 17);
        }
    }
}

struct compiled {
    route_log log;
    route_writer writer{log};
    std::unique_ptr<fib4_compiler> compiler;

    explicit compiled(unsigned root_bits)
        : compiler(std::move(*fib4_compiler::make(root_bits, 0, nexthop_default, writer))) {}
    nexthop_id at(std::uint32_t address) const { return compiler->image().lookup(address); }
};

TEST(fib4, an_empty_table_leads_to_the_default_everywhere) {
    for (const unsigned root_bits : {fib4_root_bits_main, fib4_root_bits_small}) {
        const compiled table(root_bits);
        for (const std::uint32_t address : {0U, 1U, 0x7fffffffU, 0x80000000U, 0xffffffffU}) {
            EXPECT_EQ(table.at(address), nexthop_default);
        }
    }
}

// One prefix of each length, nested: each bound answers with the right one of the 32.
TEST(fib4, every_length_nested) {
    for (const unsigned root_bits : {fib4_root_bits_main, fib4_root_bits_small}) {
        compiled table(root_bits);
        constexpr std::uint32_t host = 0xcb0071a5;
        test::slow_trie<std::uint16_t> oracle;
        for (unsigned round = 0; round < 32; ++round) {
            const unsigned length = 1 + round * 5 % 32; // every length, not in order
            const prefix4 prefix = make_prefix4(host, length);
            table.compiler->set(prefix, nexthop_id{static_cast<std::uint16_t>(length)}, true);
            oracle.set(test::key_of4(prefix.address), length, static_cast<std::uint16_t>(length));
            for (unsigned bit = 0; bit < 33; ++bit) {
                const std::uint32_t near = bit == 32 ? host : host ^ std::uint32_t{1} << bit;
                const std::uint32_t edge = make_prefix4(host, bit).last();
                for (const std::uint32_t address : {near, edge, edge + 1}) {
                    ASSERT_EQ(
                        table.at(address).value, oracle.lookup(test::key_of4(address)).value_or(0))
                        << format_address4(address) << " root " << root_bits;
                }
            }
        }
        for (unsigned length = 32; length >= 1; --length) {
            const auto covering = static_cast<std::uint8_t>(length - 1);
            table.compiler->clear(
                make_prefix4(host, length), {make_prefix4(host, covering), nexthop_id{covering}});
            ASSERT_EQ(table.at(host).value, covering);
        }
        EXPECT_EQ(table.compiler->longs(), 0U) << "long blocks close with their last prefix";
    }
}

// A node of n runs for every n that a node can have.
TEST(fib4, nodes_of_every_size) {
    compiled table(fib4_root_bits_main);
    for (unsigned runs = 1; runs <= 64; ++runs) {
        const std::uint32_t base = runs << 14;
        for (std::uint32_t slot = 0; slot < runs; ++slot) {
            table.compiler->set(
                make_prefix4(base + (slot << 8), 24),
                nexthop_id{static_cast<std::uint16_t>(1 + slot % 2 + slot)}, true);
        }
        for (std::uint32_t slot = 0; slot < 64; ++slot) {
            const std::uint32_t expected = slot < runs ? 1 + slot % 2 + slot : 0;
            ASSERT_EQ(table.at(base + (slot << 8) + 255).value, expected);
        }
    }
}

TEST(fib4, loading_equals_setting_one_by_one) {
    std::mt19937 random(3);
    for (const unsigned root_bits : {fib4_root_bits_main, fib4_root_bits_small}) {
        std::set<prefix4> known;
        std::vector<fib4_entry> entries;
        for (unsigned i = 0; i < 5000; ++i) {
            const std::uint32_t address = 0xc0000000 | (random() & 0x000fffff);
            const prefix4 prefix = make_prefix4(address, 1 + random() % 32);
            if (known.insert(prefix).second) {
                entries.push_back({prefix, nexthop_id{static_cast<std::uint16_t>(random() % 99)}});
            }
        }
        compiled stepwise(root_bits);
        for (const fib4_entry& entry : entries) {
            stepwise.compiler->set(entry.prefix, entry.value, true);
        }
        compiled loaded(root_bits);
        loaded.compiler->load(entries, std::move(*fib4_image::make(root_bits)));
        for (unsigned i = 0; i < 100000; ++i) {
            const std::uint32_t address = i % 4 == 0 ? random() : 0xc0000000 | (random() & 0xfffff);
            ASSERT_EQ(stepwise.at(address), loaded.at(address)) << format_address4(address);
            ASSERT_EQ(
                stepwise.compiler->match_length(address), loaded.compiler->match_length(address));
        }
    }
}

TEST(fib4, bulk_and_simd_lookups_equal_single_ones) {
    compiled table(fib4_root_bits_main);
    std::mt19937 random(5);
    std::set<prefix4> known;
    for (unsigned i = 0; i < 3000; ++i) {
        const prefix4 prefix = make_prefix4(0x0a000000 | (random() & 0x3ffff), 14 + random() % 19);
        table.compiler->set(
            prefix, nexthop_id{static_cast<std::uint16_t>(random() % 500)},
            known.insert(prefix).second);
    }
    const fib4_reader<> fib = table.compiler->image().reader<fib4_root_bits_main>();
    for (unsigned round = 0; round < 2000; ++round) {
        std::uint32_t addresses[64];
        nexthop_id bulk[64];
        nexthop_id simd[64];
        const std::size_t count = random() % 65;
        for (std::size_t i = 0; i < count; ++i) {
            addresses[i] = 0x0a000000 | (random() & 0x7ffff);
        }
        fib.lookup(std::span(addresses, count), bulk);
        if (fib4_has_avx512()) {
            fib4_lookup_avx512(fib, std::span(addresses, count), simd);
        }
        for (std::size_t i = 0; i < count; ++i) {
            ASSERT_EQ(bulk[i], fib.lookup(addresses[i]));
            ASSERT_TRUE(!fib4_has_avx512() || simd[i] == bulk[i]);
        }
    }
}

} // namespace

} // namespace pantala
