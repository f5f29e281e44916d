#include "pmd/netbsd/netbsd_bus.hpp"

#include "pmd/os/bus_create.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pantala::bus {

namespace {

constexpr std::uint32_t spins_max = 1001;
constexpr std::uint32_t header_size = sizeof(netbsd_packet);
constexpr std::uint32_t steps_max =
    netbsd_data_bytes / header_size + 2; // packets that fit, and more
constexpr std::uint64_t looks_apart_ns =
    100'000'000; // further apart: nobody knows what was between
constexpr off_t arbiter_byte = off_t{1} << 40;

error netbsd_error(int code, const std::string& path, const std::string& text) {
    return error{code, "NetBSD bus '" + path + "': " + text};
}

bool arbiter(int fd, short kind) {
    struct flock lock {};
    lock.l_type = kind;
    lock.l_whence = SEEK_SET;
    lock.l_start = arbiter_byte;
    lock.l_len = 1;
    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

std::uint64_t now_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u +
           static_cast<std::uint64_t>(now.tv_nsec);
}

void sleep_1ms() {
    const timespec pause{0, 1'000'000};
    nanosleep(&pause, nullptr);
}

// The file's size is right, or it is new and gets it.
result<void> size_file(int fd, const std::string& path) {
    struct stat status {};
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        return netbsd_error(EINVAL, path, "not a regular file");
    }
    if (status.st_size != 0 && status.st_size != netbsd_file_bytes) {
        return netbsd_error(
            EINVAL, path,
            "it is " + std::to_string(status.st_size) +
                " bytes long, a bus of this format is 1 MiB; give another path");
    }
    return reserve_room(fd, 0, netbsd_file_bytes, path);
}

} // namespace

netbsd_bus::netbsd_bus(netbsd_bus&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)),
      base_(std::exchange(other.base_, nullptr)), guard_(std::move(other.guard_)) {}

netbsd_bus& netbsd_bus::operator=(netbsd_bus&& other) noexcept {
    if (this != &other) {
        close();
        fd_ = std::exchange(other.fd_, -1);
        path_ = std::move(other.path_);
        base_ = std::exchange(other.base_, nullptr);
        guard_ = std::move(other.guard_);
    }
    return *this;
}

netbsd_bus::~netbsd_bus() {
    close();
}

void netbsd_bus::close() {
    guard_.release();
    if (base_ != nullptr) {
        munmap(base_, netbsd_file_bytes);
        base_ = nullptr;
    }
    if (fd_ >= 0) {
        ::close(fd_);
        fd_ = -1;
    }
}

result<netbsd_bus> netbsd_bus::open(const std::string& path) {
    netbsd_bus bus;
    bus.path_ = path;
    bus.fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
    if (bus.fd_ < 0) {
        return netbsd_error(errno, path, std::string("cannot open it: ") + std::strerror(errno));
    }
    if (const result<void> sized = size_file(bus.fd_, path); !sized) {
        return sized.failure();
    }
    void* const base = mmap(
        nullptr, netbsd_file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, bus.fd_, 0);
    if (base == MAP_FAILED) {
        return netbsd_error(errno, path, std::string("cannot map it: ") + std::strerror(errno));
    }
    bus.base_ = static_cast<std::uint8_t*>(base);
    if (!bus.guard_.watch(base, netbsd_file_bytes)) {
        return netbsd_error(EMFILE, path, "this process has too many buses mapped");
    }
    const std::uint32_t magic = bus.header().magic.load(std::memory_order_acquire);
    if (magic != 0 && magic != netbsd_magic) {
        return netbsd_error(ENOEXEC, path, "this file is not a bus of NetBSD's format");
    }
    const std::uint32_t version = bus.header().version.load(std::memory_order_relaxed);
    if (version != 0 && version != netbsd_version) {
        return netbsd_error(
            EPROTONOSUPPORT, path, "it has version " + std::to_string(version) + ", not 3");
    }
    bus.initialize();
    return bus;
}

void netbsd_bus::initialize() {
    if (lock()) {
        if (header().magic.load(std::memory_order_relaxed) == 0) {
            header().magic.store(netbsd_magic, std::memory_order_relaxed);
            header().first.store(netbsd_data_bytes, std::memory_order_relaxed);
        }
        unlock();
    }
}

bool netbsd_bus::spin() {
    for (std::uint32_t i = 0; i < spins_max; ++i) {
        std::uint32_t free = 0;
        if (header().lock.compare_exchange_weak(
                free, 1, std::memory_order_acquire, std::memory_order_relaxed)) {
            still_.began_ns.store(0, std::memory_order_relaxed);
            return true;
        }
    }
    return false;
}

