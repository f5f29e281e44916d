// A burst's lookups in steps, for callers that have other work between them: the lines of a later
// step's nodes are on their way while the packets of this one are written. Directory lines should
// have been asked for before (fib4_reader::prefetch_root), as early as the destination is at hand.
#pragma once

#include "stack/route/fib4.hpp"

#include <algorithm>
#include <cstdint>

namespace pantala {

class fib4_walk {
  public:
    // Addresses in a step. With 8 and 32 scripts/bench_forward measures the same.
    static constexpr unsigned step = 16;

    // `addresses` (host order, at most 64) outlive the walk.
    fib4_walk(fib4_reader<> reader, const std::uint32_t* addresses, unsigned count)
        : reader_(reader), addresses_(addresses), count_(count) {
        ask(0);
    }

    // The next hops of the addresses from `first` on, a multiple of `step`, in order; returns where
    // the step ends.
    // Not inlined, so that a profile tells lookup and forwarding apart; a call a step costs
    // nothing.
    [[gnu::noinline]] unsigned take(unsigned first, nexthop_id* hops) {
        const unsigned last = std::min(first + step, count_);
        ask(last);
        std::uint16_t any = 0;
        for (unsigned i = first; i < last; ++i) {
            const std::uint16_t answer = reader_.slot(nodes_[i], addresses_[i]);
            any |= answer;
            hops[i] = nexthop_id{answer};
        }
        if ((any & fib4_long_flag) != 0) [[unlikely]] {
            for (unsigned i = first; i < last; ++i) {
                hops[i] = nexthop_id{reader_.longer(hops[i].value, addresses_[i])};
            }
        }
        return last;
    }

  private:
    void ask(unsigned first) {
        const unsigned last = std::min(first + step, count_);
        for (unsigned i = first; i < last; ++i) {
            nodes_[i] = reader_.node(addresses_[i]);
            __builtin_prefetch(nodes_[i]);
        }
    }

    fib4_reader<> reader_;
    const std::uint32_t* addresses_;
    unsigned count_;
    const fib4_node* nodes_[64];
};

} // namespace pantala
