#include "engine/idle/doorbell.hpp"

#include <cerrno>
#include <system_error>

#include <sys/eventfd.h>
#include <unistd.h>

namespace pantala {

doorbell::doorbell() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (fd_ < 0) {
        throw std::system_error(
            errno, std::generic_category(), "no descriptor for a wake-up; raise `ulimit -n`");
    }
}

doorbell::~doorbell() {
    close(fd_);
}

void doorbell::disarm() {
    armed_.store(false, std::memory_order_relaxed);
    std::uint64_t rings = 0;
    // Empty (EAGAIN) is as good: all that matters is that it is not readable afterwards.
    [[maybe_unused]] const ssize_t got = read(fd_, &rings, sizeof rings);
}

void doorbell::ring() {
    armed_.store(false, std::memory_order_relaxed);
    const std::uint64_t one = 1;
    const int saved = errno; // a signal handler may be calling
    // Fails only with EAGAIN, at 2^64 - 2 rings unread: then it is readable anyway.
    [[maybe_unused]] const ssize_t put = write(fd_, &one, sizeof one);
    errno = saved;
}

} // namespace pantala
