// Writes pcapng (draft-ietf-opsawg-pcapng): one section, one Ethernet interface a sender, time
// stamps in nanoseconds.
#pragma once

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

namespace pantala::bus {

class pcapng_writer {
  public:
    // Writes the section header. The stream stays the caller's.
    explicit pcapng_writer(std::FILE* to);
    // A file without an interface is none to tcpdump: one without frames gets one.
    ~pcapng_writer();
    pcapng_writer(const pcapng_writer&) = delete;
    pcapng_writer& operator=(const pcapng_writer&) = delete;

    // Declares an interface; its number is how many there were before.
    std::uint32_t add_interface(const std::string& name);

    // time_ns: CLOCK_REALTIME.
    void
    add_frame(std::uint32_t interface, std::uint64_t time_ns, std::span<const std::uint8_t> frame);

    // False once a write failed (no room, broken pipe).
    bool good() const { return good_; }
    void flush();

  private:
    void put(const void* bytes, std::size_t count);
    void put32(std::uint32_t value) { put(&value, sizeof value); }
    void pad(std::size_t count);

    std::FILE* to_;
    std::uint32_t interfaces_ = 0;
    bool good_ = true;
};

} // namespace pantala::bus
