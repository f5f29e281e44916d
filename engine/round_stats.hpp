// What a worker's rounds were like: how many, how many had nothing to do, how many sleeps, and how
// long the ones with work took, as a histogram with four buckets an octave (each bucket at most 19
// % above its floor). Written by the worker, read by anybody.
#pragma once

#include "engine/counters.hpp"

#include <array>
#include <bit>
#include <cstdint>

namespace pantala {

class round_stats {
  public:
    static constexpr unsigned buckets = 128; // up to 2^33 ns

    // Worker. One round that handled something took `ns`.
    void busy(std::uint64_t ns) { histogram_[bucket_of(ns)].add(1); }
    void idle() { idle_.add(1); }
    void slept() { sleeps_.add(1); }

    std::uint64_t busy_rounds() const {
        std::uint64_t sum = 0;
        for (const counter& bucket : histogram_) {
            sum += bucket.read();
        }
        return sum;
    }
    std::uint64_t idle_rounds() const { return idle_.read(); }
    std::uint64_t sleeps() const { return sleeps_.read(); }

    // Nanoseconds that `thousandths` of a thousand busy rounds stayed below (999: p99.9), rounded
    // up to the end of a bucket; 0 when there was none.
    std::uint64_t percentile_ns(unsigned thousandths) const {
        const std::uint64_t total = busy_rounds();
        const std::uint64_t wanted = (total * thousandths + 999) / 1000;
        std::uint64_t seen = 0;
        for (unsigned i = 0; i < buckets && total != 0; ++i) {
            seen += histogram_[i].read();
            if (seen >= wanted) {
                return floor_ns(i + 1);
            }
        }
        return 0;
    }

    std::uint64_t bucket(unsigned index) const { return histogram_[index].read(); }

    // Bucket i holds rounds of [floor_ns(i), floor_ns(i + 1)).
    static constexpr std::uint64_t floor_ns(unsigned index) {
        return index < 4 ? index : std::uint64_t{4 + index % 4} << (index / 4 - 1);
    }
    static constexpr unsigned bucket_of(std::uint64_t ns) {
        if (ns < 4) {
            return static_cast<unsigned>(ns);
        }
        const unsigned octave = static_cast<unsigned>(std::bit_width(ns)) - 3;
        const unsigned index = 4 * octave + static_cast<unsigned>(ns >> octave);
        return index < buckets ? index : buckets - 1;
    }

  private:
    std::array<counter, buckets> histogram_;
    counter idle_;
    counter sleeps_;
};

} // namespace pantala
