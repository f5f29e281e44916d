// The route log: one totally ordered stream of writes from control to every worker.
//
// One writer (control) and up to workers_max readers, each with its own cursor; an entry is written
// once and read by all. Lossless by credit: the writer never overruns an attached reader; it asks
// room() first and keeps what does not fit (rib.hpp has the backlog). A reader that does not read
// is detached (rib::mind_workers): the writer goes on without it, and it takes a fresh image when
// it comes back. reader_state says who may do what: a reader in the middle of reading is never
// overrun.
//
// The ring holds 64-bit words. An entry is a header and a body, never wrapped (a pad entry fills
// the end of the ring), so a reader uses it in place. `head_` is published once a batch with
// release; its partner is the acquire in route_reader::available. A reader's `cursor` is published
// with release after the entries were applied; its partner is the acquire in room(). Entries are
// counted: the n-th entry ever takes every replica from generation n-1 to n.
#pragma once

#include "engine/base/cache_line.hpp"
#include "engine/base/check.hpp"
#include "engine/ids.hpp"

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

namespace pantala {

enum class route_op : std::uint8_t {
    pad,           // fills the end of the ring; not counted
    fib4_node,     // body: arena unit, node words; then dir[index] = unit
    fib4_dir,      // body: arena unit; dir[index] = unit
    fib4_swap,     // body: fib4_image*[workers_max]; a reader swaps its image with its slot
    fib6_lines,    // index: first line; body: lines of 8 words
    fib6_word,     // index: word; body: its value
    fib6_swap,     // as fib4_swap, of fib6_images
    nexthop_write, // index: nexthop_id; body: nexthop
    group_write,   // index: first bucket; body: count, then nexthop_ids
    iface_write,   // index: iface_id; body: iface
    mark,          // nothing; moves the generation on
};

struct route_entry_header {
    std::uint16_t words = 1; // with this header
    route_op op = route_op::pad;
    std::uint8_t table = 0;
    std::uint32_t index = 0;
};
static_assert(sizeof(route_entry_header) == 8);

// The header that an entry begins with.
inline route_entry_header header_of(const std::uint64_t* entry) {
    return std::bit_cast<route_entry_header>(*entry);
}

inline constexpr unsigned route_entry_words_max = 128;                       // a word is 8 bytes
inline constexpr std::size_t route_log_words_default = std::size_t{1} << 19; // 4 MiB

// Each change is made by the side that is named, by compare and exchange where both might. What
// acquires a state sees what was done before it was released.
enum class reader_state : std::uint8_t {
    at_rest,  // the reader: it reads nothing of the ring
    reading,  // the reader, from at_rest or imaged: entries are being applied
    detached, // the writer, from at_rest or imaged: the ring goes over what was not read
    returned, // the reader, from detached: it wants an image
    imaged,   // the writer, from returned: `image` is there, and the ring is kept again
};

struct route_image; // replica.hpp

// A reader's side. Owner: its worker, but for what is marked.
struct alignas(sharing_range_bytes) route_cursor {
    std::atomic<std::uint64_t> words{0};      // read so far; worker writes, control reads
    std::atomic<std::uint64_t> generation{0}; // replica's; worker writes, anybody reads
    std::atomic<bool> attached{false};        // control writes: the writer waits for this reader
    std::atomic<reader_state> state{reader_state::at_rest};
    route_image* image = nullptr; // control writes, while `returned`
};

class route_log {
  public:
    // `words` is a power of two, at least 4096.
    explicit route_log(std::size_t words = route_log_words_default);
    route_log(const route_log&) = delete;
    route_log& operator=(const route_log&) = delete;

    // --- control ---

    // Words that may be appended now without overrunning an attached reader.
    std::size_t room();
    // Appends one entry; the caller has seen room() >= words + route_entry_words_max. Readers see
    // it after publish(). The body is copied. Returns where it lies, until the next append.
    void append(route_entry_header header, const void* body);
    // Appends entries that lie end to end in `words`, as append() would.
    void append_raw(const std::uint64_t* entry);
    void publish() { head_.store(written_, std::memory_order_release); }

    std::uint64_t entries() const { return entries_; } // appended so far: the log's generation
    std::uint64_t words_written() const { return written_; }

    // Takes a free reader slot that starts at the present end; -1: none free.
    int attach();
    // Waits no more for a reader that is not reading just now; false: it is. The slot stays taken.
    bool detach_at_rest(unsigned reader);
    // Waits for it no more; it has stopped. The slot stays taken until release().
    void detach(unsigned reader) { cursors_[reader].attached.store(false); }
    void release(unsigned reader) {
        detach(reader);
        taken_[reader] = false;
    }
    // Moves a reader (detached, or not running) to the present end and waits for it again.
    void reattach(unsigned reader);
    // The same for one that has returned, and gives it an image.
    void reattach(unsigned reader, route_image& with);
    reader_state state(unsigned reader) const {
        return cursors_[reader].state.load(std::memory_order_acquire);
    }
    bool attached(unsigned reader) const { return cursors_[reader].attached.load(); }
    // The slowest attached reader's position in words; words_written() where there is none.
    std::uint64_t slowest() const;

    // --- any thread ---
    std::uint64_t generation(unsigned reader) const {
        return cursors_[reader].generation.load(std::memory_order_acquire);
    }

    // --- a reader, its own slot only ---
    route_cursor& cursor(unsigned reader) { return cursors_[reader]; }
    std::uint64_t head() const { return head_.load(std::memory_order_acquire); }
    const std::uint64_t* at(std::uint64_t position) const { return &ring_[position & mask_]; }
    std::size_t capacity_words() const { return mask_ + 1; }

  private:
    std::size_t mask_;
    std::unique_ptr<std::uint64_t[]> ring_;
    std::uint64_t written_ = 0; // words
    std::uint64_t entries_ = 0;
    std::array<bool, workers_max> taken_{};
    alignas(sharing_range_bytes) std::atomic<std::uint64_t> head_{0};
    std::array<route_cursor, workers_max> cursors_;
};

} // namespace pantala
