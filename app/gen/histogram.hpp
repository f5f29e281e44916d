// A histogram over 64 bits with a relative error of at most 1/32, in constant memory: buckets are
// linear within each power of two (as HdrHistogram's). One writer; others may read at any time.
#pragma once

#include "engine/counters.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace pantala::app {

class histogram {
  public:
    static constexpr unsigned linear_bits = 5;
    static constexpr unsigned bucket_count = (64 - linear_bits + 1) << linear_bits;

    void record(std::uint64_t value) { counts_[bucket_of(value)].add(1); }

    // Adds what `other` holds. Owner only.
    void merge(const histogram& other) {
        for (unsigned i = 0; i < bucket_count; ++i) {
            counts_[i].add(other.counts_[i].read());
        }
    }

    // Owner only.
    void reset() {
        for (counter& c : counts_) {
            c.add(0 - c.read());
        }
    }

    std::uint64_t total() const {
        std::uint64_t sum = 0;
        for (const counter& c : counts_) {
            sum += c.read();
        }
        return sum;
    }

    // The value that a share `fraction` (0..1] of what was recorded does not exceed; 0 when empty.
    std::uint64_t percentile(double fraction) const {
        const std::uint64_t all = total();
        if (all == 0) {
            return 0;
        }
        auto wanted = static_cast<std::uint64_t>(std::llround(fraction * static_cast<double>(all)));
        wanted = wanted == 0 ? 1 : wanted > all ? all : wanted;
        std::uint64_t seen = 0;
        unsigned bucket = 0;
        for (; bucket < bucket_count; ++bucket) {
            seen += counts_[bucket].read();
            if (seen >= wanted) {
                break;
            }
        }
        return bucket_last(bucket);
    }

    static constexpr unsigned bucket_of(std::uint64_t value) {
        if (value < (1U << linear_bits)) {
            return static_cast<unsigned>(value);
        }
        const auto shift = static_cast<unsigned>(std::bit_width(value)) - linear_bits - 1;
        return static_cast<unsigned>(
            ((shift + 1) << linear_bits) + ((value >> shift) & ((1U << linear_bits) - 1)));
    }
    // The largest value of a bucket.
    static constexpr std::uint64_t bucket_last(unsigned bucket) {
        if (bucket < (1U << linear_bits)) {
            return bucket;
        }
        const unsigned shift = (bucket >> linear_bits) - 1;
        const std::uint64_t low =
            (std::uint64_t{1} << linear_bits) | (bucket & ((1U << linear_bits) - 1));
        return ((low + 1) << shift) - 1;
    }

  private:
    std::array<counter, bucket_count> counts_{};
};

} // namespace pantala::app
