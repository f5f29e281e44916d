// The IPv4 table by itself: the shape of nodes, places, every length, lookups of many.
#include "stack/route/fib/fib4_compiler.hpp"
#include "stack/route/rib.hpp"
#include "stack/route/rib/rib_table.hpp"
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

    explicit compiled(unsigned root_bits, std::uint32_t units_max = fib4_image::units_max)
        : compiler(
              std::move(*fib4_compiler::make(root_bits, 0, nexthop_default, writer, units_max))) {}
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

// A node of n runs for every n that a node can have, of next hops that take one byte or two.
TEST(fib4, nodes_of_every_size) {
    for (const std::uint16_t least : {1, 192, 200, 0x7000}) {
        compiled table(fib4_root_bits_main);
        for (unsigned runs = 1; runs <= 64; ++runs) {
            const std::uint32_t base = runs << 14;
            for (std::uint32_t slot = 0; slot < runs; ++slot) {
                table.compiler->set(
                    make_prefix4(base + (slot << 8), 24),
                    nexthop_id{static_cast<std::uint16_t>(least + slot)}, true);
            }
            for (std::uint32_t slot = 0; slot < 64; ++slot) {
                const std::uint32_t expected = slot < runs ? least + slot : 0;
                ASSERT_EQ(table.at(base + (slot << 8) + 255).value, expected);
            }
        }
    }
}

// A next hop of 255 or more makes a node wide, its going narrow again, wherever it is among the
// others; the room of what a node was is free again.
TEST(fib4, nodes_widen_and_narrow) {
    for (const std::uint32_t at : {0U, 31U, 63U}) {
        compiled table(fib4_root_bits_main);
        const auto prefix = [](std::uint32_t slot) {
            return make_prefix4(0x0a000000 + (slot << 8), 24);
        };
        const auto expect = [&](std::uint16_t there) {
            for (std::uint32_t slot = 0; slot < 64; ++slot) {
                ASSERT_EQ(
                    table.at(prefix(slot).address + 9).value, slot == at ? there : 254 - slot);
            }
        };
        for (std::uint32_t slot = 0; slot < 64; ++slot) {
            const nexthop_id value{static_cast<std::uint16_t>(254 - slot)};
            table.compiler->set(prefix(slot), value, true);
        }
        expect(static_cast<std::uint16_t>(254 - at));
        EXPECT_FALSE(table.compiler->image().mixed());
        const std::size_t narrow = table.compiler->image().bytes();
        for (const std::uint16_t there : {255, 254, 256, 300, 0x7fff, 64}) {
            table.compiler->set(prefix(at), nexthop_id{there}, false);
            expect(there);
        }
        EXPECT_TRUE(table.compiler->image().mixed());
        const std::size_t grown = table.compiler->image().bytes();
        EXPECT_EQ(grown, narrow) << "the room that it leaves is of what it becomes";
        for (unsigned i = 0; i < 20; ++i) {
            const std::uint16_t there = i % 2 == 0 ? 999 : 64;
            table.compiler->set(prefix(at), nexthop_id{there}, false);
            expect(there);
        }
        EXPECT_EQ(grown, table.compiler->image().bytes());
    }
}

// Slots with longer routes among others, up to a node of nothing else, whatever its other next
// hops.
TEST(fib4, long_slots_in_every_kind_of_node) {
    for (const std::uint16_t other : {7, 700}) {
        compiled table(fib4_root_bits_main);
        const auto slot = [](std::uint32_t i) { return 0x0a000000 + (i << 8); };
        table.compiler->set(make_prefix4(slot(0), 18), nexthop_id{other}, true);
        for (std::uint32_t i = 0; i < 64; ++i) {
            const std::uint32_t which = i * 37 % 64;
            const nexthop_id value{static_cast<std::uint16_t>(100 + which)};
            table.compiler->set(make_prefix4(slot(which) + 128, 25), value, true);
            for (std::uint32_t j = 0; j < 64; ++j) {
                const bool there = j * 45 % 64 <= i; // 45 * 37 = 1 (mod 64)
                ASSERT_EQ(table.at(slot(j) + 1).value, other);
                ASSERT_EQ(table.at(slot(j) + 129).value, there ? 100 + j : other);
            }
        }
        EXPECT_EQ(table.compiler->longs(), 64U);
        for (std::uint32_t i = 0; i < 64; ++i) {
            table.compiler->clear(
                make_prefix4(slot(i) + 128, 25), {make_prefix4(slot(0), 18), nexthop_id{other}});
            ASSERT_EQ(table.at(slot(i) + 129).value, other);
        }
        EXPECT_EQ(table.compiler->longs(), 0U);
        EXPECT_EQ(table.compiler->image().mixed(), other >= 255);
    }
}

