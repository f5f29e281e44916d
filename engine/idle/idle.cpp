#include "engine/idle/idle.hpp"

#include "engine/base/check.hpp"
#include "engine/handoff/netisr.hpp"
#include "engine/netmsg.hpp"
#include "engine/port_queue.hpp"
#include "engine/round_stats.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <rte_ethdev.h>
#include <rte_interrupts.h>
#include <rte_pause.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace pantala {

namespace {

constexpr unsigned events_max = 8; // handled by one wait; more only means another look
constexpr std::uint64_t waiting_nap_ns = 1'000'000; // a message waits for room in a lane
constexpr std::uint64_t sleep_min_ns = 2'000;       // what is due sooner is not worth the calls

// EAL's per-thread epoll set keeps pointers to these, so they live as long as the thread: the timer
// and the doorbell of the worker that runs on it.
thread_local std::array<rte_epoll_event, 2> watched;

void watch(int fd, rte_epoll_event& event) {
    event = {};
    event.epdata.event = EPOLLIN;
    PANTALA_ASSERT(rte_epoll_ctl(RTE_EPOLL_PER_THREAD, EPOLL_CTL_ADD, fd, &event) == 0);
}

} // namespace

void idle_waiter::open(
    const idle_settings& settings, const std::vector<idle_queue>& queues, bool polled) {
    settings_ = settings;
    polled_ = polled;
    nap_ns_ = settings.nap_min_ns;
    if (settings.policy == idle_policy::busy) {
        return;
    }
    timer_fd_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    PANTALA_ASSERT(timer_fd_ >= 0);
    watch(timer_fd_, watched[0]);
    watch(messages_.bell().fd(), watched[1]);
    queues_.reserve(queues.size()); // the epoll set keeps pointers to its elements
    for (const idle_queue& queue : queues) {
        queues_.push_back({.at = queue});
        const int added = rte_eth_dev_rx_intr_ctl_q(
            queue.port.value, queue.queue, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD,
            &queues_.back());
        // A device that wakes but cannot be armed (net_tap) may show the packet only after a while,
        // when another thread has had its signal: then the wake-up alone is not enough.
        const bool arms =
            added == 0 && rte_eth_dev_rx_intr_enable(queue.port.value, queue.queue) != -ENOTSUP;
        if (added != 0) {
            queues_.pop_back();
        }
        polled_ = polled_ || !arms;
    }
}

void idle_waiter::close() {
    if (timer_fd_ < 0) {
        return;
    }
    if (state_ == state::armed) {
        disarm();
    }
    for (waker& one : queues_) {
        rte_eth_dev_rx_intr_ctl_q(
            one.at.port.value, one.at.queue, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_DEL, &one);
    }
    queues_.clear();
    for (rte_epoll_event& event : watched) {
        rte_epoll_ctl(RTE_EPOLL_PER_THREAD, EPOLL_CTL_DEL, event.fd, &event);
    }
    ::close(timer_fd_);
    timer_fd_ = -1;
}

void idle_waiter::arm() {
    state_ = state::armed;
    messages_.bell().arm();
    for (const waker& one : queues_) {
        if (one.silent < silent_max) {
            rte_eth_dev_rx_intr_enable(one.at.port.value, one.at.queue);
        }
    }
}

void idle_waiter::disarm() {
    state_ = state::awake;
    for (const waker& one : queues_) {
        if (one.silent < silent_max) {
            rte_eth_dev_rx_intr_disable(one.at.port.value, one.at.queue);
        }
    }
    messages_.bell().disarm();
}

// After a round with work that began otherwise than awake.
void idle_waiter::settle() {
    if (state_ == state::armed) {
        disarm();
    } else {
        judge();
    }
}

// The clock woke the worker, and the round had work: a queue that this came from kept silent. Now
// and then that is chance (a packet came just then); again and again it is not.
void idle_waiter::judge() {
    state_ = state::awake;
    for (waker& one : queues_) {
        const bool came = one.at.packets->received() != one.received;
        if (came && one.silent < silent_max && ++one.silent == silent_max) { // armed no more
            silent_ports_.fetch_or(1U << one.at.port.value, std::memory_order_relaxed);
            polled_ = true;
        }
    }
}

void idle_waiter::sleep(std::uint64_t longest_ns) {
    itimerspec at{};
    at.it_value.tv_sec = static_cast<time_t>(longest_ns / ns_per_s);
    at.it_value.tv_nsec = static_cast<long>(longest_ns % ns_per_s);
    timerfd_settime(timer_fd_, 0, &at, nullptr); // setting clears what had expired
    for (waker& one : queues_) {
        one.received = one.at.packets->received();
    }
    std::array<rte_epoll_event, events_max> events;
    const int count =
        rte_epoll_wait(RTE_EPOLL_PER_THREAD, events.data(), static_cast<int>(events.size()), -1);
    bool clocked = count > 0;
    for (int i = 0; i < count; ++i) {
        const rte_epoll_event& event = events[static_cast<std::size_t>(i)];
        clocked = clocked && event.fd == timer_fd_;
        auto* one = static_cast<waker*>(event.epdata.data);
        if (one != nullptr && one->silent < silent_max) {
            one->silent = 0;
        }
    }
    disarm();
    if (clocked && !polled_) {
        state_ = state::clocked;
    }
    stats_.slept();
}

void idle_waiter::idle(instant now, instant deadline) {
    stats_.idle();
    if (settings_.shared_cpu) {
        sched_yield();
    } else {
        rte_pause();
    }
    if (settings_.policy == idle_policy::busy) {
        return;
    }
    if (since_ == 0) {
        since_ = now.ns;
    }
    if (state_ == state::clocked) {
        state_ = state::awake;
    }
    if (state_ == state::awake) {
        if (now.ns - since_ >= settings_.spin_ns) {
            arm();
        }
        return;
    }
    std::uint64_t longest_ns = deadline <= now ? 0 : deadline - now;
    longest_ns = std::min(longest_ns, settings_.sleep_max_ns);
    if (polled_) {
        longest_ns = std::min(longest_ns, nap_ns_);
    }
    if (messages_.has_waiting()) {
        longest_ns = std::min(longest_ns, waiting_nap_ns);
    }
    // The round itself may have sent something to this very worker.
    if (longest_ns < sleep_min_ns || messages_.has_messages() || packets_.has_packets()) {
        return;
    }
    nap_ns_ = std::min(2 * nap_ns_, settings_.nap_max_ns);
    sleep(longest_ns);
}

} // namespace pantala
