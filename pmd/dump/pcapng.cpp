#include "pmd/dump/pcapng.hpp"

namespace pantala::bus {

namespace {

constexpr std::uint32_t section_block = 0x0a0d0d0a;
constexpr std::uint32_t interface_block = 1;
constexpr std::uint32_t packet_block = 6;
constexpr std::uint32_t byte_order_magic = 0x1a2b3c4d;
constexpr std::uint32_t version_1_0 = 1;
constexpr std::uint32_t link_ethernet = 1;
constexpr std::uint16_t option_name = 2;
constexpr std::uint16_t option_resolution = 9;
constexpr std::uint8_t nanoseconds = 9; // 10^-9

constexpr std::uint32_t padded(std::size_t bytes) {
    return static_cast<std::uint32_t>((bytes + 3) & ~std::size_t{3});
}

} // namespace

pcapng_writer::pcapng_writer(std::FILE* to) : to_(to) {
    constexpr std::uint32_t total = 28;
    const std::uint64_t unknown_length = UINT64_MAX;
    put32(section_block);
    put32(total);
    put32(byte_order_magic);
    put32(version_1_0);
    put(&unknown_length, sizeof unknown_length);
    put32(total);
}

void pcapng_writer::put(const void* bytes, std::size_t count) {
    good_ = good_ && std::fwrite(bytes, 1, count, to_) == count;
}

void pcapng_writer::pad(std::size_t count) {
    const std::uint32_t zeros = 0;
    put(&zeros, padded(count) - count);
}

pcapng_writer::~pcapng_writer() {
    if (interfaces_ == 0) {
        add_interface("nobody");
    }
}

std::uint32_t pcapng_writer::add_interface(const std::string& name) {
    const std::uint32_t total = 20 + 4 + padded(name.size()) + 8 + 4;
    put32(interface_block);
    put32(total);
    put32(link_ethernet);
    put32(0); // no limit on frame length
    put32(option_name | static_cast<std::uint32_t>(name.size()) << 16);
    put(name.data(), name.size());
    pad(name.size());
    put32(option_resolution | 1u << 16);
    put32(nanoseconds);
    put32(0); // end of options
    put32(total);
    return interfaces_++;
}

void pcapng_writer::add_frame(
    std::uint32_t interface, std::uint64_t time_ns, std::span<const std::uint8_t> frame) {
    const auto length = static_cast<std::uint32_t>(frame.size());
    const std::uint32_t total = 32 + padded(frame.size());
    put32(packet_block);
    put32(total);
    put32(interface);
    put32(static_cast<std::uint32_t>(time_ns >> 32));
    put32(static_cast<std::uint32_t>(time_ns));
    put32(length);
    put32(length);
    put(frame.data(), frame.size());
    pad(frame.size());
    put32(total);
}

void pcapng_writer::flush() {
    good_ = std::fflush(to_) == 0 && good_;
}

} // namespace pantala::bus