// A small table's /16 and /24 each take a long id for a longer prefix, and give it back with the
// last.
TEST(fib4, long_ids_of_every_level_come_back_and_are_asked_for) {
    compiled table(fib4_root_bits_small);
    const prefix4 deep = make_prefix4(0x0a010203, 32);
    for (unsigned i = 0; i < 3; ++i) {
        table.compiler->set(deep, nexthop_id{5}, true);
        EXPECT_EQ(table.compiler->longs(), 2U);
        table.compiler->clear(deep, {prefix4{}, nexthop_default});
        ASSERT_EQ(table.compiler->longs(), 0U);
        EXPECT_EQ(table.at(deep.address), nexthop_default);
    }
    for (std::uint32_t i = 0; i + 1 < fib4_longs_max; ++i) {
        const prefix4 half = make_prefix4(0x80000000 + (i << 16), 17);
        ASSERT_TRUE(table.compiler->reserve(half).ok());
        table.compiler->set(half, nexthop_id{5}, true);
    }
    EXPECT_TRUE(table.compiler->reserve(make_prefix4(deep.address, 24)).ok()) << "the last one";
    EXPECT_FALSE(table.compiler->reserve(deep).ok()) << "it takes two";
}

// Slots with longer routes are uniform while these lead where the slot does; when a short prefix
// above them changes, all of them take room.
TEST(fib4, a_short_prefix_is_asked_for_the_long_blocks_under_it) {
    constexpr std::uint32_t longs = 1200;
    for (const unsigned root_bits : {fib4_root_bits_main, fib4_root_bits_small}) {
        compiled table(root_bits, 2400 * fib4_allocator::chunk_units);
        const prefix4 above = make_prefix4(0x0a000000, 12);
        const auto set = [&](const prefix4& prefix, std::uint16_t hop, bool is_new) {
            const bool room = table.compiler->reserve(prefix, !is_new).ok();
            if (room) {
                table.compiler->set(prefix, nexthop_id{hop}, is_new);
            }
            return room;
        };
        ASSERT_TRUE(set(above, 5, true));
        for (std::uint32_t slot = 0; slot < longs; ++slot) {
            for (std::uint32_t host = 0; host < 256; host += 2) {
                ASSERT_TRUE(set(make_prefix4(above.address + (slot << 8) + host, 32), 5, true));
            }
        }
        EXPECT_FALSE(set(above, 6, false));
        EXPECT_EQ(table.at(above.address + 1).value, 5) << "as it was";
        EXPECT_TRUE(set(make_prefix4(above.address, 24), 6, true)) << "of one of them";
        EXPECT_EQ(table.at(above.address + 1).value, 6);
        EXPECT_TRUE(set(make_prefix4(above.address + (longs << 8), 15), 6, true)) << "of none";
        for (std::uint32_t host = 0; host < 2 * 256; host += 2) {
            table.compiler->clear(make_prefix4(above.address + host, 32), {above, nexthop_id{5}});
        }
        EXPECT_EQ(table.at(above.address + 255).value, 6);
    }
}

TEST(fib4, what_is_there_changes_and_goes_when_nothing_new_comes) {
    compiled table(fib4_root_bits_main, 1300 * fib4_allocator::chunk_units);
    const auto nth = [](std::uint32_t i) { return make_prefix4(i << 9, 24); };
    std::uint32_t made = 0;
    for (; table.compiler->reserve(nth(made)).ok(); ++made) {
        ASSERT_LT(made, 1U << 23);
        table.compiler->set(nth(made), nexthop_id{static_cast<std::uint16_t>(1 + made % 9)}, true);
    }
    EXPECT_GT(made, 1000U);
    for (std::uint32_t i = 0; i < made; ++i) {
        ASSERT_TRUE(table.compiler->reserve(nth(i), true).ok());
        table.compiler->set(nth(i), nexthop_id{300}, false); // in twice the room
    }
    for (std::uint32_t i = 0; i < made; ++i) {
        ASSERT_TRUE(table.compiler->reserve(nth(i), true).ok());
        table.compiler->clear(nth(i), {prefix4{}, nexthop_default});
    }
    EXPECT_EQ(table.at(nth(5).address), nexthop_default);
}