netbsd_lock netbsd_bus::try_lock() {
    bool ours = spin();
    for (const std::uint64_t began = ours ? 0 : now_ns();
         !ours && !lost() && now_ns() - began < netbsd_patience_us * 1000; ours = spin()) {
        sched_yield(); // its holder may wait for this CPU
    }
    if (lost()) {
        return netbsd_lock::lost;
    }
    if (ours) {
        return netbsd_lock::held;
    }
    return stands_still() && take_over() ? netbsd_lock::taken_over : netbsd_lock::busy;
}

bool netbsd_bus::lock() {
    const std::uint64_t began = now_ns();
    netbsd_lock got = try_lock();
    while (got == netbsd_lock::busy && now_ns() - began < 2 * netbsd_takeover_ms * 1'000'000) {
        sleep_1ms();
        got = try_lock();
    }
    return is_held(got);
}

// Whether the lock was found held for long, without a write and without a pause in the looking.
bool netbsd_bus::stands_still() {
    const std::uint64_t now = now_ns();
    const std::uint32_t last = header().last.load(std::memory_order_relaxed);
    const std::uint64_t generation = header().generation.load(std::memory_order_relaxed);
    const std::uint64_t looked = still_.looked_ns.exchange(now, std::memory_order_relaxed);
    const std::uint64_t began = still_.began_ns.load(std::memory_order_relaxed);
    if (began == 0 || now - looked > looks_apart_ns ||
        last != still_.last.load(std::memory_order_relaxed) ||
        generation != still_.generation.load(std::memory_order_relaxed)) {
        still_.last.store(last, std::memory_order_relaxed);
        still_.generation.store(generation, std::memory_order_relaxed);
        still_.began_ns.store(now, std::memory_order_relaxed);
        return false;
    }
    return now - began >= netbsd_takeover_ms * 1'000'000;
}

// Only one of several waiters becomes the owner of an abandoned lock: the one with the file lock.
bool netbsd_bus::take_over() {
    if (!arbiter(fd_, F_WRLCK)) {
        return false;
    }
    arbitrating_ = true;
    still_.began_ns.store(0, std::memory_order_relaxed);
    repair();
    return true;
}

void netbsd_bus::unlock() {
    header().lock.store(0, std::memory_order_release);
    if (std::exchange(arbitrating_, false)) {
        arbiter(fd_, F_UNLCK);
    }
}

// Drops the packet that the dead holder had begun, if its header makes no sense.
void netbsd_bus::repair() {
    const std::uint32_t last = header().last.load(std::memory_order_relaxed);
    const std::uint32_t length = packet_at(last).length;
    if (last == 0 || (length != 0 && length <= netbsd_frame_max)) {
        return;
    }
    std::uint32_t at = header().first.load(std::memory_order_relaxed);
    if (at >= netbsd_data_bytes) {
        at = 0;
    }
    for (std::uint32_t step = 0; step < steps_max; ++step) {
        const std::uint32_t next = next_of(at);
        if (next == last) {
            header().last.store(at, std::memory_order_relaxed);
            return;
        }
        at = next;
    }
}

netbsd_packet netbsd_bus::packet_at(std::uint32_t offset) const {
    netbsd_packet packet{};
    bool wrap = false;
    copy_out(&packet, offset, header_size, wrap);
    return packet;
}

std::uint32_t netbsd_bus::next_of(std::uint32_t offset) const {
    const std::uint64_t length = packet_at(offset).length;
    return static_cast<std::uint32_t>((offset + header_size + length) % netbsd_data_bytes);
}

// Any offset that a peer may have written is brought into the data area here.
std::uint32_t
netbsd_bus::copy_out(void* to, std::uint32_t offset, std::uint32_t bytes, bool& wrap) const {
    offset = std::min(offset, netbsd_data_bytes);
    const std::uint32_t part = std::min(bytes, netbsd_data_bytes - offset);
    const std::uint8_t* const data = base_ + sizeof(netbsd_header);
    std::memcpy(to, data + offset, part);
    wrap |= offset + part == netbsd_data_bytes;
    if (part == bytes) {
        return (offset + part) % netbsd_data_bytes;
    }
    std::memcpy(static_cast<std::uint8_t*>(to) + part, data, bytes - part);
    return bytes - part;
}

// Moves `first` out of what is about to be overwritten.
void netbsd_bus::advance_first(std::uint32_t offset, std::uint32_t bytes) {
    std::uint32_t first = header().first.load(std::memory_order_relaxed);
    for (std::uint32_t step = 0; step < steps_max; ++step) {
        const bool touches = offset <= std::uint64_t{first} + header_size && offset + bytes > first;
        if (!touches) {
            break;
        }
        first = next_of(first);
    }
    header().first.store(first, std::memory_order_relaxed);
}

