// Says unasked where our IPv6 addresses are (RFC 4861 7.2.6): after a link came up, after the
// interface got another MAC, and for every address that has become ours; three times
// (MAX_NEIGHBOR_ADVERTISEMENT), a second apart (RETRANS_TIMER), with the override flag, so that who
// knew another link address takes the new one at once. Nothing is said of an address that somebody
// else may have: tentative and duplicate ones. Owner: worker 0.
#pragma once

#include "engine/base/clock.hpp"
#include "stack/ether/nd/nd_context.hpp"

#include <array>
#include <cstdint>
#include <memory>

namespace pantala {

class nd_announcer {
  public:
    static constexpr std::uint64_t interval_ns = 1 * ns_per_s;
    static constexpr std::uint8_t announcements = 3;

    explicit nd_announcer(nd_context& nd)
        : nd_(nd), pending_(std::make_unique<std::array<pending, ifaces_max>>()) {}

    // The interface's record was written: what is new on it is announced, what is gone is not.
    void changed(iface_id id, const iface& before, instant now);
    void expire(instant now);
    instant next_deadline() const { return next_; }

  private:
    struct pending {
        std::array<std::uint8_t, iface_addresses_max> left{}; // still to be made, by address
        instant due = instant::never();
    };

    nd_context& nd_;
    std::unique_ptr<std::array<pending, ifaces_max>> pending_;
    instant next_ = instant::never();
};

} // namespace pantala
