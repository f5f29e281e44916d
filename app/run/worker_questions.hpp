// What control asks workers, with an end to its patience: a worker that is stuck has the message
// until it is not any more, and control goes on. Owner: the control thread.
#pragma once

#include "engine/base/result.hpp"
#include "engine/netmsg.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

namespace pantala::app {

class worker_questions {
    struct held_base {
        virtual ~held_base() = default;
        std::uint16_t worker = 0;
        bool away = false; // the worker has it
    };
    template <class Command>
    struct held : held_base, Command {
        held() { Command::on_reply = back; }
        static void back(netmsg& message, netmsg_endpoint&) {
            static_cast<held&>(static_cast<Command&>(message)).away = false;
        }
    };

  public:
    // Far more than a round takes that is not stuck.
    static constexpr std::chrono::milliseconds patience{2000};

    // A command that can be left behind with a worker; for several questions one after another.
    template <class Command>
    class question {
      public:
        explicit question(worker_questions& with)
            : with_(with), held_(std::make_unique<held<Command>>()) {}
        // Waits for the worker's answer, and handles messages meanwhile. After a failure there is
        // no command any more. Errors: ETIMEDOUT, at once if an earlier question is still there.
        result<void> ask(netmsg_endpoint& control, std::uint16_t worker) {
            held_->worker = worker;
            result<void> done = with_.ask(control, *held_, *held_);
            if (!done) {
                with_.leave(std::move(held_));
            }
            return done;
        }
        Command& operator*() { return *held_; }
        Command* operator->() { return held_.get(); }

      private:
        worker_questions& with_;
        std::unique_ptr<held<Command>> held_;
    };

    explicit worker_questions(std::chrono::milliseconds wait = patience) : wait_(wait) {}

    // Has this worker an earlier question still? Control's messages have been polled.
    bool is_out(std::uint16_t worker) const {
        return std::ranges::any_of(
            left_, [&](const auto& each) { return each->away && each->worker == worker; });
    }

  private:
    result<void> ask(netmsg_endpoint& control, held_base& state, netmsg& message);
    void leave(std::unique_ptr<held_base> asked);

    std::chrono::milliseconds wait_;
    std::vector<std::unique_ptr<held_base>> left_; // with workers, or back from them
};

} // namespace pantala::app
