// Reads and writes of one log on a mapped bus (format: bus_layout.hpp). Pure: no system call, no
// DPDK, no clock. Hot.
//
// Who orders what:
//   head     stored with release by the owner after the frames below it; readers load it with
//            acquire, so what lies below it is whole.
//   reserve  stored by the owner before it overwrites what lies below reserve - log_bytes, with a
//            release fence between; a reader copies first, then an acquire fence, then loads
//            reserve: if the store had begun to spoil what was copied, the reader sees it.
#pragma once

#include "pmd/bus_layout.hpp"

#include <cstring>

namespace pantala::bus {

// Copies `bytes` bytes without ever touching one outside: whole vectors, then one that overlaps.
inline void copy_frame(std::uint8_t* to, const std::uint8_t* from, std::uint32_t bytes) {
    if (bytes >= 64) {
        std::uint32_t at = 0;
        for (; at + 64 <= bytes; at += 64) {
            std::memcpy(to + at, from + at, 64);
        }
        if (at != bytes) {
            std::memcpy(to + bytes - 64, from + bytes - 64, 64);
        }
    } else if (bytes >= 32) {
        std::memcpy(to, from, 32);
        std::memcpy(to + bytes - 32, from + bytes - 32, 32);
    } else if (bytes >= 16) {
        std::memcpy(to, from, 16);
        std::memcpy(to + bytes - 16, from + bytes - 16, 16);
    } else {
        for (std::uint32_t at = 0; at < bytes; ++at) {
            to[at] = from[at];
        }
    }
}

// The owner's end of a log. Everything it decides by is private; the control block is only written.
class log_writer {
  public:
    log_writer() = default;

    // A log of `log_bytes` (a power of two, at least log_bytes_min) at `data`. Marks the log as
    // belonging to `incarnation`, empty. Owner only, before the node is announced as started.
    void start(
        log_control& control, std::uint8_t* data, std::uint64_t log_bytes,
        std::uint32_t incarnation) {
        control_ = &control;
        data_ = data;
        mask_ = log_bytes - 1;
        chunk_bytes_ = log_bytes / chunks_per_log;
        next_ = 0;
        reserve_ = chunk_bytes_;
        sequence_ = 0;
        tag_ = static_cast<std::uint16_t>(incarnation);
        control.incarnation.store(0, std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_release); // with log_reader::intact
        control.head.store(0, std::memory_order_relaxed);
        control.reserve.store(reserve_, std::memory_order_relaxed);
        control.incarnation.store(incarnation, std::memory_order_release);
    }

    // True if the next record of `bytes` lies in the chunk that is already reserved.
    bool fits(std::uint64_t bytes) const { return next_ + bytes <= reserve_; }

    // Position below which readers must have read before enter_chunk() spoils nothing of theirs.
    std::uint64_t spoils_below() const { return reserve_ + chunk_bytes_ - (mask_ + 1); }
    bool spoils_anything() const { return reserve_ + chunk_bytes_ > mask_ + 1; }

    // Closes the current chunk with a pad record and reserves the next one. Once a chunk.
    void enter_chunk() {
        if (next_ != reserve_) {
            record_header pad{};
            pad.length = static_cast<std::uint32_t>(reserve_ - next_);
            pad.flags = record_flag::pad;
            pad.tag = tag_;
            std::memcpy(data_ + (next_ & mask_), &pad, sizeof pad);
            next_ = reserve_;
        }
        reserve_ += chunk_bytes_;
        control_->reserve.store(reserve_, std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_release); // with log_reader::intact
    }

    // Writes the header of a record of record_bytes(header.length), for which fits() holds, and
    // returns where its frame goes. Nobody sees it before publish().
    //
    // Word by word out of registers: one wide copy of a struct that was just put together by narrow
    // stores would wait for them to leave the store buffer, behind the log's own stores.
    std::uint8_t* append(const record_header& header) {
        std::uint8_t* const record = data_ + (next_ & mask_);
        const std::uint64_t words[4] = {
            header.length | std::uint64_t{header.flags} << 32 | std::uint64_t{tag_} << 48,
            header.hash | std::uint64_t{sequence_++} << 32, header.time_ns, std::uint64_t{0}};
        for (unsigned i = 0; i < 4; ++i) {
            std::memcpy(record + 8 * i, &words[i], sizeof words[i]);
        }
        next_ += record_bytes(header.length);
        return record + sizeof header;
    }