// No node finds a new place any more; all of them have 64 runs.
TEST(fib4, what_leads_elsewhere_needs_no_room) {
    constexpr std::uint32_t chunks = 40;
    compiled table(fib4_root_bits_main, chunks * fib4_allocator::chunk_units);
    const auto slot = [](std::uint32_t i) { return make_prefix4(i << 9 | 1 << 8, 24); };
    const auto hop = [](unsigned of) { return nexthop_id{static_cast<std::uint16_t>(of)}; };
    std::uint32_t made = 0;
    for (; table.compiler->image().units() <= (chunks - 1) * fib4_allocator::chunk_units; ++made) {
        table.compiler->set(slot(made), hop(1 + made % 3), true);
    }
    const prefix4 all[] = {slot(0), slot(made / 2), slot(made - 1)};
    EXPECT_FALSE(table.compiler->reserve(slot(made + 32), true, false).ok()) << "a node to come";
    EXPECT_FALSE(table.compiler->reserve(all, true, true).ok()) << "their nodes may widen";
    ASSERT_TRUE(table.compiler->reserve(all, true, false).ok());
    for (std::uint32_t i = 0; i < made; ++i) {
        ASSERT_TRUE(table.compiler->reserve(slot(i), true, false).ok());
        table.compiler->set(slot(i), hop(4 + i % 7), false);
    }
    for (std::uint32_t i = 0; i < made; ++i) {
        ASSERT_EQ(table.at(slot(i).address).value, 4 + i % 7);
        ASSERT_EQ(table.at(slot(i).address + 256).value, 0);
    }
    for (std::uint32_t i = 0; i < made; ++i) {
        ASSERT_TRUE(table.compiler->reserve(slot(i), true, false).ok());
        table.compiler->clear(slot(i), {prefix4{}, nexthop_default});
        ASSERT_EQ(table.at(slot(i).address).value, 0);
    }
}

// As when an address turns out to be a duplicate: its link and broadcast routes stay.
TEST(fib4, several_that_are_there_change_when_nothing_new_comes) {
    route_log log;
    route_writer writer{log};
    rib_table4 table(0, nexthop_default);
    table.compiler = std::move(*fib4_compiler::make(
        fib4_root_bits_main, 0, nexthop_default, writer, 1300 * fib4_allocator::chunk_units));
    const auto nth = [](std::uint32_t i) { return make_prefix4(i << 9, 24); };
    std::uint32_t made = 0;
    for (; table.reserve(nth(made), true).ok(); ++made) {
        ASSERT_LT(made, 1U << 23);
        table.insert(nth(made)).hop = nexthop_id{1};
        table.compile(nth(made), nexthop_id{1}, true);
    }
    const prefix4 there[] = {nth(1), nth(2)};
    EXPECT_TRUE(table.reserve(there, true).ok());
    const prefix4 fresh[] = {nth(1), nth(made)};
    EXPECT_FALSE(table.reserve(fresh, true).ok());
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

// Of narrow nodes only, and of both kinds.
TEST(fib4, bulk_lookups_equal_single_ones) {
    for (const unsigned hops : {250U, 500U}) {
        compiled table(fib4_root_bits_main);
        std::mt19937 random(5);
        std::set<prefix4> known;
        for (unsigned i = 0; i < 3000; ++i) {
            const prefix4 prefix =
                make_prefix4(0x0a000000 | (random() & 0x3ffff), 14 + random() % 19);
            const std::uint32_t hop = random() % (i % 2 == 0 ? hops : 50);
            table.compiler->set(
                prefix, nexthop_id{static_cast<std::uint16_t>(hop)}, known.insert(prefix).second);
        }
        const fib4_reader<> fib = table.compiler->image().reader<fib4_root_bits_main>();
        EXPECT_EQ(table.compiler->image().mixed(), hops > 255);
        for (unsigned round = 0; round < 2000; ++round) {
            std::uint32_t addresses[64];
            nexthop_id bulk[64];
            const std::size_t count = random() % 65;
            for (std::size_t i = 0; i < count; ++i) {
                addresses[i] = 0x0a000000 | (random() & 0x7ffff);
            }
            fib.lookup(std::span(addresses, count), bulk);
            for (std::size_t i = 0; i < count; ++i) {
                ASSERT_EQ(bulk[i], fib.lookup(addresses[i]));
            }
        }
    }
}

} // namespace

} // namespace pantala