std::uint32_t
netbsd_bus::copy_in(std::uint32_t offset, const void* from, std::uint32_t bytes, bool& wrap) {
    const std::uint32_t part = std::min(bytes, netbsd_data_bytes - offset);
    const bool fills = offset + part == netbsd_data_bytes;
    std::uint8_t* const data = base_ + sizeof(netbsd_header);
    advance_first(offset, part + (fills ? 1 : 0));
    std::memcpy(data + offset, from, part);
    wrap |= fills;
    if (part == bytes) {
        return (offset + part) % netbsd_data_bytes;
    }
    advance_first(0, bytes - part);
    std::memcpy(data, static_cast<const std::uint8_t*>(from) + part, bytes - part);
    return bytes - part;
}

void netbsd_bus::write(std::span<const std::uint8_t> frame, std::uint64_t sender) {
    timespec up{};
    clock_gettime(CLOCK_MONOTONIC, &up);
    netbsd_packet packet{};
    packet.length = static_cast<std::uint32_t>(frame.size());
    packet.seconds = static_cast<std::uint32_t>(up.tv_sec);
    packet.microseconds = static_cast<std::uint32_t>(up.tv_nsec / 1000);
    packet.sender = sender;
    const std::uint32_t at = next_of(header().last.load(std::memory_order_relaxed));
    header().last.store(at, std::memory_order_relaxed);
    bool wrap = false;
    const std::uint32_t behind = copy_in(at, &packet, header_size, wrap);
    copy_in(behind, frame.data(), packet.length, wrap);
    if (wrap) {
        header().generation.fetch_add(1, std::memory_order_relaxed);
    }
}

netbsd_cursor netbsd_bus::attach() const {
    netbsd_cursor cursor;
    cursor.last_seen = header().last.load(std::memory_order_relaxed);
    cursor.next = next_of(cursor.last_seen);
    cursor.generation = header().generation.load(std::memory_order_relaxed);
    return cursor;
}

bool netbsd_bus::may_have(const netbsd_cursor& cursor) const {
    return header().last.load(std::memory_order_relaxed) != cursor.last_seen ||
           header().generation.load(std::memory_order_relaxed) != cursor.generation;
}

void netbsd_bus::wake() const {
    const std::uint32_t version = netbsd_version;
    [[maybe_unused]] const ssize_t written = pwrite(fd_, &version, sizeof version, 4);
}

netbsd_read netbsd_bus::read(
    netbsd_cursor& cursor, netbsd_packet& packet, std::array<std::uint8_t, 1514>& frame) const {
    const std::uint64_t generation = header().generation.load(std::memory_order_relaxed);
    const std::uint32_t first = header().first.load(std::memory_order_relaxed);
    const std::uint32_t last = header().last.load(std::memory_order_relaxed);
    const std::uint32_t end = next_of(last);
    if (cursor.generation == generation && cursor.next == end) {
        cursor.last_seen = last;
        return netbsd_read::none;
    }
    // On a circle laid out twice: oldest <= position <= end must hold.
    const std::uint64_t laps = generation - cursor.generation;
    const bool wrapped = first >= end;
    const std::uint64_t position =
        cursor.next + std::uint64_t{wrapped && laps == 0 ? netbsd_data_bytes : 0};
    const std::uint64_t limit = end + std::uint64_t{wrapped ? netbsd_data_bytes : 0};
    // `first` of a bus that never wrapped is the data size: the beginning of the second circle.
    const bool valid =
        laps <= 1 && (wrapped || laps == 0) && position >= first && position <= limit;
    if (!valid) {
        if (cursor.overran && cursor.overrun_last == last &&
            cursor.overrun_generation == generation) {
            cursor = attach(); // nobody wrote: it would go round for ever
            return netbsd_read::garbage;
        }
        cursor.overran = true;
        cursor.overrun_last = last;
        cursor.overrun_generation = generation;
        cursor.next = first;
        cursor.generation = first > last ? generation - 1 : generation;
        return netbsd_read::overrun;
    }
    bool wrap = false;
    const std::uint32_t behind = copy_out(&packet, cursor.next, header_size, wrap);
    if (packet.length > frame.size()) {
        cursor = attach();
        return netbsd_read::garbage;
    }
    cursor.next = copy_out(frame.data(), behind, packet.length, wrap);
    cursor.generation += wrap ? 1 : 0;
    return netbsd_read::packet;
}

} // namespace pantala::bus
