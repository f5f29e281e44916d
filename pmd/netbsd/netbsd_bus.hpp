// The bus of NetBSD's shmif interface (header version 3), so that a rump kernel on the same file is
// a neighbour. One ring of packets under one spin lock.
//
//   0x00  4  magic       0xca11d054; 0 = virgin file
//   0x04  4  version     3; written by the wake-up, so 0 until the first send
//   0x08  8  generation  +1 each time a write reaches or passes the end of the data area
//   0x10  4  first       offset of the oldest intact packet; initially the data size
//   0x14  4  last        offset of the last written packet's header; initially 0
//   0x18  4  lock        0 free, 1 held
//   0x1c  4  unused
//   0x20     data        the file is exactly 1 MiB, the data area 1 MiB - 32
//
// Packet: u32 length, u32 seconds, u32 microseconds (of the sender's up-time), u32 unused, u64
// sender (random, an interface does not hear itself), then the frame. No alignment; headers and
// frames wrap byte by byte. The next packet lies at (offset + 24 + length) mod data size.
//
// Unlike the original, a peer cannot hurt us with what it writes, and a peer that died with the
// lock held does not hang the bus: after a second the lock is taken over. Nobody waits for it
// meanwhile: whoever finds the lock held for longer than netbsd_patience_us goes on without it and
// tries again in its next burst.
#pragma once

#include "engine/base/result.hpp"
#include "pmd/os/bus_fault.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <string>

namespace pantala::bus {

inline constexpr std::uint32_t netbsd_magic = 0xca11d054;
inline constexpr std::uint32_t netbsd_version = 3;
inline constexpr std::uint32_t netbsd_file_bytes = 1024 * 1024;
inline constexpr std::uint32_t netbsd_data_bytes = netbsd_file_bytes - 32;
inline constexpr std::uint32_t netbsd_frame_max = 1514;
inline constexpr std::uint64_t netbsd_takeover_ms = 1000;
inline constexpr std::uint64_t netbsd_patience_us = 200;

struct netbsd_header {
    std::atomic<std::uint32_t> magic;
    std::atomic<std::uint32_t> version;
    std::atomic<std::uint64_t> generation;
    std::atomic<std::uint32_t> first;
    std::atomic<std::uint32_t> last;
    std::atomic<std::uint32_t> lock;
    std::uint32_t unused;
};
static_assert(sizeof(netbsd_header) == 32 && offsetof(netbsd_header, lock) == 0x18);

struct netbsd_packet {
    std::uint32_t length;
    std::uint32_t seconds;
    std::uint32_t microseconds;
    std::uint32_t unused;
    std::uint64_t sender;
};
static_assert(sizeof(netbsd_packet) == 24);

// Where a reader stands.
struct netbsd_cursor {
    std::uint32_t next = 0;
    std::uint64_t generation = 0;
    std::uint32_t last_seen = 0; // `last` when it had read everything
    // What the header said at the latest overrun: a second one without a write in between is none.
    bool overran = false;
    std::uint32_t overrun_last = 0;
    std::uint64_t overrun_generation = 0;
};

enum class netbsd_lock : std::uint8_t {
    held,       // ours now
    taken_over, // ours now, from a holder that is thought dead; what it left was repaired
    busy,       // somebody else's
    lost,       // the bus is gone
};
constexpr bool is_held(netbsd_lock lock) {
    return lock == netbsd_lock::held || lock == netbsd_lock::taken_over;
}

enum class netbsd_read : std::uint8_t {
    packet,  // `header` and the first header.length bytes of the buffer are set
    none,    // nothing more
    overrun, // the cursor moved on to the oldest packet
    garbage, // no packet there, or a header that cannot be; the cursor moved to the end
};

class netbsd_bus {
  public:
    netbsd_bus() = default;
    netbsd_bus(const netbsd_bus&) = delete;
    netbsd_bus& operator=(const netbsd_bus&) = delete;
    netbsd_bus(netbsd_bus&& other) noexcept;
    netbsd_bus& operator=(netbsd_bus&& other) noexcept;
    ~netbsd_bus();

    // Opens (or makes, 0600) the bus at `path` and prefaults every page of it.
    static result<netbsd_bus> open(const std::string& path);

    // Tries to take the lock, for netbsd_patience_us and a time slice or two of others at most. A
    // lock that several calls found held, while for netbsd_takeover_ms nothing was written, is
    // taken over. Any thread.
    netbsd_lock try_lock();
    // The same, again and again for two seconds; for control. False: lost, or still busy.
    bool lock();
    void unlock();

    // The functions below need the lock (attach() included).
    netbsd_cursor attach() const;
    void write(std::span<const std::uint8_t> frame, std::uint64_t sender);
    netbsd_read
    read(netbsd_cursor& cursor, netbsd_packet& header, std::array<std::uint8_t, 1514>& frame) const;

    // True if a look under the lock may find something for this reader. No lock, no system call.
    bool may_have(const netbsd_cursor& cursor) const;
    // Wakes the peers, which sleep on file notification. One system call, without the lock.
    void wake() const;

    bool lost() const { return guard_.lost(); }
    const std::string& path() const { return path_; }
    // A path to this very file, whatever its name stands for by now.
    std::string descriptor_path() const { return "/proc/self/fd/" + std::to_string(fd_); }
    netbsd_header& header() const { return *reinterpret_cast<netbsd_header*>(base_); }

  private:
    void close();
    void initialize();
    bool spin();
    bool stands_still();
    bool take_over();
    void repair();
    std::uint32_t next_of(std::uint32_t offset) const;
    netbsd_packet packet_at(std::uint32_t offset) const;
    std::uint32_t copy_in(std::uint32_t offset, const void* from, std::uint32_t bytes, bool& wrap);
    std::uint32_t copy_out(void* to, std::uint32_t offset, std::uint32_t bytes, bool& wrap) const;
    void advance_first(std::uint32_t offset, std::uint32_t bytes);

    int fd_ = -1;
    std::string path_;
    std::uint8_t* base_ = nullptr;
    fault_guard guard_;
    // What the threads that found the lock held last saw; 0 ns: it was free since.
    struct standstill {
        std::atomic<std::uint64_t> began_ns{0};
        std::atomic<std::uint64_t> looked_ns{0};
        std::atomic<std::uint64_t> generation{0};
        std::atomic<std::uint32_t> last{0};
    };
    standstill still_;
    bool arbitrating_ = false; // we took the lock over and hold the file lock that says so
};

} // namespace pantala::bus
