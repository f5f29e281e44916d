// netmsg: how lcores speak. In the way of DragonFly's netisr: a message carries the function that
// handles it, lives inside what it speaks of, belongs to its receiver until it is replied, and
// returns to its origin to be reused or freed. Verbs:
//
//   send      no answer is awaited; the handler ends with reply() (or the message is leaked)
//   call      wait for the reply; control thread only (a worker never waits)
//   forward   pass it on to the next endpoint, still owned by its origin
//   reply     give it back: its `on_reply` runs at the origin
//
// Endpoints are the workers 0..n-1 and control, which is number n. Messages from one endpoint to
// another arrive in order. A handler gets the context that its endpoint was made with (a worker's
// stack, control's own state).
#pragma once

#include "engine/ids.hpp"

#include <cstdint>

namespace pantala {

struct netmsg;
class netmsg_endpoint;

using netmsg_handler = void (*)(netmsg& message, netmsg_endpoint& here);

struct netmsg {
    netmsg_handler handler = nullptr;  // runs at the receiver
    netmsg_handler on_reply = nullptr; // runs at the origin; nullptr: nothing to do there
    std::uint16_t origin = 0;          // endpoint number; set by send and call
    bool replying = false;             // on its way back; set by reply
};

// At most this many messages are handled in a round; the rest wait for the next.
inline constexpr unsigned netmsg_round_max = 512;

// One endpoint's side of the fabric. Owner: its thread; only `send`, `forward` and `reply` of the
// *other* endpoints reach it. Cost of poll with nothing waiting: one relaxed read a peer at most.
class netmsg_endpoint {
  public:
    std::uint16_t number() const { return number_; } // worker_id, or workers() for control
    std::uint16_t workers() const { return workers_; }
    template <class T>
    T& context() const {
        return *static_cast<T*>(context_);
    }

    void send(std::uint16_t to, netmsg& message);
    void forward(std::uint16_t to, netmsg& message);
    void reply(netmsg& message);
    // Handles up to `limit` messages; returns how many.
    unsigned poll(unsigned limit = netmsg_round_max);

  protected:
    std::uint16_t number_ = 0;
    std::uint16_t workers_ = 0;
    void* context_ = nullptr;
};

} // namespace pantala