    // Readers may now see all that was appended. Once a burst.
    void publish() {
        control_->head.store(next_, std::memory_order_release); // with log_reader::look
    }

    std::uint64_t position() const { return next_; }
    std::uint64_t log_bytes() const { return mask_ + 1; }

  private:
    log_control* control_ = nullptr;
    std::uint8_t* data_ = nullptr;
    std::uint64_t mask_ = 0;
    std::uint64_t chunk_bytes_ = 0;
    std::uint64_t next_ = 0;    // where the next record goes
    std::uint64_t reserve_ = 0; // end of the chunk that next_ lies in
    std::uint32_t sequence_ = 0;
    std::uint16_t tag_ = 0;
};

// How far ahead of the cursor a reader fetches lines that were published (bus_bench, 64-byte frames
// between near cores: 256 to 1024 bytes within the noise of each other, 3 % above none; far: 10 %).
inline constexpr std::uint64_t prefetch_bytes = 1024;

// Pad records in a row that a reader follows.
inline constexpr unsigned pads_max = 4;

enum class next_record : std::uint8_t {
    frame,   // `header` is checked, `frame` points at header.length bytes inside the log
    none,    // no further record below the head
    garbage, // what lies there is no record: overrun or a hostile writer
};

// A reader's end of a log. It writes nothing.
class log_reader {
  public:
    log_reader() = default;

    // Reads the log of `incarnation` from its beginning. The arguments are checked geometry.
    log_reader(
        const log_control& control, const std::uint8_t* data, std::uint64_t log_bytes,
        std::uint32_t incarnation)
        : control_(&control), data_(data), mask_(log_bytes - 1), incarnation_(incarnation) {}

    // Skips what is there already: the next frame is the first one published from now on. Walks
    // at most two chunks of headers, to learn the sequence number. Not hot.
    void skip_to_head() {
        const std::uint64_t reserve = control_->reserve.load(std::memory_order_acquire);
        const std::uint64_t back = 2 * chunk_bytes();
        cursor_ = reserve > back ? (reserve - back) & ~(chunk_bytes() - 1) : 0;
        look();
        record_header header;
        const std::uint8_t* frame = nullptr;
        sequence_ = 0;
        sequence_known_ = cursor_ == 0;
        while (!lost() && next(header, frame) == next_record::frame) {
            gap(header.sequence);
        }
        cursor_ = head_ & ~std::uint64_t{record_align - 1};
    }

    // Reads from the beginning, or from the oldest that is still there; what is gone counts as
    // lost.
    void from_beginning() {
        const std::uint64_t reserve = control_->reserve.load(std::memory_order_acquire);
        cursor_ = reserve > mask_ + 1 ? (reserve - (mask_ + 1)) & ~(chunk_bytes() - 1) : 0;
        sequence_ = 0;
        sequence_known_ = true;
    }

    // Reads from the oldest that is still there; what is gone does not count as lost.
    void from_oldest() {
        from_beginning();
        sequence_known_ = cursor_ == 0;
    }

    // Takes over the writer's head; true if there is something to read. Once a burst.
    bool look() {
        head_ = control_->head.load(std::memory_order_acquire); // with log_writer::publish
        return head_ != cursor_;
    }
    // True if the head that look() found cannot be: overrun, or not our incarnation any more.
    bool lost() const { return head_ - cursor_ > mask_ + 1 || head_ % record_align != 0; }

