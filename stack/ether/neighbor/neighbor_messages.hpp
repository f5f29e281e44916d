// How workers speak of neighbours. Worker 0 owns the state of every neighbour (neighbor_owner.hpp);
// each worker has a table of what it needs to send (neighbor_table.hpp).
//
//   report   any worker -> worker 0, replied: "I need this one", "I use this one", "I saw this one"
//   update   worker 0 -> 0 -> 1 -> ... -> n-1 -> worker 0: the new state, absolute, so that the
//            latest one wins; one order for all workers
//
// Messages come from pools of fixed size. A report that finds its pool empty is not made (the next
// packet tries again); an update that does is made when a message returns.
#pragma once

#include "engine/netmsg.hpp"
#include "stack/ether/neighbor/neighbor_key.hpp"
#include "stack/wire/address.hpp"

#include <cstdint>
#include <memory>

namespace pantala {

enum class neighbor_event : std::uint8_t {
    needed,      // a packet waits for it
    used,        // packets go to it, and its state is stale
    seen,        // it spoke (a request to others, an announcement)
    seen_asking, // it spoke to us: worth remembering even if nobody needs it yet
    answered,    // it answered us: the path works both ways
    advertised,  // a neighbour advertisement (RFC 4861 7.2.5), as `advertisement` says
    // Not about a neighbour (link_duties):
    conflicted,   // somebody else has, wants or speaks with an address of ours
    queried,      // for listeners of a group, `key`'s address
    router_asked, // a host looks for routers
    router_heard, // a router advertised itself
};

struct neighbor_advertisement {
    bool solicited = false; // an answer to us
    bool override_known = false;
    bool router = false;
    bool has_mac = false;
};

struct neighbor_report : netmsg {
    neighbor_event event = neighbor_event::needed;
    bool gateway = false;     // events needed, used: a route's; these have room when others do not
    bool refused = false;     // in the reply: no room
    bool router_gone = false; // the same: a neighbour that routes lead to says that it is no router
    neighbor_key key;
    wire::mac_address mac; // events seen_*, answered, advertised; conflicted: a nonce or zero
    neighbor_advertisement advertisement;
    std::uint32_t value_ms = 0; // event queried: the longest time to answer in
    bool version1 = false;      // event queried: MLD's
    neighbor_report* next_free = nullptr;
};

// What senders have to know. `unknown` in an update: forget it.
enum class neighbor_view : std::uint8_t { unknown, waiting, valid, stale, failed };

struct neighbor_update : netmsg_chain {
    neighbor_view view = neighbor_view::unknown;
    neighbor_key key;
    wire::mac_address mac;
    neighbor_update* next_free = nullptr;
};

// Who runs when a message arrives: the composition of the stack, which knows what the endpoint's
// context is.
struct neighbor_handlers {
    netmsg_handler report = nullptr;         // at worker 0
    netmsg_handler report_replied = nullptr; // at the origin
    netmsg_chain::visitor visit = nullptr;   // at every worker
    netmsg_handler update_replied = nullptr; // at worker 0
};

// A pool of messages of one kind; all reserved when it is made. Owner: one worker.
template <class Message>
class message_pool {
  public:
    explicit message_pool(unsigned size) : messages_(std::make_unique<Message[]>(size)) {
        for (unsigned i = 0; i < size; ++i) {
            put(messages_[i]);
        }
    }

    // nullptr: all are under way.
    Message* get() {
        Message* message = free_;
        if (message != nullptr) {
            free_ = message->next_free;
            --left_;
        }
        return message;
    }
    void put(Message& message) {
        message.next_free = free_;
        free_ = &message;
        ++left_;
    }
    unsigned left() const { return left_; }

  private:
    std::unique_ptr<Message[]> messages_;
    Message* free_ = nullptr;
    unsigned left_ = 0;
};

} // namespace pantala
