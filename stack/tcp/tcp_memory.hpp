// What the connections of a worker hold, so that no peer, no listener and not all of them together
// hold more than they may: packet buffers and connections. A peer is an IPv4 address or an IPv6
// /64; peers are found by a keyed hash, and those that meet in one account share its limits. Until
// it is accepted a connection's buffers count on its listener, then on its peer.
//
// Half of the buffers are for receiving (data not read, early segments) and half for sending (data
// not acknowledged): else two hosts that send to each other could both have no room for what
// arrives. Of each half an account may take no more than is left for all others (dynamic
// thresholds; docs/decisions/0055): alone half, the next half of the rest, and so on. Early
// segments may take half of that, because they can be had again.
//
// What happens at the limits: the application can send no more and hears `writable` when there is
// room again; early segments are dropped, in-order ones once the connection's own early ones are
// gone (RFC 2018 section 8 allows to discard those), so peers send again. Where less than a quarter
// is left memory is short: early segments of all connections go, a few connections a round, buffers
// do not grow, orphans end that wait for their peer, and a peer that keeps its window closed while
// it holds more than is left loses connections (RFC 6429). Owner: the worker.
#pragma once

#include "engine/base/siphash.hpp"
#include "stack/wire/flow.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace pantala::tcp {

enum class memory_use : std::uint8_t { receive, send };

// Packet buffers that may be held for each use; each number at least 1.
struct memory_limits {
    std::uint32_t all;
    std::uint32_t peer;
    std::uint32_t listener;
};

class memory_ledger {
  public:
    static constexpr std::uint32_t peers = 4'096;

    // `listeners`: how many there may be at once, 61,440 at most.
    memory_ledger(const memory_limits& limits, std::uint32_t listeners, siphash_key key);

    // The account of a peer, and that of a listener.
    std::uint16_t account_of(const ip_address& peer) const;
    std::uint16_t account_of_listener(std::uint32_t id) const {
        return static_cast<std::uint16_t>(peers + id);
    }

    bool has_room(memory_use use, std::uint16_t account) const {
        return held_by(use, account) < may_hold(use, account);
    }
    // For a segment that came early.
    bool has_room_early(std::uint16_t account) const {
        return held_by(memory_use::receive, account) < may_hold(memory_use::receive, account) / 2;
    }
    bool is_short(memory_use use) const { return left(use) <= limits_.all / 4; }
    // Does it hold more than is left for all others?
    bool is_greedy(memory_use use, std::uint16_t account) const {
        return held_by(use, account) > left(use);
    }
    void hold(memory_use use, std::uint16_t account) {
        ++held_[index(use)];
        ++accounts_[account].buffers[index(use)];
    }
    void let_go(memory_use use, std::uint16_t account, std::uint32_t count = 1) {
        held_[index(use)] -= count;
        accounts_[account].buffers[index(use)] -= count;
        freed_ = freed_ || use == memory_use::send;
    }
    void move(memory_use use, std::uint16_t from, std::uint16_t to, std::uint32_t count) {
        accounts_[from].buffers[index(use)] -= count;
        accounts_[to].buffers[index(use)] += count;
    }
    std::uint32_t held() const { return held_[0] + held_[1]; }
    std::uint32_t held_by(memory_use use, std::uint16_t account) const {
        return accounts_[account].buffers[index(use)];
    }
    std::uint32_t left(memory_use use) const { return limits_.all - held_[index(use)]; }
    // Was anything for sending let go since this was last asked?
    bool take_freed() {
        const bool freed = freed_;
        freed_ = false;
        return freed;
    }

    // Connections of the peer.
    std::uint32_t& conns(std::uint16_t account) { return accounts_[account].conns; }

  private:
    struct entry {
        std::array<std::uint32_t, 2> buffers{};
        std::uint32_t conns = 0;
    };

    static constexpr unsigned index(memory_use use) { return static_cast<unsigned>(use); }
    std::uint32_t may_hold(memory_use use, std::uint16_t account) const {
        return std::min(account < peers ? limits_.peer : limits_.listener, left(use));
    }

    memory_limits limits_;
    std::array<std::uint32_t, 2> held_{};
    bool freed_ = false;
    siphash_key key_;
    std::vector<entry> accounts_;
};

} // namespace pantala::tcp
