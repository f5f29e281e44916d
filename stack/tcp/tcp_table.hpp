// Where the flows of one worker are found. `flow_table` maps a keyed 64-bit hash to a 32-bit id;
// `slab` holds the records that the ids name. Both are sized once, by control, and their memory is
// touched only as far as it is used.
#pragma once

#include "engine/base/check.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

namespace pantala::tcp {

inline constexpr std::uint32_t no_id = 0xffffffff;

struct free_deleter {
    void operator()(void* memory) const { std::free(memory); }
};

// Records of one type, named by dense ids; the last freed is handed out first, while it is warm.
// Owner: one worker. allocate and release: O(1), no system call.
template <class T>
class slab {
  public:
    static_assert(std::is_trivially_destructible_v<T>);

    explicit slab(std::uint32_t capacity) : capacity_(capacity) {
        // A big allocation is zero pages until it is written: an unused record costs nothing, and
        // its memory reads as zero.
        std::size_t space = (std::size_t{capacity} + 1) * sizeof(T) + alignof(T);
        memory_.reset(std::calloc(1, space));
        PANTALA_ASSERT(memory_ != nullptr);
        void* start = memory_.get();
        records_ = static_cast<T*>(std::align(alignof(T), sizeof(T), start, space));
        PANTALA_ASSERT(records_ != nullptr);
        free_.reserve(capacity);
    }

    // A fresh record's id, or no_id if all are taken.
    std::uint32_t allocate() {
        std::uint32_t id = no_id;
        if (!free_.empty()) {
            id = free_.back();
            free_.pop_back();
        } else if (fresh_ < capacity_) {
            id = fresh_++;
        } else {
            return no_id;
        }
        new (&records_[id]) T();
        ++used_;
        return id;
    }

    // The id that allocate() hands out next (its record may be read: zero if it never was used).
    std::uint32_t next_id() const {
        return !free_.empty() ? free_.back() : fresh_ < capacity_ ? fresh_ : no_id;
    }

    void release(std::uint32_t id) {
        PANTALA_DCHECK(id < fresh_ && used_ > 0);
        free_.push_back(id); // within the reserved capacity: never allocates
        --used_;
    }

    T& operator[](std::uint32_t id) {
        PANTALA_DCHECK(id < fresh_);
        return records_[id];
    }
    const T& operator[](std::uint32_t id) const {
        PANTALA_DCHECK(id < fresh_);
        return records_[id];
    }

    // Any id below the capacity, handed out or not: for fields whose zero means "nobody".
    T& at(std::uint32_t id) { return records_[id]; }

    std::uint32_t used() const { return used_; }
    std::uint32_t capacity() const { return capacity_; }
    // Ids at and above this were never handed out.
    std::uint32_t high_water() const { return fresh_; }

  private:
    std::uint32_t capacity_;
    std::uint32_t fresh_ = 0;
    std::uint32_t used_ = 0;
    std::unique_ptr<void, free_deleter> memory_;
    T* records_ = nullptr;
    std::vector<std::uint32_t> free_;
};

// Ids in the order they came, each at most once (whoever pushes sees to that), so `capacity` of
// them always fit. O(1) at both ends; starts over at its begin when it runs empty, so that a short
// list stays on the same few cache lines.
class id_ring {
  public:
    explicit id_ring(std::uint32_t capacity)
        : mask_(std::bit_ceil(std::max<std::uint32_t>(capacity, 1)) - 1) {
        memory_.reset(std::calloc(std::size_t{mask_} + 1, sizeof(std::uint32_t)));
        PANTALA_ASSERT(memory_ != nullptr);
        ids_ = static_cast<std::uint32_t*>(memory_.get());
    }

    void push(std::uint32_t id) {
        PANTALA_DCHECK(size() <= mask_);
        ids_[tail_++ & mask_] = id;
    }
    std::uint32_t pop() {
        PANTALA_DCHECK(!empty());
        const std::uint32_t id = ids_[head_++ & mask_];
        if (head_ == tail_) {
            head_ = tail_ = 0;
        }
        return id;
    }
    // The i-th from the front.
    std::uint32_t operator[](std::uint32_t i) const { return ids_[(head_ + i) & mask_]; }
    std::uint32_t size() const { return tail_ - head_; }
    bool empty() const { return head_ == tail_; }

