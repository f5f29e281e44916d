// Which member of a group has each of its buckets: what a member gives up goes to those that lack
// most of their share; nobody else's buckets move, unless to serve one that has just come (or come
// back, or has another weight), and then as few as make the shares even. Owner: control.
#pragma once

#include <cstdint>
#include <vector>

namespace pantala {

inline constexpr std::uint16_t bucket_of_nobody = 0xffff;

// `owners`: by bucket, a member or nobody; `weights`: by member, 0 if it is dead, and not all 0.
// Both outlive it.
class bucket_shares {
  public:
    bucket_shares(std::vector<std::uint16_t>& owners, const std::vector<unsigned>& weights)
        : owners_(owners), weights_(weights), has_(weights.size(), 0) {
        for (const unsigned weight : weights) {
            all_ += weight;
        }
        for (const std::uint16_t owner : owners) {
            if (is_live(owner)) {
                ++has_[owner];
            }
        }
    }
    // What is nobody's, or a dead member's.
    void give_out_free() {
        for (std::uint16_t& owner : owners_) {
            if (!is_live(owner)) {
                owner = extreme([](std::int64_t above, std::int64_t most) { return above < most; });
                ++has_[owner];
            }
        }
    }
    // Takes from whoever has most above its share while that makes it more even.
    void serve(std::uint16_t member) {
        for (;;) {
            const std::uint16_t richest =
                extreme([](std::int64_t above, std::int64_t most) { return above > most; });
            if (above(richest) - above(member) <= all_) {
                return;
            }
            while (owners_[at_] != richest) {
                at_ = (at_ + 1) % owners_.size();
            }
            owners_[at_] = member;
            --has_[richest];
            ++has_[member];
        }
    }

  private:
    bool is_live(std::uint16_t owner) const {
        return owner != bucket_of_nobody && weights_[owner] != 0;
    }
    // Of its share, in buckets times all weights.
    std::int64_t above(std::uint16_t member) const {
        return has_[member] * all_ -
               static_cast<std::int64_t>(owners_.size()) * std::int64_t{weights_[member]};
    }
    template <class Beats>
    std::uint16_t extreme(Beats beats) const {
        std::uint16_t found = bucket_of_nobody;
        for (std::uint16_t m = 0; m < weights_.size(); ++m) {
            if (weights_[m] != 0 && (found == bucket_of_nobody || beats(above(m), above(found)))) {
                found = m;
            }
        }
        return found;
    }

    std::vector<std::uint16_t>& owners_;
    const std::vector<unsigned>& weights_;
    std::vector<std::int64_t> has_; // live members' buckets
    std::int64_t all_ = 0;          // weights of live members
    std::size_t at_ = 0;            // where the last bucket was taken
};

} // namespace pantala
