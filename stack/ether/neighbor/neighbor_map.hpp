// A hash table of neighbours with a fixed number of entries, all reserved when it is made. Entry
// has `neighbor_key key` and `std::uint32_t hash_next`.
#pragma once

#include "engine/base/check.hpp"
#include "stack/ether/neighbor/neighbor_key.hpp"

#include <bit>
#include <cstdint>
#include <memory>

namespace pantala {

template <class Entry>
class neighbor_map {
  public:
    static constexpr std::uint32_t none = 0xffffffff;

    neighbor_map(std::uint32_t capacity, const neighbor_secret& secret)
        : secret_(secret), capacity_(capacity), mask_(std::bit_ceil(capacity * 2) - 1),
          entries_(std::make_unique<Entry[]>(capacity)),
          buckets_(std::make_unique<std::uint32_t[]>(mask_ + 1)) {
        for (std::uint32_t i = 0; i <= mask_; ++i) {
            buckets_[i] = none;
        }
        for (std::uint32_t i = capacity; i-- > 0;) {
            entries_[i].hash_next = free_;
            free_ = i;
        }
    }

    Entry* find(const neighbor_key& key) {
        for (std::uint32_t i = buckets_[bucket_of(key)]; i != none; i = entries_[i].hash_next) {
            if (entries_[i].key == key) {
                return &entries_[i];
            }
        }
        return nullptr;
    }

    // The caller has seen that the key is not there. nullptr: full.
    Entry* insert(const neighbor_key& key) {
        if (free_ == none) {
            return nullptr;
        }
        const std::uint32_t index = free_;
        Entry& entry = entries_[index];
        free_ = entry.hash_next;
        std::uint32_t& bucket = buckets_[bucket_of(key)];
        entry.key = key;
        entry.hash_next = bucket;
        bucket = index;
        ++size_;
        return &entry;
    }

    void erase(Entry& entry) {
        const std::uint32_t index = index_of(entry);
        std::uint32_t* link = &buckets_[bucket_of(entry.key)];
        while (*link != index) {
            PANTALA_ASSERT(*link != none);
            link = &entries_[*link].hash_next;
        }
        *link = entry.hash_next;
        entry.hash_next = free_;
        free_ = index;
        --size_;
    }

    std::uint32_t bucket_of(const neighbor_key& key) const { return hash_of(secret_, key) & mask_; }
    std::uint32_t index_of(const Entry& entry) const {
        return static_cast<std::uint32_t>(&entry - entries_.get());
    }
    // Also entries that are not in use; the caller tells by its own state.
    Entry& at(std::uint32_t index) { return entries_[index]; }
    std::uint32_t size() const { return size_; }
    std::uint32_t capacity() const { return capacity_; }

  private:
    neighbor_secret secret_;
    std::uint32_t capacity_;
    std::uint32_t mask_;
    std::uint32_t size_ = 0;
    std::uint32_t free_ = none;
    std::unique_ptr<Entry[]> entries_;
    std::unique_ptr<std::uint32_t[]> buckets_;
};

} // namespace pantala
