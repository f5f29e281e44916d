#include "tests/sim/stream.hpp"

#include "stack/tcp/tcp_host.hpp"

#include <algorithm>
#include <vector>

namespace pantala::sim {

void stream::told(const tcp::event& event) {
    connected_ = connected_ || (event.events & tcp::conn_event::connected) != 0;
    if ((event.events & tcp::conn_event::closed) != 0 && event.error != tcp::conn_error::none) {
        error_ = event.error;
    }
}

void stream::read() {
    std::uint32_t left = how_.read_max;
    for (auto piece = tcp::peek(host_, handle_); !piece.empty() && left > 0;
         piece = tcp::peek(host_, handle_)) {
        const std::size_t here = std::min<std::size_t>(piece.size(), left);
        for (std::size_t i = 0; i < here; ++i) {
            const auto got = static_cast<std::uint8_t>(piece[i]);
            if (got != stream_byte(how_.expect_seed, received_ + i) && fault_.empty()) {
                fault_ = "wrong byte at " + std::to_string(received_ + i);
            }
        }
        received_ += here;
        left -= static_cast<std::uint32_t>(here);
        tcp::consume(host_, handle_, here);
    }
    if (received_ > how_.expect_bytes && fault_.empty()) {
        fault_ = "more bytes than were sent";
    }
    if (!saw_end_ && tcp::at_end(host_, handle_)) {
        saw_end_ = true;
        if (received_ != how_.expect_bytes && error_ == tcp::conn_error::none && fault_.empty()) {
            fault_ = "the stream ended after " + std::to_string(received_) + " bytes";
        }
    }
}

void stream::write() {
    while (sent_ < how_.send_bytes) {
        std::vector<std::byte> piece(
            std::min<std::uint64_t>(how_.send_bytes - sent_, 1 + random_.below(how_.piece_max)));
        for (std::size_t i = 0; i < piece.size(); ++i) {
            piece[i] = static_cast<std::byte>(stream_byte(how_.send_seed, sent_ + i));
        }
        const std::size_t taken = tcp::send(host_, handle_, piece);
        sent_ += taken;
        if (taken < piece.size()) {
            break;
        }
    }
}

void stream::finish() {
    // A close before the handshake is over would drop everything (RFC 9293 3.10.4, SYN-SENT).
    const bool done = connected_ && sent_ == how_.send_bytes;
    if (!done && error_ == tcp::conn_error::none) {
        return;
    }
    if (!shut_) {
        shut_ = true;
        tcp::shutdown_send(host_, handle_);
    }
    const bool may_close = saw_end_ || error_ != tcp::conn_error::none ||
                           (how_.close_at_once && how_.expect_bytes == received_);
    if (may_close) {
        let_go_ = true;
        tcp::close(host_, handle_);
    }
}

bool stream::restless() const {
    if (let_go_ || host_.find(handle_) == nullptr) {
        return false;
    }
    const bool unread = tcp::readable_bytes(host_, handle_) > 0;
    const bool unsent = sent_ < how_.send_bytes && tcp::send_room(host_, handle_) > 0;
    const bool end_unseen = !saw_end_ && tcp::at_end(host_, handle_);
    const bool over = saw_end_ || error_ != tcp::conn_error::none ||
                      (connected_ && sent_ == how_.send_bytes && !shut_);
    return unread || unsent || end_unseen || over;
}

void stream::run() {
    if (let_go_ || host_.find(handle_) == nullptr ||
        (how_.lazy_ppm > 0 && random_.below(1'000'000) < how_.lazy_ppm)) {
        return;
    }
    read();
    write();
    finish();
}

} // namespace pantala::sim
