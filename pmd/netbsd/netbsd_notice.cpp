#include "pmd/netbsd/netbsd_notice.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

namespace pantala::bus {

namespace {

void signal_event(int fd) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(fd, &one, sizeof one);
}

void close_if_open(int& fd) {
    if (fd >= 0) {
        close(fd);
        fd = -1;
    }
}

} // namespace

int netbsd_notice::start(const std::string& path, int event_fd) {
    stop();
    path_ = path;
    event_fd_ = event_fd;
    inotify_fd_ = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    stop_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (inotify_fd_ < 0 || stop_fd_ < 0) {
        const int code = errno;
        stop();
        return -code;
    }
    // Signals are for the program's own threads.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread(&netbsd_notice::run, this);
    pthread_setname_np(thread_.native_handle(), "shmif-notice");
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return 0;
}

void netbsd_notice::stop() {
    if (thread_.joinable()) {
        signal_event(stop_fd_);
        thread_.join();
    }
    disarm();
    close_if_open(inotify_fd_);
    close_if_open(stop_fd_);
}

int netbsd_notice::arm() {
    if (watch_ < 0) {
        watch_ = inotify_add_watch(inotify_fd_, path_.c_str(), IN_MODIFY);
        if (watch_ < 0) {
            return -errno;
        }
    }
    armed_.store(true, std::memory_order_relaxed);
    return 0;
}

// The watch goes too: a busy bus would keep the thread running.
void netbsd_notice::disarm() {
    armed_.store(false, std::memory_order_relaxed);
    if (watch_ >= 0) {
        inotify_rm_watch(inotify_fd_, watch_);
        watch_ = -1;
    }
}

void netbsd_notice::run() {
    std::array<pollfd, 2> fds = {{{inotify_fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}}};
    alignas(inotify_event) std::array<char, 4096> events;
    for (;;) {
        poll(fds.data(), fds.size(), recheck_ms);
        if ((fds[1].revents & POLLIN) != 0) {
            return;
        }
        while (read(inotify_fd_, events.data(), events.size()) > 0) {
        }
        if (armed_.load(std::memory_order_relaxed)) {
            signal_event(event_fd_);
        }
    }
}

} // namespace pantala::bus