    // The record at the cursor, copied out of the log and checked, and moves the cursor behind it.
    next_record next(record_header& header, const std::uint8_t*& frame) {
        // A writer ends a chunk with one pad record; two in a row stand for an unused chunk.
        for (unsigned pads = 0; cursor_ != head_; ++pads) {
            if (pads > pads_max) {
                return next_record::garbage;
            }
            const std::uint8_t* const record = data_ + (cursor_ & mask_);
            std::memcpy(&header, record, sizeof header);
            std::atomic_signal_fence(std::memory_order_acq_rel); // fetch once: it may change
            const std::uint64_t chunk_left = chunk_bytes() - (cursor_ & (chunk_bytes() - 1));
            const std::uint64_t limit = chunk_left < head_ - cursor_ ? chunk_left : head_ - cursor_;
            const bool pad = (header.flags & record_flag::pad) != 0;
            const std::uint64_t bytes = pad ? header.length : record_bytes(header.length);
            if (bytes > limit || bytes < sizeof header || bytes % record_align != 0 ||
                header.tag != static_cast<std::uint16_t>(incarnation_)) {
                return next_record::garbage;
            }
            cursor_ += bytes;
            if (head_ - cursor_ > prefetch_bytes) {
                __builtin_prefetch(data_ + ((cursor_ + prefetch_bytes) & mask_));
                __builtin_prefetch(data_ + ((cursor_ + prefetch_bytes + 64) & mask_));
            }
            if (!pad) {
                frame = record + sizeof header;
                return next_record::frame;
            }
        }
        return next_record::none;
    }

    // Frames that were lost before the one with this sequence number; takes note of it.
    std::uint32_t gap(std::uint32_t sequence) {
        const std::uint32_t missing = sequence_known_ ? sequence - sequence_ : 0;
        sequence_ = sequence + 1;
        sequence_known_ = true;
        return missing;
    }

    // Where the reader stands, to come back to if what it reads from there on turns out torn.
    struct place {
        std::uint64_t cursor = 0;
        std::uint32_t sequence = 0;
        bool sequence_known = false;
    };
    place here() const { return {cursor_, sequence_, sequence_known_}; }
    // As if nothing had been read since `before`: a torn record may have told any length and any
    // sequence number. The frames between there and the next one read count as missing then.
    void return_to(const place& before) {
        cursor_ = before.cursor;
        sequence_ = before.sequence;
        sequence_known_ = before.sequence_known;
    }

    // True if what was copied from `from` on was not being overwritten meanwhile. After copying.
    bool intact(std::uint64_t from) const {
        std::atomic_thread_fence(std::memory_order_acquire); // with log_writer::enter_chunk
        const std::uint64_t reserve = control_->reserve.load(std::memory_order_relaxed);
        return reserve - from <= mask_ + 1 && same_incarnation();
    }
    bool same_incarnation() const {
        return control_->incarnation.load(std::memory_order_relaxed) == incarnation_;
    }

    // After an overrun or garbage: goes on in the middle of what is still intact, at the beginning
    // of a chunk (in the middle, because the oldest would be overrun again at once).
    void resume() {
        const std::uint64_t reserve = control_->reserve.load(std::memory_order_relaxed);
        head_ = control_->head.load(std::memory_order_acquire);
        const std::uint64_t half = (mask_ + 1) / 2;
        const std::uint64_t middle = (reserve > half ? reserve - half : 0) & ~(chunk_bytes() - 1);
        const bool sane = head_ - middle <= mask_ + 1 && middle > cursor_;
        cursor_ = sane ? middle : head_ & ~std::uint64_t{record_align - 1};
        head_ = cursor_;
    }
    std::uint64_t cursor() const { return cursor_; }
    std::uint64_t head() const { return head_; }
    std::uint64_t log_bytes() const { return mask_ + 1; }
    std::uint32_t incarnation() const { return incarnation_; }

  private:
    std::uint64_t chunk_bytes() const { return (mask_ + 1) / chunks_per_log; }

    const log_control* control_ = nullptr;
    const std::uint8_t* data_ = nullptr;
    std::uint64_t mask_ = 0;
    std::uint64_t cursor_ = 0; // next record to read
    std::uint64_t head_ = 0;   // as look() found it
    std::uint32_t incarnation_ = 0;
    std::uint32_t sequence_ = 0;
    bool sequence_known_ = false;
};

} // namespace pantala::bus
