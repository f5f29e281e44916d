#include "pmd/netbsd/netbsd_tool.hpp"

#include "pmd/bus_attach.hpp"
#include "pmd/dump/pcapng.hpp"
#include "pmd/netbsd/netbsd_bus.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <map>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pantala::bus {

namespace {

// Packets carry their sender's up-time; on this machine, that is this long ago.
std::uint64_t boot_time_ns() {
    timespec up{};
    clock_gettime(CLOCK_MONOTONIC, &up);
    return wall_clock_ns() - static_cast<std::uint64_t>(up.tv_sec) * 1'000'000'000 -
           static_cast<std::uint64_t>(up.tv_nsec);
}

// The oldest packet that is still there.
netbsd_cursor oldest(const netbsd_bus& bus) {
    const std::uint32_t first = bus.header().first.load(std::memory_order_relaxed);
    const std::uint64_t generation = bus.header().generation.load(std::memory_order_relaxed);
    netbsd_cursor cursor = bus.attach();
    if (first == netbsd_data_bytes) { // never wrapped: the first packet lies at 24
        cursor.next = sizeof(netbsd_packet);
    } else {
        cursor.next = first;
        cursor.generation =
            first > bus.header().last.load(std::memory_order_relaxed) ? generation - 1 : generation;
    }
    return cursor;
}

class netbsd_dumper {
  public:
    netbsd_dumper(netbsd_bus& bus, std::FILE* to) : bus_(bus), out_(to), boot_ns_(boot_time_ns()) {}

    void begin() {
        if (bus_.lock()) {
            const bool empty = bus_.header().last.load(std::memory_order_relaxed) == 0 &&
                               bus_.header().generation.load(std::memory_order_relaxed) == 0;
            cursor_ = empty ? bus_.attach() : oldest(bus_);
            bus_.unlock();
        }
    }
    void pass(std::uint64_t limit) {
        while (report.frames < limit && out_.good() && bus_.lock()) {
            const netbsd_read what = bus_.read(cursor_, packet_, frame_);
            bus_.unlock();
            if (what == netbsd_read::packet) {
                write();
            } else if (what == netbsd_read::none) {
                break;
            } else {
                ++report.missed; // at least one
            }
        }
        out_.flush();
    }
    bool good() const { return out_.good() && !bus_.lost(); }

    dump_report report;

  private:
    void write() {
        auto [sender, fresh] = senders_.try_emplace(packet_.sender, 0);
        if (fresh) {
            sender->second = out_.add_interface("sender " + std::to_string(packet_.sender));
        }
        const std::uint64_t up_ns = packet_.seconds * std::uint64_t{1'000'000'000} +
                                    packet_.microseconds * std::uint64_t{1000};
        out_.add_frame(sender->second, boot_ns_ + up_ns, std::span(frame_).first(packet_.length));
        ++report.frames;
    }

    netbsd_bus& bus_;
    pcapng_writer out_;
    std::uint64_t boot_ns_;
    netbsd_cursor cursor_;
    netbsd_packet packet_{};
    std::array<std::uint8_t, netbsd_frame_max> frame_{};
    std::map<std::uint64_t, std::uint32_t> senders_;
};

} // namespace

bool netbsd_bus_at(const std::string& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return false;
    }
    std::uint32_t magic = 0;
    const bool found = pread(fd, &magic, sizeof magic, 0) == sizeof magic && magic == netbsd_magic;
    close(fd);
    return found;
}

result<bus_status> netbsd_list(const std::string& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        const int code = errno;
        return error{code, "NetBSD bus '" + path + "': cannot read it: " + std::strerror(code)};
    }
    std::array<std::uint8_t, sizeof(netbsd_header)> header{};
    struct stat file {};
    const bool read = fstat(fd, &file) == 0 &&
                      pread(fd, header.data(), header.size(), 0) == ssize_t{sizeof header};
    close(fd);
    if (!read || file.st_size != netbsd_file_bytes) {
        return error{
            EINVAL, "NetBSD bus '" + path + "': it is " + std::to_string(file.st_size) +
                        " bytes long and should be 1 MiB: truncated; stop its users and remove it"};
    }
    const auto field = [&]<class T>(std::size_t offset, T value) {
        std::memcpy(&value, header.data() + offset, sizeof value);
        return value;
    };
    bus_status status;
    status.path = path;
    status.format = "netbsd";
    status.file_bytes = netbsd_file_bytes;
    status.ring.version = field(offsetof(netbsd_header, version), std::uint32_t{});
    status.ring.data_bytes = netbsd_data_bytes;
    status.ring.generation = field(offsetof(netbsd_header, generation), std::uint64_t{});
    status.ring.first = field(offsetof(netbsd_header, first), std::uint32_t{});
    status.ring.last = field(offsetof(netbsd_header, last), std::uint32_t{});
    status.ring.locked = field(offsetof(netbsd_header, lock), std::uint32_t{}) != 0;
    return status;
}

result<void> netbsd_bus_create(const std::string& path) {
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        const int code = errno;
        return error{code, "NetBSD bus '" + path + "': cannot make it: " + std::strerror(code)};
    }
    close(fd);
    const result<netbsd_bus> made = netbsd_bus::open(path);
    if (!made) {
        unlink(path.c_str());
        return made.failure();
    }
    return {};
}

result<dump_report>
netbsd_dump(const std::string& path, std::FILE* to, const dump_options& options) {
    result<netbsd_bus> bus = netbsd_bus::open(path);
    if (!bus) {
        return bus.failure();
    }
    netbsd_dumper dumper(*bus, to);
    dumper.begin();
    dumper.pass(options.count);
    while (options.follow && dumper.good() && dumper.report.frames < options.count &&
           (options.stop == nullptr || !options.stop->load(std::memory_order_relaxed))) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        dumper.pass(options.count);
    }
    if (!dumper.good()) {
        return error{EIO, "cannot write the dump of bus '" + path + "', or the bus went away"};
    }
    return dumper.report;
}

} // namespace pantala::bus
