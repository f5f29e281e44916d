// IPv4 prefix to the RIB's entry: open addressing with linear probing, 12 bytes an entry, one cache
// miss a search. Owner: control.
#pragma once

#include "stack/route/nexthop.hpp"
#include "stack/route/prefix4.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace pantala {

struct rib_entry4 {
    static constexpr std::uint8_t empty = 0xff;

    std::uint32_t address = 0;
    std::uint8_t length = empty;
    std::uint8_t protocol : 7 = 0; // route_protocol; of the single route of metric 0
    std::uint8_t out : 1 = 0;      // the compiler does not have it: see rib_fallback.cpp
    nexthop_id hop{};              // that the replica has
    std::uint32_t more = 0;        // 0: a single route of metric 0; else where its routes are

    prefix4 prefix() const { return {address, length}; }
};

class prefix_map4 {
  public:
    prefix_map4() : slots_(minimum) {}

    std::size_t size() const { return size_; }
    std::size_t bytes() const { return slots_.size() * sizeof(rib_entry4); }

    rib_entry4* find(const prefix4& prefix) {
        for (std::size_t at = home(prefix);; at = next(at)) {
            rib_entry4& slot = slots_[at];
            if (slot.address == prefix.address && slot.length == prefix.length) {
                return &slot;
            }
            if (slot.length == rib_entry4::empty) {
                return nullptr;
            }
        }
    }
    const rib_entry4* find(const prefix4& prefix) const {
        return const_cast<prefix_map4*>(this)->find(prefix);
    }

    // A prefix that is not there. Entries found before may have moved.
    rib_entry4& insert(const prefix4& prefix) {
        if ((size_ + 1) * 10 > slots_.size() * 7) {
            grow(slots_.size() * 2);
        }
        ++size_;
        return place(prefix);
    }
    void reserve(std::size_t entries) {
        const std::size_t needed = std::bit_ceil(entries * 10 / 7 + 1);
        if (needed > slots_.size()) {
            grow(needed);
        }
    }

    // Entries after it may move into its place.
    void erase(rib_entry4* entry) {
        auto hole = static_cast<std::size_t>(entry - slots_.data());
        for (std::size_t at = next(hole); slots_[at].length != rib_entry4::empty; at = next(at)) {
            const std::size_t from_home = (at - home(slots_[at].prefix())) & (slots_.size() - 1);
            if (from_home >= ((at - hole) & (slots_.size() - 1))) {
                slots_[hole] = slots_[at];
                hole = at;
            }
        }
        slots_[hole] = rib_entry4{};
        --size_;
    }

    void prefetch(const prefix4& prefix) const { __builtin_prefetch(&slots_[home(prefix)]); }

    template <class Each>
    void for_each(Each&& each) {
        for (rib_entry4& slot : slots_) {
            if (slot.length != rib_entry4::empty) {
                each(slot);
            }
        }
    }

  private:
    static constexpr std::size_t minimum = 64;

    std::size_t home(const prefix4& prefix) const {
        const std::uint64_t key = std::uint64_t{prefix.address} << 8 | prefix.length;
        return (key * 0x9e3779b97f4a7c15ULL) >> shift_;
    }
    std::size_t next(std::size_t at) const { return (at + 1) & (slots_.size() - 1); }

    rib_entry4& place(const prefix4& prefix) {
        std::size_t at = home(prefix);
        while (slots_[at].length != rib_entry4::empty) {
            at = next(at);
        }
        slots_[at].address = prefix.address;
        slots_[at].length = prefix.length;
        return slots_[at];
    }

    void grow(std::size_t slots) {
        std::vector<rib_entry4> old = std::exchange(slots_, std::vector<rib_entry4>(slots));
        shift_ = 64 - static_cast<unsigned>(std::countr_zero(slots));
        for (const rib_entry4& entry : old) {
            if (entry.length != rib_entry4::empty) {
                place(entry.prefix()) = entry;
            }
        }
    }

    std::vector<rib_entry4> slots_;
    std::size_t size_ = 0;
    unsigned shift_ = 64 - 6;
};

} // namespace pantala
