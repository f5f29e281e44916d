// The memory alarm: control tells every worker to give up what it keeps only because it might be of
// use, each by a message of its own. A worker that is at it, or was told in this very second, is
// passed over.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/netmsg.hpp"

#include <array>
#include <cstdint>

namespace pantala {

struct drain_message : netmsg {
    bool under_way = false; // control's
    bool told = false;
    std::uint64_t second = 0; // when it was told last
};

// The stack's: begins to drain and replies when that is done.
void drain_handler(netmsg& message, netmsg_endpoint& here);

// Owner: control. It outlives the workers.
class memory_alarm {
  public:
    // How many workers were told.
    unsigned raise(netmsg_endpoint& control, instant now) {
        const std::uint64_t second = now.ns / ns_per_s;
        unsigned told = 0;
        for (std::uint16_t w = 0; w < control.workers(); ++w) {
            drain_message& to = drains_[w];
            if (to.under_way || (to.told && to.second == second)) {
                continue;
            }
            to.handler = drain_handler;
            to.on_reply = [](netmsg& message, netmsg_endpoint&) {
                static_cast<drain_message&>(message).under_way = false;
            };
            to.under_way = true;
            to.told = true;
            to.second = second;
            control.send(w, to);
            ++told;
        }
        raised_ += told == 0 ? 0 : 1;
        return told;
    }
    std::uint64_t raised() const { return raised_; }

  private:
    std::array<drain_message, workers_max> drains_;
    std::uint64_t raised_ = 0;
};

} // namespace pantala
