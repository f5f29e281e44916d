#include "stack/route/route_log.hpp"

#include <algorithm>

namespace pantala {

route_log::route_log(std::size_t words)
    : mask_(words - 1), ring_(std::make_unique<std::uint64_t[]>(words)) {
    PANTALA_ASSERT((words & mask_) == 0 && words >= 4096);
}

std::uint64_t route_log::slowest() const {
    std::uint64_t least = written_;
    for (const route_cursor& reader : cursors_) {
        if (reader.attached.load(std::memory_order_relaxed)) {
            least = std::min(least, reader.words.load(std::memory_order_acquire));
        }
    }
    return least;
}

std::size_t route_log::room() {
    return capacity_words() - static_cast<std::size_t>(written_ - slowest());
}

void route_log::append(route_entry_header header, const void* body) {
    PANTALA_DCHECK(header.words >= 1 && header.words <= route_entry_words_max);
    const std::size_t left = capacity_words() - (written_ & mask_);
    if (left < header.words) {
        const route_entry_header pad{static_cast<std::uint16_t>(left), route_op::pad, 0, 0};
        ring_[written_ & mask_] = std::bit_cast<std::uint64_t>(pad);
        written_ += left;
    }
    std::uint64_t* entry = &ring_[written_ & mask_];
    *entry = std::bit_cast<std::uint64_t>(header);
    std::memcpy(entry + 1, body, (header.words - 1U) * sizeof(std::uint64_t));
    written_ += header.words;
    ++entries_;
}

void route_log::append_raw(const std::uint64_t* entry) {
    const route_entry_header header = header_of(entry);
    append(header, entry + 1);
}

int route_log::attach() {
    const auto free = std::find(taken_.begin(), taken_.end(), false);
    if (free == taken_.end()) {
        return -1;
    }
    *free = true;
    const auto reader = static_cast<unsigned>(free - taken_.begin());
    cursors_[reader].state.store(reader_state::at_rest, std::memory_order_relaxed);
    reattach(reader);
    return static_cast<int>(reader);
}

bool route_log::detach_at_rest(unsigned reader) {
    std::atomic<reader_state>& state = cursors_[reader].state;
    for (const reader_state from : {reader_state::at_rest, reader_state::imaged}) {
        reader_state expected = from; // acquire; partner: the reader's release of at_rest
        if (state.compare_exchange_strong(
                expected, reader_state::detached, std::memory_order_acq_rel,
                std::memory_order_relaxed)) {
            cursors_[reader].attached.store(false, std::memory_order_relaxed);
            return true;
        }
    }
    return false;
}

void route_log::reattach(unsigned reader, route_image& with) {
    reattach(reader);
    cursors_[reader].image = &with;
    cursors_[reader].state.store(reader_state::imaged, std::memory_order_release);
}

void route_log::reattach(unsigned reader) {
    cursors_[reader].words.store(written_, std::memory_order_relaxed);
    cursors_[reader].attached.store(true, std::memory_order_release);
}

} // namespace pantala
