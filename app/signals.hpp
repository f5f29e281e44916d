// SIGINT and SIGTERM as a file descriptor for poll loops, so that programs stop cleanly. Make it
// before any other thread: it blocks the signals for all of them.
#pragma once

#include <csignal>
#include <sys/signalfd.h>
#include <unistd.h>

namespace pantala::app {

class stop_signals {
  public:
    stop_signals() {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGTERM);
        sigprocmask(SIG_BLOCK, &set, nullptr);
        fd_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    }
    ~stop_signals() { close(fd_); }
    stop_signals(const stop_signals&) = delete;
    stop_signals& operator=(const stop_signals&) = delete;

    int fd() const { return fd_; }
    // True if one has come; stays true.
    bool came() {
        signalfd_siginfo info;
        came_ = came_ || read(fd_, &info, sizeof info) == sizeof info;
        return came_;
    }

  private:
    int fd_ = -1;
    bool came_ = false;
};

} // namespace pantala::app
