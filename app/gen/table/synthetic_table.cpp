#include "app/gen/table/synthetic_table.hpp"

#include "app/next_hop_rule.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <unordered_set>

#include <fmt/format.h>

namespace pantala::app {

namespace {

struct length_share {
    std::uint8_t length;
    std::uint32_t count;   // of prefixes
    std::uint8_t in_a_row; // per cent that follow the prefix before them
};

// Counted in a full table of 2025.
constexpr length_share shares[] = {
    {8, 16, 25},     {9, 13, 23},      {10, 38, 5},     {11, 103, 15},   {12, 299, 26},
    {13, 581, 28},   {14, 1203, 32},   {15, 2100, 31},  {16, 13490, 60}, {17, 8235, 45},
    {18, 13798, 52}, {19, 24870, 53},  {20, 42611, 57}, {21, 50750, 51}, {22, 108623, 54},
    {23, 96510, 44}, {24, 537698, 69}, {25, 20, 45},    {26, 3, 0},      {27, 11, 0},
    {28, 18, 22},    {29, 17, 0},      {30, 3, 0},      {31, 3, 0},      {32, 886, 25},
};

constexpr unsigned regions = 74'000; // /18s that have prefixes of their length or longer

// RFC 6890 and multicast upwards, as {first, last} of the top 16 bits: coarse on purpose.
bool special(std::uint32_t address) {
    const std::uint32_t top8 = address >> 24;
    const std::uint32_t top16 = address >> 16;
    return top8 == 0 || top8 == 10 || top8 == 127 || top8 >= 224 || top16 == 0xa9fe ||
           (top16 >= 0xac10 && top16 <= 0xac1f) || top16 == 0xc0a8 ||
           (top16 >= 0x6440 && top16 <= 0x647f) || top16 == 0xc612 || top16 == 0xc613 ||
           top16 == 0xc000 || top16 == 0xc633 || top16 == 0xcb00 || top16 == 0xc058;
}

class maker {
  public:
    explicit maker(std::uint64_t seed) : random_(mix64(seed)) {
        while (regions_.size() < regions) {
            const std::uint32_t address = next() & prefix_mask(18);
            if (!special(address)) {
                regions_.push_back(address);
            }
        }
    }

    void fill(const length_share& share) {
        const std::uint32_t step = std::uint32_t{1} << (32 - share.length);
        ip4_prefix prefix{fresh(share.length), share.length};
        for (std::uint32_t made = 0; made < share.count;) {
            if (next() % 100 < share.in_a_row) {
                prefix.address += step;
            } else {
                prefix.address = fresh(share.length);
            }
            const bool whole = !special(prefix.address) && !special(prefix.address + step - 1);
            if (whole && seen_.insert(std::uint64_t{prefix.address} << 8 | prefix.length).second) {
                all_.push_back(prefix);
                ++made;
            }
        }
    }
    std::vector<ip4_prefix> take() {
        std::sort(all_.begin(), all_.end(), [](ip4_prefix a, ip4_prefix b) {
            return a.address != b.address ? a.address < b.address : a.length < b.length;
        });
        return std::move(all_);
    }

  private:
    std::uint32_t next() {
        random_ = mix64(random_);
        return static_cast<std::uint32_t>(random_ >> 32);
    }
    std::uint32_t fresh(unsigned length) {
        if (length < 18) {
            return next() & prefix_mask(length);
        }
        return (regions_[next() % regions] | (next() & ~prefix_mask(18))) & prefix_mask(length);
    }

    std::uint64_t random_;
    std::vector<std::uint32_t> regions_;
    std::unordered_set<std::uint64_t> seen_;
    std::vector<ip4_prefix> all_;
};

} // namespace

std::vector<ip4_prefix> make_synthetic_table(std::uint64_t seed) {
    maker table(seed);
    for (const length_share& share : shares) {
        table.fill(share);
    }
    return table.take();
}

result<void> write_prefix_list(const std::string& path, const std::vector<ip4_prefix>& prefixes) {
    const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "w"), std::fclose);
    if (!file) {
        return error{errno, fmt::format("cannot write {}: {}", path, std::strerror(errno))};
    }
    for (const ip4_prefix& prefix : prefixes) {
        fmt::print(file.get(), "{}\n", format_prefix(prefix));
    }
    if (std::fflush(file.get()) != 0) {
        return error{errno, fmt::format("cannot write {}: {}", path, std::strerror(errno))};
    }
    return {};
}

} // namespace pantala::app
