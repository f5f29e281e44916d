// Making, opening, joining and leaving a bus. Control only: every function may block, allocate and
// fail; every error says what to do. Format and the meaning of locks: bus_layout.hpp.
//
//   open_bus     the file is checked (or made) and mapped
//   join         a slot is ours: its lock is held, its data area exists on the file system
//   start        our logs are empty, peers see us; may be repeated after stop
//   stop, leave  peers see us go; what we sent stays readable
#pragma once

#include "engine/base/result.hpp"
#include "pmd/bus_layout.hpp"
#include "pmd/os/bus_fault.hpp"

#include <array>
#include <cstdint>
#include <string>

namespace pantala::bus {

// What a node tells its peers when it starts.
struct node_profile {
    std::array<std::uint8_t, 6> mac{};
    std::string name; // for people; cut at 31 bytes
    std::uint16_t mtu = 1500;
    std::uint16_t tx_queues = 1;
    std::uint16_t rx_queues = 1;
    std::uint16_t wants = 0; // wants_hash, wants_fence
};

enum class bus_access : std::uint8_t { peer, observer }; // an observer only reads

// A checked and mapped bus file. Movable; unmaps and closes at its end.
class bus_file {
  public:
    bus_file() = default;
    bus_file(const bus_file&) = delete;
    bus_file& operator=(const bus_file&) = delete;
    bus_file(bus_file&& other) noexcept;
    bus_file& operator=(bus_file&& other) noexcept;
    ~bus_file();

    const bus_map& map() const { return map_; }
    const std::string& path() const { return path_; }

    // True once the memory behind the file went away (see os/bus_fault.hpp). Any thread.
    bool lost() const { return guard_.lost(); }
    // As lost(), and also before anybody touched what is gone. One system call. Any thread.
    bool truncated() const;

    // True if a process holds this slot's lock. One system call. Any thread.
    bool alive(std::uint32_t slot) const;

    // Makes a peer's data area readable. Idempotent; one system call at the first time. Any thread.
    bool admit(std::uint32_t slot) const;

  private:
    friend result<bus_file> map_bus(int, const std::string&, const geometry&, bus_access);
    friend class bus_node;
    void close();

    int fd_ = -1;
    std::string path_;
    bus_map map_;
    fault_guard guard_;
};

// Opens the bus at `path`; errors if it is not one of this version, or damaged.
result<bus_file> open_bus(const std::string& path, bus_access access);

// As open_bus(); if there is nothing at `path`, first makes a bus of this shape, mode 0600, which
// appears under its name complete or not at all.
result<bus_file> open_or_create_bus(const std::string& path, const geometry& shape);

// Makes a new bus; an error if anything is at `path`.
result<void> create_bus(const std::string& path, const geometry& shape);

// A slot on a bus that is ours until leave() or the end of the process.
class bus_node {
  public:
    bus_node() = default;
    bus_node(const bus_node&) = delete;
    bus_node& operator=(const bus_node&) = delete;
    bus_node(bus_node&& other) noexcept = default;
    bus_node& operator=(bus_node&& other) noexcept;
    ~bus_node() { leave(); }

    // Takes a free slot and reserves its memory on the file system.
    static result<bus_node> join(bus_file file, const node_profile& profile);

    // Tells the bits of `profile` and begins a new incarnation; its logs must be started between
    // begin_start() and announce().
    std::uint32_t begin_start(const node_profile& profile);
    void announce();
    void stop();
    void leave();
    void set_mac(const std::array<std::uint8_t, 6>& mac);

    const bus_file& file() const { return file_; }
    const bus_map& map() const { return file_.map(); }
    std::uint32_t slot() const { return slot_; }
    node_entry& entry() const { return map().node(slot_); }

  private:
    void describe(const node_profile& profile);
    void tell_epoch() const;

    bus_file file_;
    std::uint32_t slot_ = 0;
    std::uint32_t incarnation_ = 0;
    bool joined_ = false;
};

// CLOCK_REALTIME in nanoseconds.
std::uint64_t wall_clock_ns();

} // namespace pantala::bus
