// Runs of group buckets: powers of two, buddies merged again. Deterministic. Owner: control.
#pragma once

#include "stack/route/nexthop.hpp"

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <set>

namespace pantala {

class bucket_space {
  public:
    bucket_space() { free_[orders - 1].insert(0); }

    // `count` is a power of two of at most group_buckets_max / 2.
    std::optional<std::uint16_t> take(unsigned count) {
        const auto order = static_cast<unsigned>(std::countr_zero(count));
        unsigned from = order;
        while (from < orders && free_[from].empty()) {
            ++from;
        }
        if (from == orders) {
            return std::nullopt;
        }
        left_ -= count;
        const std::uint32_t first = *free_[from].begin();
        free_[from].erase(free_[from].begin());
        while (from > order) {
            --from;
            free_[from].insert(first + (std::uint32_t{1} << from));
        }
        return static_cast<std::uint16_t>(first);
    }

    void give(std::uint32_t first, unsigned count) {
        left_ += count;
        auto order = static_cast<unsigned>(std::countr_zero(count));
        for (; order + 1 < orders; ++order) {
            const std::uint32_t buddy = first ^ (std::uint32_t{1} << order);
            if (free_[order].erase(buddy) == 0) {
                break;
            }
            first &= buddy;
        }
        free_[order].insert(first);
    }

    // Free ones, in runs of whatever length.
    unsigned left() const { return left_; }

  private:
    static constexpr unsigned orders = std::bit_width(group_buckets_max);

    unsigned left_ = group_buckets_max;
    std::array<std::set<std::uint32_t>, orders> free_; // first buckets of free runs of 2^order
};

} // namespace pantala
