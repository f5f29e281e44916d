// How a call of a script blocks.
#pragma once

#include "tests/packetdrill/script_sockets.hpp"

namespace pantala::packetdrill {

// True: `ready` came true; false: the time is up, or nothing will ever happen. The script's second
// thread sleeps until the first one has moved something; the first moves the clock itself, for
// nobody else would.
template <class Ready>
bool script_sockets::wait(guard& hold, std::uint64_t until_us, Ready ready) {
    if (std::this_thread::get_id() == main_) {
        while (!ready() && host_.advance_to_next(until_us)) {
        }
        return ready();
    }
    waiting_ = true;
    while (!ready() && host_.now_us() < until_us) {
        shall_look_ = false;
        looked_.notify_all();
        changed_.wait(hold, [this] { return shall_look_; });
    }
    waiting_ = false;
    frozen_us_ = host_.now_us();
    shall_look_ = false;
    looked_.notify_all();
    return ready();
}

} // namespace pantala::packetdrill
