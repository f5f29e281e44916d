#include "app/run/worker_questions.hpp"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>
#include <poll.h>

namespace pantala::app {

namespace {

error no_answer(unsigned worker, const char* since) {
    return {
        ETIMEDOUT,
        fmt::format(
            "worker {} does not answer{}: it is stuck, or its CPU is another's; try again", worker,
            since)};
}

} // namespace

result<void> worker_questions::ask(netmsg_endpoint& control, held_base& state, netmsg& message) {
    using steady = std::chrono::steady_clock;
    control.poll();
    std::erase_if(left_, [](const auto& each) { return !each->away; });
    if (is_out(state.worker)) {
        return no_answer(state.worker, " an earlier question");
    }
    const auto end = steady::now() + wait_;
    state.away = true;
    control.send(state.worker, message);
    while (state.away) {
        control.flush();
        const bool handled = control.poll() != 0;
        if (!state.away) {
            break;
        }
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(end - steady::now()).count();
        if (left <= 0) {
            return no_answer(state.worker, "");
        }
        if (handled) { // more may have come meanwhile
            continue;
        }
        control.bell().arm();
        if (!control.has_messages()) {
            pollfd bell{control.bell().fd(), POLLIN, 0};
            ::poll(&bell, 1, control.has_waiting() ? 1 : static_cast<int>(left));
        }
        control.bell().disarm();
    }
    return {};
}

void worker_questions::leave(std::unique_ptr<held_base> asked) {
    if (asked->away) {
        left_.push_back(std::move(asked));
    }
}

} // namespace pantala::app
