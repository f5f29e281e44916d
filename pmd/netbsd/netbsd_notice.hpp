// File notification: how the peers of a bus of NetBSD's format wake each other. Whoever has sent
// writes the header's version word through its descriptor (stores to the mapping notify nobody).
#pragma once

#include <atomic>
#include <string>
#include <thread>

namespace pantala::bus {

// While armed, turns each write to a file into a write to an eventfd; and does so once a second
// without one, in case a peer died between its frame and its wake-up. Control only.
class netbsd_notice {
  public:
    static constexpr int recheck_ms = 1000;

    netbsd_notice() = default;
    ~netbsd_notice() { stop(); }
    netbsd_notice(const netbsd_notice&) = delete;
    netbsd_notice& operator=(const netbsd_notice&) = delete;

    // Begins, disarmed; 0 or a negative errno.
    int start(const std::string& path, int event_fd);
    void stop();

    // Writes from now on are noticed. One system call; 0 or a negative errno.
    int arm();
    void disarm();

  private:
    void run();

    std::string path_;
    int inotify_fd_ = -1;
    int stop_fd_ = -1;
    int event_fd_ = -1;
    int watch_ = -1;
    std::atomic<bool> armed_{false};
    std::thread thread_;
};

} // namespace pantala::bus
