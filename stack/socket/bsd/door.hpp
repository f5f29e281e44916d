// How threads that are no worker speak to one: messages from anybody, taken once a round. Netmsg's
// lanes join endpoints, and such a thread has none; so here many senders share one list, by one
// atomic exchange each. A message lives inside what it speaks of and belongs to the worker until
// its `run` returns.
//
// A door outlives its worker: whoever holds one may post for ever, and hears when nobody is there.
#pragma once

#include "engine/idle/doorbell.hpp"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace pantala {

class net_host;

struct door_message {
    door_message* next = nullptr;
    // On the worker's thread; `host` is nullptr when the worker is gone.
    void (*run)(door_message& message, net_host* host) = nullptr;
};

// Something of a thread's that lives on the worker and must not outlive it.
struct door_guest {
    door_guest() = default;
    virtual ~door_guest() = default;
    door_guest(const door_guest&) = delete;
    door_guest& operator=(const door_guest&) = delete;
    // The worker has stopped; its host is still there.
    virtual void worker_ends() = 0;
};

class door {
  public:
    explicit door(doorbell& bell) : bell_(bell) {}
    door(const door&) = delete;
    door& operator=(const door&) = delete;

    // Any thread. False: the worker is gone, and the message remains the caller's. A system call
    // only where the worker sleeps.
    bool post(door_message& message) {
        senders_.fetch_add(1, std::memory_order_seq_cst); // with close
        door_message* first = head_.load(std::memory_order_acquire);
        do {
            message.next = first;
        } while (first != &closed_ &&
                 !head_.compare_exchange_weak(
                     first, &message, std::memory_order_release, std::memory_order_acquire));
        if (first != &closed_) {
            bell_.ring_if_armed();
        }
        senders_.fetch_sub(1, std::memory_order_release);
        return first != &closed_;
    }

    // Worker only: all that waits, in order of arrival, linked by next. Cost with nothing waiting:
    // one read.
    door_message* take() {
        if (head_.load(std::memory_order_relaxed) == nullptr) {
            return nullptr;
        }
        return in_order(head_.exchange(nullptr, std::memory_order_acquire)); // with post
    }

    // When the worker has stopped: what still waits. Afterwards nothing can be posted, and the bell
    // is not touched any more.
    door_message* close() {
        door_message* rest = head_.exchange(&closed_, std::memory_order_seq_cst);
        while (senders_.load(std::memory_order_seq_cst) != 0) { // a few instructions each
            std::this_thread::yield();
        }
        return in_order(rest);
    }
    // The worker's, and behind close() the closer's.
    std::vector<std::shared_ptr<door_guest>> guests;

    bool is_closed() const { return head_.load(std::memory_order_acquire) == &closed_; }

  private:
    static door_message* in_order(door_message* newest) {
        door_message* oldest = nullptr;
        while (newest != nullptr) {
            door_message* before = newest->next;
            newest->next = oldest;
            oldest = newest;
            newest = before;
        }
        return oldest;
    }

    doorbell& bell_;
    door_message closed_; // stands in the list of a door nobody is behind
    std::atomic<door_message*> head_{nullptr};
    std::atomic<unsigned> senders_{0}; // within post
};

} // namespace pantala
