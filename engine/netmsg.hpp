// netmsg: how lcores speak. In the way of DragonFly's netisr: a message carries the function that
// handles it, lives inside what it speaks of, belongs to its receiver until it is replied, and
// returns to its origin to be reused or freed. Verbs:
//
//   send      no answer is awaited; the handler ends with reply() or forward() (or the message
//             stays with the receiver, who then owes the reply)
//   call      wait for the reply; control only (a worker never waits)
//   forward   pass it on to another endpoint, still owned by its origin
//   reply     give it back: its `on_reply` runs at the origin
//   chain     pass it through worker 0, 1, ... n-1 and back: every worker in one total order;
//   sync      an empty message to every worker that is waited for: afterwards no worker still
//             handles what control sent before, so that an object may be freed
//
// Endpoints are the workers 0..n-1 and control, which is number n. Messages from one endpoint to
// another arrive in order and none is lost: where a lane is full the message waits in a list at its
// sender (flush tries again each round), so there is no spinning and no failure to handle. What is
// in flight is bounded by the number of messages that exist.
//
// A handler gets the context that its endpoint was made with (a worker's stack, control's own
// state). It never runs inside send, forward or reply, also not for a message to oneself; the one
// exception is control's call to control, which runs in place.
#pragma once

#include "engine/idle/doorbell.hpp"
#include "engine/ids.hpp"
#include "engine/mailbox.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace pantala {

struct netmsg;
class netmsg_endpoint;
class netmsg_fabric;

using netmsg_handler = void (*)(netmsg& message, netmsg_endpoint& here);

// Holder: exactly one endpoint at a time. The fields below `on_reply` are the fabric's.
struct netmsg {
    netmsg_handler handler = nullptr;  // runs at the receiver
    netmsg_handler on_reply = nullptr; // runs at the origin; nullptr: nothing to do there
    netmsg* next = nullptr;            // waiting at its sender
    std::uint16_t origin = 0;          // endpoint number; set by send and call
    bool replying = false;             // on its way back; set by reply
    bool awaited = false;              // somebody waits in call
};

// A message through every worker. `visit` may be nullptr; it neither forwards nor replies.
struct netmsg_chain : netmsg {
    using visitor = void (*)(netmsg_chain& message, netmsg_endpoint& here);
    visitor visit = nullptr;
};

// Once a round at its endpoint, if messages were handled in it: work that many of them share.
using netmsg_rollup = void (*)(netmsg_endpoint& here);

// At most this many messages are handled in a round; the rest wait for the next.
inline constexpr unsigned netmsg_round_max = 512;
inline constexpr unsigned netmsg_rollups_max = 8;
inline constexpr unsigned netmsg_endpoints_max = workers_max + 1;

// One endpoint's side of the fabric. Owner: its thread, for every function here except bell().
class netmsg_endpoint {
  public:
    netmsg_endpoint() = default;
    netmsg_endpoint(const netmsg_endpoint&) = delete;
    netmsg_endpoint& operator=(const netmsg_endpoint&) = delete;

    std::uint16_t number() const { return number_; } // worker_id, or workers() for control
    std::uint16_t workers() const { return workers_; }
    bool is_control() const { return number_ == workers_; }
    template <class T>
    T& context() const {
        return *static_cast<T*>(context_);
    }

    // A worker's sends become visible at once, but a sleeping receiver is woken by flush; control's
    // wake at once.
    void send(std::uint16_t to, netmsg& message);
    void forward(std::uint16_t to, netmsg& message);
    void reply(netmsg& message);
    void send_chain(netmsg_chain& message);

    // Control only, never from a handler. Other messages are handled while waiting. `on_reply` is
    // not run.
    void call(std::uint16_t to, netmsg& message);
    void call_chain(netmsg_chain& message);
    void sync();

    // Handles up to `limit` messages, then the rollups; returns how many. Cost with nothing
    // waiting: one relaxed read a peer.
    unsigned poll(unsigned limit = netmsg_round_max);
    // End of round: moves what waits here into the lanes that have room again, and wakes sleeping
    // receivers of what was sent since the last flush.
    void flush();
    // Is there anything to handle? Cost as poll with nothing waiting.
    bool has_messages() const;
    // Does something wait here for room in a lane? Then flush again within a millisecond or so.
    bool has_waiting() const { return any_waiting_; }

    // At most netmsg_rollups_max, before the endpoint runs.
    void add_rollup(netmsg_rollup rollup);
    // `to` was given something by other means than a message: flush wakes it.
    void touch(std::uint16_t to) { touched_[to] = true, any_touched_ = true; }
    doorbell& bell() { return *bell_; }

  private:
    friend class netmsg_fabric;

    struct waiting_list {
        netmsg* first = nullptr;
        netmsg* last = nullptr;
    };

    void post(std::uint16_t to, netmsg& message);
    void dispatch(netmsg& message);
    unsigned take(unsigned peer, unsigned limit);
    void retry(std::uint16_t to);
    void wait_for(const netmsg& message);

    std::uint16_t number_ = 0;
    std::uint16_t workers_ = 0;
    std::uint16_t next_peer_ = 0; // where the next poll begins: no peer starves another
    std::uint16_t rollup_count_ = 0;
    bool any_touched_ = false;
    bool any_waiting_ = false;
    bool in_handler_ = false;
    void* context_ = nullptr;
    netmsg_fabric* fabric_ = nullptr;
    std::unique_ptr<doorbell> bell_;
    std::array<netmsg_rollup, netmsg_rollups_max> rollups_{};
    std::array<mailbox_lane*, netmsg_endpoints_max> in_{};  // from each peer
    std::array<mailbox_lane*, netmsg_endpoints_max> out_{}; // to each peer
    std::array<netmsg_endpoint*, netmsg_endpoints_max> peers_{};
    std::array<waiting_list, netmsg_endpoints_max> waiting_{};
    std::array<bool, netmsg_endpoints_max> touched_{};
};

// All endpoints and the lanes between every two of them. Control makes it before the workers start
// and destroys it after they stopped.
class netmsg_fabric {
  public:
    explicit netmsg_fabric(unsigned workers, unsigned lane_capacity = lane_capacity_default);

    unsigned workers() const { return static_cast<unsigned>(endpoints_.size()) - 1; }
    netmsg_endpoint& endpoint(unsigned number) { return *endpoints_[number]; }
    netmsg_endpoint& control() { return *endpoints_.back(); }
    // What handlers at this endpoint get from context(). Before it runs.
    void set_context(unsigned number, void* context) { endpoints_[number]->context_ = context; }

    // For tests and simulations in one thread: runs instead of sleeping while control waits in
    // call; it polls (and flushes) the workers.
    void set_pump(void (*pump)(void* context), void* context) {
        pump_ = pump;
        pump_context_ = context;
    }

  private:
    friend class netmsg_endpoint;

    std::vector<std::unique_ptr<netmsg_endpoint>> endpoints_;
    std::vector<std::unique_ptr<mailbox_lane>> lanes_;
    void (*pump_)(void*) = nullptr;
    void* pump_context_ = nullptr;
};

} // namespace pantala
