#include "pmd/os/bus_fault.hpp"

#include <array>
#include <csignal>
#include <mutex>

#include <sys/mman.h>

namespace pantala::bus {

namespace {

struct guarded_range {
    std::atomic<std::uintptr_t> base{0}; // 0: the entry is free
    std::atomic<std::size_t> bytes{0};
    std::atomic<bool> lost{false};
};

// A signal handler can reach nothing but globals.
constinit std::array<guarded_range, guarded_max> ranges;
struct sigaction previous_action;

void pass_on(int signal, siginfo_t* info, void* context) {
    if ((previous_action.sa_flags & SA_SIGINFO) != 0) {
        previous_action.sa_sigaction(signal, info, context);
    } else if (previous_action.sa_handler == SIG_DFL || previous_action.sa_handler == SIG_IGN) {
        struct sigaction standard {};
        standard.sa_handler = SIG_DFL;
        sigaction(signal, &standard, nullptr); // the access faults again and ends the process
    } else {
        previous_action.sa_handler(signal);
    }
}

// Async-signal-safe: lock-free atomics and one mmap.
void on_bus_error(int signal, siginfo_t* info, void* context) {
    const auto at = reinterpret_cast<std::uintptr_t>(info->si_addr);
    for (guarded_range& range : ranges) {
        const std::uintptr_t base = range.base.load(std::memory_order_acquire);
        const std::size_t bytes = range.bytes.load(std::memory_order_relaxed);
        if (base == 0 || at < base || at >= base + bytes) {
            continue;
        }
        range.lost.store(true, std::memory_order_release);
        void* const again = mmap(
            reinterpret_cast<void*>(base), bytes, PROT_READ | PROT_WRITE,
            MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (again != MAP_FAILED) {
            return;
        }
    }
    pass_on(signal, info, context);
}

void install_handler() {
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction action {};
        action.sa_sigaction = on_bus_error;
        action.sa_flags = SA_SIGINFO | SA_RESTART;
        sigemptyset(&action.sa_mask);
        sigaction(SIGBUS, &action, &previous_action);
    });
}

} // namespace

fault_guard& fault_guard::operator=(fault_guard&& other) noexcept {
    if (this != &other) {
        release();
        slot_ = other.slot_;
        other.slot_ = -1;
    }
    return *this;
}

bool fault_guard::watch(void* base, std::size_t bytes) {
    static std::mutex claims;
    const std::scoped_lock lock(claims);
    install_handler();
    for (unsigned i = 0; i < guarded_max; ++i) {
        if (ranges[i].base.load(std::memory_order_relaxed) == 0) {
            ranges[i].bytes.store(bytes, std::memory_order_relaxed);
            ranges[i].lost.store(false, std::memory_order_relaxed);
            ranges[i].base.store(reinterpret_cast<std::uintptr_t>(base), std::memory_order_release);
            slot_ = static_cast<int>(i);
            return true;
        }
    }
    return false;
}

void fault_guard::release() {
    if (slot_ >= 0) {
        ranges[static_cast<unsigned>(slot_)].base.store(0, std::memory_order_release);
        slot_ = -1;
    }
}

bool fault_guard::lost() const {
    return slot_ >= 0 && ranges[static_cast<unsigned>(slot_)].lost.load(std::memory_order_acquire);
}

} // namespace pantala::bus
