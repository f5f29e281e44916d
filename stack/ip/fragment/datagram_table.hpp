// Datagrams whose fragments are still arriving, of either family. Bounded in every direction; a
// datagram whose fragments overlap or contradict each other is given up as a whole, as RFC 5722 has
// it for IPv6 (an exact repetition of a fragment is only dropped). Owner: one worker.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/base/intrusive_list.hpp"
#include "engine/drop.hpp"
#include "engine/mbuf_burst.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

namespace pantala {

inline constexpr unsigned reassembly_datagrams_max = 256;
inline constexpr unsigned reassembly_fragments_max = 64; // of a datagram
inline constexpr unsigned reassembly_mbufs_max = 2048;   // held altogether

// What the deaths of fragments are called in a family.
struct reassembly_reasons {
    drop_reason timeout;
    drop_reason overlap;
    drop_reason full;
};

struct fragment_place {
    std::uint32_t offset; // of its data in the datagram's
    std::uint32_t bytes;  // not 0
    bool more;            // it is not the last
};

// Key: what the fragments of a datagram have in common, with a hash().
template <class Key>
class datagram_table {
  public:
    struct piece {
        std::uint32_t offset = 0;
        std::uint32_t end = 0;
        rte_mbuf* packet = nullptr;
    };
    struct datagram : list_hook<> {
        Key key;
        datagram* hash_next = nullptr;
        instant started{};
        std::uint32_t received = 0; // bytes
        std::uint32_t total = 0;    // bytes; 0: the last fragment is not here yet
        std::uint16_t count = 0;
        std::array<piece, reassembly_fragments_max> pieces; // by offset
    };

    datagram_table(drop_sink& drops, const reassembly_reasons& reasons, std::uint64_t life_ns)
        : drops_(drops), reasons_(reasons), life_ns_(life_ns),
          datagrams_(std::make_unique<datagram[]>(reassembly_datagrams_max)) {
        for (unsigned i = 0; i < reassembly_datagrams_max; ++i) {
            datagrams_[i].hash_next = free_;
            free_ = &datagrams_[i];
        }
    }
    ~datagram_table() {
        while (!oldest_first_.empty()) {
            give_up(oldest_first_.front(), reasons_.timeout);
        }
    }
    datagram_table(const datagram_table&) = delete;
    datagram_table& operator=(const datagram_table&) = delete;

    // Takes a fragment. The datagram if this was the last piece missing: the caller takes its
    // packets and calls end(), or gives it up; else nullptr.
    datagram* add(const Key& key, rte_mbuf* fragment, const fragment_place& place, instant now) {
        datagram* whole = find(key);
        if (whole == nullptr) {
            whole = begin(key, now);
        }
        const std::uint32_t end_offset = place.offset + place.bytes;
        piece* const first = whole->pieces.data();
        piece* const last = first + whole->count;
        piece* at = std::find_if(
            first, last, [&](const piece& other) { return other.offset >= place.offset; });
        if (at != last && at->offset == place.offset && at->end == end_offset) {
            drops_.drop(fragment, reasons_.overlap); // a repetition
            return nullptr;
        }
        const bool overlaps = (at != last && at->offset < end_offset) ||
                              (at != first && (at - 1)->end > place.offset);
        const bool contradicts = place.more ? whole->total != 0 && end_offset >= whole->total
                                            : whole->total != 0 || at != last;
        if (overlaps || contradicts) {
            drops_.drop(fragment, reasons_.overlap);
            give_up(*whole, reasons_.overlap);
            return nullptr;
        }
        if (mbufs_ >= reassembly_mbufs_max && &oldest_first_.front() != whole) {
            give_up(oldest_first_.front(), reasons_.full);
        }
        if (whole->count == reassembly_fragments_max || mbufs_ >= reassembly_mbufs_max) {
            drops_.drop(fragment, reasons_.full);
            give_up(*whole, reasons_.full);
            return nullptr;
        }
        std::copy_backward(at, last, last + 1);
        *at = {place.offset, end_offset, fragment};
        ++whole->count;
        ++mbufs_;
        whole->received += place.bytes;
        if (!place.more) {
            whole->total = end_offset;
        }
        return whole->total != 0 && whole->received == whole->total ? whole : nullptr;
    }

    // Of all pieces together, as one mbuf chain.
    static unsigned segments(const datagram& which) {
        unsigned sum = 0;
        for (unsigned i = 0; i < which.count; ++i) {
            sum += which.pieces[i].packet->nb_segs;
        }
        return sum;
    }

    // Off all lists; its packets went elsewhere.
    void end(datagram& which) {
        datagram** link = &bucket(which.key);
        while (*link != &which) {
            link = &(*link)->hash_next;
        }
        *link = which.hash_next;
        intrusive_list<datagram>::remove(which);
        which.hash_next = free_;
        free_ = &which;
        --waiting_;
        mbufs_ -= which.count;
    }

    // Drops its packets, but for `spared`.
    void give_up(datagram& which, drop_reason reason, rte_mbuf* spared = nullptr) {
        for (unsigned i = 0; i < which.count; ++i) {
            if (which.pieces[i].packet != spared) {
                drops_.drop(which.pieces[i].packet, reason);
            }
        }
        end(which);
    }

    // Gives up what has waited too long, at most `budget` datagrams. First fragments of these go to
    // `late` until it is full.
    void expire(instant now, unsigned budget, mbuf_burst& late) {
        for (; budget > 0 && next_deadline() <= now; --budget) {
            datagram& oldest = oldest_first_.front();
            rte_mbuf* first = nullptr;
            if (oldest.count > 0 && oldest.pieces[0].offset == 0 && !late.full()) {
                first = oldest.pieces[0].packet;
                late.push(first);
            }
            give_up(oldest, reasons_.timeout, first);
        }
    }
    instant next_deadline() const {
        auto& list = const_cast<intrusive_list<datagram>&>(oldest_first_);
        return list.empty() ? instant::never() : list.front().started + life_ns_;
    }

    unsigned waiting() const { return waiting_; }
    unsigned mbufs() const { return mbufs_; }

  private:
    datagram*& bucket(const Key& key) { return buckets_[key.hash() % buckets_.size()]; }
    datagram* find(const Key& key) {
        datagram* at = bucket(key);
        while (at != nullptr && at->key != key) {
            at = at->hash_next;
        }
        return at;
    }
    datagram* begin(const Key& key, instant now) {
        if (free_ == nullptr) {
            // The oldest makes room, as in add(): a flood of fragments must not lock others out.
            give_up(oldest_first_.front(), reasons_.full);
        }
        datagram* fresh = free_;
        free_ = fresh->hash_next;
        fresh->key = key;
        fresh->started = now;
        fresh->received = 0;
        fresh->total = 0;
        fresh->count = 0;
        fresh->hash_next = bucket(key);
        bucket(key) = fresh;
        oldest_first_.push_back(*fresh);
        ++waiting_;
        return fresh;
    }

    drop_sink& drops_;
    reassembly_reasons reasons_;
    std::uint64_t life_ns_;
    std::unique_ptr<datagram[]> datagrams_;
    std::array<datagram*, 256> buckets_{};
    intrusive_list<datagram> oldest_first_;
    datagram* free_ = nullptr;
    unsigned waiting_ = 0;
    unsigned mbufs_ = 0;
};

} // namespace pantala
