// A TCP host in virtual time behind a device that packetdrill plays the other end of: raw IP in and
// out. The clock moves only when somebody moves it.
#pragma once

#include "tests/sim/network.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace pantala::packetdrill {

using bytes = std::vector<std::uint8_t>;

struct host_choice {
    tcp::persona persona = tcp::persona::linux_like;
    bool segmentation_offload = true; // as the kernel's device has it
    unsigned chunk_segments = 2;      // that leave as one large segment at most
    tcp::settings settings;
    ip_address local; // of active opens
    std::uint16_t mtu = 1500;
};

class virtual_host {
  public:
    explicit virtual_host(const host_choice& chosen);
    virtual_host(const virtual_host&) = delete;
    virtual_host& operator=(const virtual_host&) = delete;
    ~virtual_host();

    tcp::host& tcp() { return node_.host; }
    std::uint64_t now_us() const { return now_.ns / 1'000; }

    void inject(std::span<const std::uint8_t> packet);
    // Runs all that is due at this instant.
    void settle();
    // Up to that instant, with all that happens on the way.
    void advance_to(std::uint64_t us);
    // To the next thing that happens by itself, at most so far. False: nothing does.
    bool advance_to_next(std::uint64_t latest_us);

    struct sent_packet {
        packetdrill::bytes bytes;
        std::uint64_t at_us = 0;
    };
    std::deque<sent_packet> sent;
    // Runs behind each round, before the clock moves on.
    std::function<void()> after_round;

  private:
    void round();
    void collect();
    bool is_new(const bytes& packet);

    host_choice chosen_;
    instant now_{1'000 * ns_per_s};
    sim::node node_;
    mbuf_burst arrived_;
    std::uint32_t highest_sent_ = 0; // sequence number behind the last new byte
    bool any_sent_ = false;
};

} // namespace pantala::packetdrill
