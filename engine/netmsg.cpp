#include "engine/netmsg.hpp"

#include "engine/base/check.hpp"

#include <algorithm>

#include <poll.h>

namespace pantala {

namespace {

constexpr unsigned take_max = 32; // words taken from a lane before their handlers run

mailbox_word to_word(netmsg& message) {
    return reinterpret_cast<mailbox_word>(&message);
}

netmsg& to_message(mailbox_word word) {
    return *reinterpret_cast<netmsg*>(word);
}

void chain_step(netmsg& message, netmsg_endpoint& here) {
    auto& chain = static_cast<netmsg_chain&>(message);
    if (chain.visit != nullptr) {
        chain.visit(chain, here);
    }
    const unsigned next = here.number() + 1u;
    if (next < here.workers()) {
        here.forward(static_cast<std::uint16_t>(next), chain);
    } else {
        here.reply(chain);
    }
}

} // namespace

void netmsg_endpoint::send(std::uint16_t to, netmsg& message) {
    message.origin = number_;
    message.replying = false;
    message.awaited = false;
    post(to, message);
}

void netmsg_endpoint::forward(std::uint16_t to, netmsg& message) {
    PANTALA_DCHECK(!message.replying);
    post(to, message);
}

void netmsg_endpoint::reply(netmsg& message) {
    PANTALA_DCHECK(!message.replying);
    message.replying = true;
    post(message.origin, message);
}

void netmsg_endpoint::send_chain(netmsg_chain& message) {
    message.handler = chain_step;
    send(0, message);
}

void netmsg_endpoint::call(std::uint16_t to, netmsg& message) {
    PANTALA_ASSERT(is_control() && !in_handler_);
    message.origin = number_;
    message.replying = false;
    message.awaited = true;
    if (to == number_) {
        in_handler_ = true;
        message.handler(message, *this);
        in_handler_ = false;
    } else {
        post(to, message);
    }
    wait_for(message);
}

void netmsg_endpoint::call_chain(netmsg_chain& message) {
    message.handler = chain_step;
    call(0, message);
}

// A chain would not do: it reaches worker 1 by worker 0's lane, which may be read just before
// something older becomes visible in control's.
void netmsg_endpoint::sync() {
    for (std::uint16_t to = 0; to < workers_; ++to) {
        netmsg nothing;
        nothing.handler = [](netmsg& message, netmsg_endpoint& here) { here.reply(message); };
        call(to, nothing);
    }
}

// Everything that leaves here passes here. Order: what waits goes first.
void netmsg_endpoint::post(std::uint16_t to, netmsg& message) {
    PANTALA_DCHECK(to <= workers_);
    const mailbox_word word = to_word(message);
    waiting_list& waiting = waiting_[to];
    if (waiting.first != nullptr || out_[to]->push({&word, 1}) == 0) {
        message.next = nullptr;
        (waiting.first == nullptr ? waiting.first : waiting.last->next) = &message;
        waiting.last = &message;
        any_waiting_ = true;
    }
    touch(to);
    if (is_control()) {
        flush();
    }
}

void netmsg_endpoint::retry(std::uint16_t to) {
    waiting_list& waiting = waiting_[to];
    while (waiting.first != nullptr) {
        netmsg* message = waiting.first;
        netmsg* next = message->next; // read first: once pushed it is the receiver's
        const mailbox_word word = to_word(*message);
        if (out_[to]->push({&word, 1}) == 0) {
            any_waiting_ = true;
            return;
        }
        waiting.first = next;
    }
    waiting.last = nullptr;
}

void netmsg_endpoint::flush() {
    if (any_waiting_) [[unlikely]] {
        any_waiting_ = false;
        for (std::uint16_t to = 0; to <= workers_; ++to) {
            if (waiting_[to].first != nullptr) {
                retry(to);
                touch(to);
            }
        }
    }
    if (any_touched_) {
        any_touched_ = false;
        for (std::uint16_t to = 0; to <= workers_; ++to) {
            if (touched_[to]) {
                touched_[to] = false;
                if (to != number_) {
                    peers_[to]->bell_->ring_if_armed();
                }
            }
        }
    }
}

bool netmsg_endpoint::has_messages() const {
    for (unsigned peer = 0; peer <= workers_; ++peer) {
        if (!in_[peer]->empty()) {
            return true;
        }
    }
    return false;
}

void netmsg_endpoint::dispatch(netmsg& message) {
    if (!message.replying) {
        message.handler(message, *this);
        return;
    }
    message.replying = false;
    if (message.awaited) {
        message.awaited = false; // call sees it; from then on it is the caller's
    } else if (message.on_reply != nullptr) {
        message.on_reply(message, *this);
    }
}

unsigned netmsg_endpoint::take(unsigned peer, unsigned limit) {
    unsigned done = 0;
    while (done < limit) {
        std::array<mailbox_word, take_max> words;
        const unsigned wanted = std::min(take_max, limit - done);
        const unsigned count = in_[peer]->pop({words.data(), wanted});
        for (unsigned i = 0; i < count; ++i) {
            __builtin_prefetch(&to_message(words[i]));
        }
        for (unsigned i = 0; i < count; ++i) {
            dispatch(to_message(words[i]));
        }
        done += count;
        if (count < wanted) {
            break;
        }
    }
    return done;
}

unsigned netmsg_endpoint::poll(unsigned limit) {
    unsigned done = 0;
    in_handler_ = true;
    unsigned peer = next_peer_;
    for (unsigned i = 0; i <= workers_ && done < limit; ++i) {
        if (!in_[peer]->empty()) [[unlikely]] {
            done += take(peer, limit - done);
        }
        peer = peer == workers_ ? 0 : peer + 1;
    }
    if (done != 0) {
        next_peer_ = static_cast<std::uint16_t>(peer);
        for (unsigned i = 0; i < rollup_count_; ++i) {
            rollups_[i](*this);
        }
    }
    in_handler_ = false;
    return done;
}

void netmsg_endpoint::add_rollup(netmsg_rollup rollup) {
    PANTALA_ASSERT(rollup_count_ < netmsg_rollups_max);
    rollups_[rollup_count_++] = rollup;
}

void netmsg_endpoint::wait_for(const netmsg& message) {
    constexpr int retry_ms = 1; // while a message waits for room in a lane
    while (message.awaited) {
        flush();
        if (poll() != 0) {
            continue;
        }
        if (fabric_->pump_ != nullptr) {
            fabric_->pump_(fabric_->pump_context_);
            continue;
        }
        bell_->arm();
        if (!has_messages()) {
            pollfd bell{bell_->fd(), POLLIN, 0};
            ::poll(&bell, 1, any_waiting_ ? retry_ms : -1);
        }
        bell_->disarm();
    }
}

netmsg_fabric::netmsg_fabric(unsigned workers, unsigned lane_capacity) {
    PANTALA_ASSERT(workers >= 1 && workers <= workers_max);
    for (unsigned i = 0; i <= workers; ++i) {
        auto endpoint = std::make_unique<netmsg_endpoint>();
        endpoint->number_ = static_cast<std::uint16_t>(i);
        endpoint->workers_ = static_cast<std::uint16_t>(workers);
        endpoint->fabric_ = this;
        endpoint->bell_ = std::make_unique<doorbell>();
        endpoints_.push_back(std::move(endpoint));
    }
    for (unsigned from = 0; from <= workers; ++from) {
        for (unsigned to = 0; to <= workers; ++to) {
            lanes_.push_back(std::make_unique<mailbox_lane>(lane_capacity));
            endpoints_[from]->out_[to] = lanes_.back().get();
            endpoints_[to]->in_[from] = lanes_.back().get();
            endpoints_[from]->peers_[to] = endpoints_[to].get();
        }
    }
}

} // namespace pantala