  private:
    std::uint32_t mask_;
    std::uint32_t head_ = 0;
    std::uint32_t tail_ = 0;
    std::unique_ptr<void, free_deleter> memory_;
    std::uint32_t* ids_ = nullptr;
};

// Buckets of one cache line, seven entries each. An entry that finds its home full goes to the next
// bucket with room, and every bucket it passed counts it: a search ends at the first bucket that
// nobody passed. So there are no tombstones and no rehash. Sized so that four of seven are used at
// full capacity. A lookup touches one line nearly always.
class flow_table {
  public:
    explicit flow_table(std::uint32_t capacity)
        : mask_(std::bit_ceil(std::max<std::uint32_t>(capacity / 4, 1)) - 1) {
        const std::size_t bytes = (std::size_t{mask_} + 1) * sizeof(bucket);
        // calloc's zero pages are an empty table, and stay untouched until they are used.
        memory_.reset(std::calloc(std::size_t{mask_} + 2, sizeof(bucket)));
        PANTALA_ASSERT(memory_ != nullptr);
        void* start = memory_.get();
        std::size_t space = bytes + sizeof(bucket);
        table_ = static_cast<bucket*>(std::align(alignof(bucket), bytes, start, space));
        PANTALA_ASSERT(table_ != nullptr);
        entries_max_ = (mask_ + 1) * entries;
    }

    void prefetch(std::uint64_t hash) const { __builtin_prefetch(&table_[home(hash)]); }

    // The first id in the home bucket whose tag fits, unconfirmed: for prefetching its record.
    std::uint32_t peek(std::uint64_t hash) const {
        const bucket& line = table_[home(hash)];
        const unsigned hits = matches(line, tag(hash));
        return hits == 0 ? no_id : line.id[std::countr_zero(hits)];
    }

    // The id under `hash` that `is_it` accepts, or no_id.
    template <class Predicate>
    std::uint32_t find(std::uint64_t hash, Predicate&& is_it) const {
        std::uint32_t at = home(hash);
        for (std::uint32_t probes = 0; probes <= mask_; ++probes, at = (at + 1) & mask_) {
            const bucket& line = table_[at];
            for (unsigned hits = matches(line, tag(hash)); hits != 0; hits &= hits - 1) {
                const std::uint32_t id = line.id[std::countr_zero(hits)];
                if (is_it(id)) {
                    return id;
                }
            }
            if (line.passed == 0) {
                break;
            }
        }
        return no_id;
    }

    // False only if the table is full beyond its capacity.
    bool insert(std::uint64_t hash, std::uint32_t id) {
        if (size_ == entries_max_) {
            return false;
        }
        std::uint32_t at = home(hash);
        while (table_[at].used == full_mask) {
            ++table_[at].passed;
            at = (at + 1) & mask_;
        }
        bucket& line = table_[at];
        const auto slot = static_cast<unsigned>(std::countr_one(line.used));
        line.tag[slot] = tag(hash);
        line.id[slot] = id;
        line.used |= 1U << slot;
        ++size_;
        return true;
    }

    // The entry must be there.
    void erase(std::uint64_t hash, std::uint32_t id) {
        std::uint32_t at = home(hash);
        for (std::uint32_t probes = 0; probes <= mask_; ++probes) {
            bucket& line = table_[at];
            for (unsigned hits = matches(line, tag(hash)); hits != 0; hits &= hits - 1) {
                const auto slot = static_cast<unsigned>(std::countr_zero(hits));
                if (line.id[slot] == id) {
                    line.used &= ~(1U << slot);
                    --size_;
                    return;
                }
            }
            PANTALA_ASSERT(line.passed > 0);
            --line.passed;
            at = (at + 1) & mask_;
        }
        PANTALA_ASSERT(!"erased a flow that is not in the table");
    }

    std::uint32_t size() const { return size_; }

  private:
    static constexpr unsigned entries = 7;
    static constexpr std::uint32_t full_mask = (1U << entries) - 1;

    struct alignas(64) bucket {
        std::array<std::uint32_t, entries> tag;
        std::uint32_t used; // bit i: entry i is taken
        std::array<std::uint32_t, entries> id;
        std::uint32_t passed; // entries whose home is here or before and that lie beyond
    };
    static_assert(sizeof(bucket) == 64);

    std::uint32_t home(std::uint64_t hash) const {
        return static_cast<std::uint32_t>(hash) & mask_;
    }
    static std::uint32_t tag(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32); }
    static unsigned matches(const bucket& line, std::uint32_t wanted) {
        unsigned hits = 0;
        for (unsigned i = 0; i < entries; ++i) {
            hits |= static_cast<unsigned>(line.tag[i] == wanted) << i;
        }
        return hits & line.used;
    }

    std::uint32_t mask_;
    std::uint32_t size_ = 0;
    std::uint32_t entries_max_ = 0;
    std::unique_ptr<void, free_deleter> memory_;
    bucket* table_ = nullptr;
};

} // namespace pantala::tcp
