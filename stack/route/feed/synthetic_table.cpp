// The made-up table: lengths as counted in the real one; places nested and clustered.
#include "stack/route/feed/prefix_file.hpp"

#include <array>
#include <cmath>
#include <random>
#include <set>
#include <unordered_set>

namespace pantala {

namespace {

struct share_of_length {
    unsigned length;
    unsigned count;
};

constexpr std::array<share_of_length, 25> histogram4{
    {{8, 16},      {9, 13},     {10, 38},     {11, 103},   {12, 299},   {13, 581},   {14, 1203},
     {15, 2100},   {16, 13490}, {17, 8235},   {18, 13798}, {19, 24870}, {20, 42611}, {21, 50750},
     {22, 108623}, {23, 96510}, {24, 537698}, {25, 20},    {26, 3},     {27, 11},    {28, 18},
     {29, 17},     {30, 3},     {31, 3},      {32, 886}}};

constexpr std::array<share_of_length, 47> histogram6{
    {{16, 1},     {19, 1},     {20, 16},    {21, 3},    {22, 7},    {23, 8},     {24, 30},
     {25, 8},     {26, 15},    {27, 20},    {28, 193},  {29, 4371}, {30, 650},   {31, 284},
     {32, 22548}, {33, 2926},  {34, 2603},  {35, 1043}, {36, 5996}, {37, 880},   {38, 1617},
     {39, 1377},  {40, 13418}, {41, 903},   {42, 2301}, {43, 1001}, {44, 14365}, {45, 1553},
     {46, 3039},  {47, 3153},  {48, 75488}, {49, 11},   {50, 3},    {52, 1},     {55, 1},
     {56, 24},    {58, 20},    {60, 2},     {64, 184},  {112, 2},   {122, 1},    {124, 4},
     {125, 9},    {126, 19},   {127, 42},   {128, 6}}};

constexpr unsigned nested_percent = 55;    // lies within a shorter prefix of the table
constexpr unsigned neighbour_percent = 35; // follows one of its own length

unsigned scaled(unsigned count, double share) {
    return static_cast<unsigned>(std::ceil(count * share));
}

class maker {
  public:
    explicit maker(std::uint64_t seed) : random_(seed) {}

    std::vector<file_route4> ip4(double share) {
        std::vector<prefix4> made;
        std::unordered_set<std::uint64_t> known;
        for (const auto& [length, count] : histogram4) {
            const std::size_t shorter = made.size();
            const std::size_t target = shorter + scaled(count, share);
            while (made.size() < target) {
                const prefix4 prefix = place4(made, shorter, length);
                const bool unicast = prefix.address >> 24 >= 1 && prefix.address >> 24 < 224 &&
                                     prefix.address >> 24 != 127;
                if (unicast && known.insert(std::uint64_t{prefix.address} << 8 | length).second) {
                    made.push_back(prefix);
                }
            }
        }
        std::vector<file_route4> routes(made.size());
        for (std::size_t i = 0; i < made.size(); ++i) {
            routes[i].prefix = made[i];
        }
        return routes;
    }

    std::vector<file_route6> ip6(double share) {
        std::vector<prefix6> made;
        std::set<prefix6> known;
        for (const auto& [length, count] : histogram6) {
            const std::size_t shorter = made.size();
            const std::size_t target = shorter + scaled(count, share);
            while (made.size() < target) {
                const prefix6 prefix = place6(made, shorter, length);
                if (prefix.address.high >> 61 == 1 && known.insert(prefix).second) {
                    made.push_back(prefix);
                }
            }
        }
        std::vector<file_route6> routes(made.size());
        for (std::size_t i = 0; i < made.size(); ++i) {
            routes[i].prefix = made[i];
        }
        return routes;
    }

  private:
    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

    // Within a shorter one, beside one of its own length, or anywhere.
    prefix4 place4(const std::vector<prefix4>& made, std::size_t shorter, unsigned length) {
        const auto any = static_cast<std::uint32_t>(random_());
        const std::uint64_t dice = below(100);
        if (dice < nested_percent && shorter > 0) {
            const prefix4& parent = made[below(shorter)];
            return make_prefix4(parent.address | (any & ~mask4(parent.length)), length);
        }
        if (dice < nested_percent + neighbour_percent && made.size() > shorter) {
            const prefix4& beside = made[shorter + below(made.size() - shorter)];
            return make_prefix4(beside.last() + 1, length);
        }
        return make_prefix4(any, length);
    }

    prefix6 place6(const std::vector<prefix6>& made, std::size_t shorter, unsigned length) {
        const address6 any{random_() >> 3 | std::uint64_t{1} << 61, random_()};
        const std::uint64_t dice = below(100);
        if (dice < nested_percent + neighbour_percent && shorter > 0) {
            const prefix6& parent = made[below(shorter)];
            const address6 free = {~mask6(parent.length).high, ~mask6(parent.length).low};
            return make_prefix6(
                {parent.address.high | (any.high & free.high),
                 parent.address.low | (any.low & free.low)},
                length);
        }
        // Registries give out of a few /12s.
        const std::uint64_t registry = 0x2400 + 0x10 * below(12);
        return make_prefix6({registry << 48 | (any.high & ~mask6(12).high), 0}, length);
    }

    std::mt19937_64 random_;
};

} // namespace

prefix_table synthetic_table(std::uint64_t seed, double share) {
    maker make(seed);
    prefix_table table;
    table.ip4 = make.ip4(share);
    table.ip6 = make.ip6(share);
    return table;
}

} // namespace pantala
