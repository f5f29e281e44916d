#include "stack/route/rib/route_writer.hpp"

namespace pantala {

bool route_writer::fits(unsigned words) {
    const std::size_t needed = words + route_entry_words_max; // the end of the ring may be padded
    if (credit_words_ < needed) {
        log_.publish(); // so that the readers can make room
        credit_words_ = log_.room();
    }
    if (credit_words_ < needed) {
        return false;
    }
    credit_words_ -= needed;
    return true;
}

void route_writer::write(route_entry_header header, const void* body) {
    ++generation_;
    if (!waiting() && fits(header.words)) {
        log_.append(header, body);
        return;
    }
    const std::size_t at = backlog_.size();
    backlog_.resize(at + header.words);
    backlog_[at] = std::bit_cast<std::uint64_t>(header);
    std::memcpy(&backlog_[at] + 1, body, (header.words - 1U) * sizeof(std::uint64_t));
}

bool route_writer::flush() {
    while (waiting()) {
        const route_entry_header header = header_of(&backlog_[next_]);
        if (!fits(header.words)) {
            break;
        }
        log_.append_raw(&backlog_[next_]);
        next_ += header.words;
    }
    if (next_ > backlog_.size() / 2) { // amortized: each word moves at most once more
        backlog_.erase(backlog_.begin(), backlog_.begin() + static_cast<std::ptrdiff_t>(next_));
        next_ = 0;
    }
    log_.publish();
    return !waiting();
}

} // namespace pantala
