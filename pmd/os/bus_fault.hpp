// What happens when the memory of a bus goes away: a peer truncated the file, or its file system
// had no room for a page. The kernel then raises SIGBUS in whoever touches the page.
//
// A process-wide handler puts anonymous zero pages in place of the whole mapping and marks it lost;
// the port goes link-down and counts, the process lives. Faults elsewhere go to the handler that
// was installed before, or to the default action.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace pantala::bus {

inline constexpr unsigned guarded_max = 64; // mappings a process

// Guards a mapping from construction to release(). Control.
class fault_guard {
  public:
    fault_guard() = default;
    fault_guard(const fault_guard&) = delete;
    fault_guard& operator=(const fault_guard&) = delete;
    fault_guard(fault_guard&& other) noexcept : slot_(other.slot_) { other.slot_ = -1; }
    fault_guard& operator=(fault_guard&& other) noexcept;
    ~fault_guard() { release(); }

    // False if guarded_max mappings are guarded already.
    [[nodiscard]] bool watch(void* base, std::size_t bytes);
    void release();

    // True once the memory behind the mapping went away. Any thread.
    bool lost() const;

  private:
    int slot_ = -1;
};

} // namespace pantala::bus
