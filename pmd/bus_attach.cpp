#include "pmd/bus_attach.hpp"

#include "pmd/os/bus_create.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pantala::bus {

namespace {

constexpr std::uint64_t reuse_after_ns = 1'000'000'000; // let peers read a leaver's last frames
constexpr int open_attempts_max = 3;

// Tries to take a slot's lock; never waits.
bool take_lock(int fd, std::uint32_t slot) {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(lock_offset + slot);
    lock.l_len = 1;
    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

void drop_lock(int fd, std::uint32_t slot) {
    struct flock lock {};
    lock.l_type = F_UNLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(lock_offset + slot);
    lock.l_len = 1;
    fcntl(fd, F_OFD_SETLK, &lock);
}

result<std::uint32_t> take_slot(int fd, const bus_map& map, const std::string& path) {
    const std::uint64_t now = wall_clock_ns();
    for (const bool rested : {true, false}) {
        for (std::uint32_t slot = 0; slot < map.shape.nodes; ++slot) {
            const node_entry& entry = map.node(slot);
            const bool clean = entry.state.load(std::memory_order_relaxed) ==
                                   static_cast<std::uint32_t>(node_state::free) &&
                               now - entry.since_ns > reuse_after_ns;
            if ((clean || !rested) && take_lock(fd, slot)) {
                return slot;
            }
        }
    }
    return error{
        EUSERS, "bus '" + path + "': all " + std::to_string(map.shape.nodes) +
                    " places are taken (`pantala bus ls` shows by whom); make a bus with more"};
}

} // namespace

std::uint64_t wall_clock_ns() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec);
}

bus_file::bus_file(bus_file&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)),
      map_(std::exchange(other.map_, {})), guard_(std::move(other.guard_)) {}

bus_file& bus_file::operator=(bus_file&& other) noexcept {
    if (this != &other) {
        close();
        fd_ = std::exchange(other.fd_, -1);
        path_ = std::move(other.path_);
        map_ = std::exchange(other.map_, {});
        guard_ = std::move(other.guard_);
    }
    return *this;
}

bus_file::~bus_file() {
    close();
}

void bus_file::close() {
    guard_.release();
    if (map_.base != nullptr) {
        munmap(map_.base, map_.shape.file_bytes());
        map_.base = nullptr;
    }
    if (fd_ >= 0) {
        ::close(fd_);
        fd_ = -1;
    }
}

bool bus_file::truncated() const {
    struct stat status {};
    return lost() || (fstat(fd_, &status) == 0 &&
                      static_cast<std::uint64_t>(status.st_size) < map_.shape.file_bytes());
}

bool bus_file::alive(std::uint32_t slot) const {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(lock_offset + slot);
    lock.l_len = 1;
    return fcntl(fd_, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

bool bus_file::admit(std::uint32_t slot) const {
    return lost() || mprotect(map_.data(slot), map_.shape.node_bytes, PROT_READ) == 0;
}

// Data areas stay inaccessible until their node is seen: a process that locks its memory
// (mlockall) would else make the file system hold every unused one.
result<bus_file>
map_bus(int fd, const std::string& path, const geometry& shape, bus_access access) {
    bus_file file;
    file.fd_ = fd;
    file.path_ = path;
    void* const base = mmap(nullptr, shape.file_bytes(), PROT_NONE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        return error{errno, "bus '" + path + "': cannot map it: " + std::strerror(errno)};
    }
    file.map_ = {static_cast<std::uint8_t*>(base), shape};
    const int rights = access == bus_access::peer ? PROT_READ | PROT_WRITE : PROT_READ;
    if (mprotect(base, shape.data_offset(), rights) != 0) {
        return error{errno, "bus '" + path + "': cannot map it: " + std::strerror(errno)};
    }
    if (!file.guard_.watch(base, shape.file_bytes())) {
        return error{EMFILE, "bus '" + path + "': this process has too many buses mapped"};
    }
    return file;
}

result<bus_file> open_bus(const std::string& path, bus_access access) {
    const int mode = access == bus_access::peer ? O_RDWR : O_RDONLY;
    const int fd = open(path.c_str(), mode | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        const int code = errno;
        return error{code, "bus '" + path + "': cannot open it: " + std::strerror(code)};
    }
    result<geometry> shape = check_bus(fd, path);
    if (!shape) {
        ::close(fd);
        return shape.failure();
    }
    return map_bus(fd, path, *shape, access);
}

result<bus_file> open_or_create_bus(const std::string& path, const geometry& shape) {
    for (int attempt = 0; attempt < open_attempts_max; ++attempt) {
        result<bus_file> file = open_bus(path, bus_access::peer);
        if (file || file.failure().code != ENOENT) {
            return file;
        }
        const result<void> made = create_bus(path, shape);
        if (!made && made.failure().code != EEXIST) {
            return made.failure();
        }
    }
    return error{EBUSY, "bus '" + path + "': it is being made and removed again by others"};
}

result<bus_node> bus_node::join(bus_file file, const node_profile& profile) {
    const bus_map& map = file.map();
    const result<std::uint32_t> slot = take_slot(file.fd_, map, file.path());
    if (!slot) {
        return slot.failure();
    }
    const result<void> room = reserve_room(
        file.fd_, map.shape.data_offset() + map.shape.node_bytes * *slot, map.shape.node_bytes,
        file.path());
    if (!room) {
        drop_lock(file.fd_, *slot);
        return room.failure();
    }
    if (mprotect(map.data(*slot), map.shape.node_bytes, PROT_READ | PROT_WRITE) != 0) {
        return error{errno, "bus '" + file.path() + "': cannot map its memory"};
    }
    bus_node node;
    node.file_ = std::move(file);
    node.slot_ = *slot;
    node.joined_ = true;
    node.entry().state.store(
        static_cast<std::uint32_t>(node_state::stopped), std::memory_order_relaxed);
    node.entry().armed.store(0, std::memory_order_relaxed);
    node.describe(profile);
    node.tell_epoch();
    return node;
}

bus_node& bus_node::operator=(bus_node&& other) noexcept {
    if (this != &other) {
        leave();
        file_ = std::move(other.file_);
        slot_ = other.slot_;
        incarnation_ = other.incarnation_;
        joined_ = std::exchange(other.joined_, false);
    }
    return *this;
}

// For people. What peers go by changes in begin_start() only: until then the slot's logs are those
// of its previous incarnation, and who has not read them yet needs to know how they lie.
void bus_node::describe(const node_profile& profile) {
    node_entry& self = entry();
    self.mtu = profile.mtu;
    self.mac = profile.mac;
    self.pid = static_cast<std::uint32_t>(getpid());
    self.since_ns = wall_clock_ns();
    self.name = {};
    std::memcpy(
        self.name.data(), profile.name.data(), std::min(profile.name.size(), self.name.size() - 1));
}

void bus_node::tell_epoch() const {
    map().header().epoch.fetch_add(1, std::memory_order_release); // with the views' refresh
}

std::uint32_t bus_node::begin_start(const node_profile& profile) {
    incarnation_ = entry().incarnation.load(std::memory_order_relaxed) + 1;
    if (incarnation_ == 0) {
        incarnation_ = 1; // 0 means "being made"
    }
    // All logs of the slot, not only those we will use: with another number of queues our logs lie
    // across the old ones, and who still reads those must see that they are gone.
    for (std::uint32_t log = 0; log < map().shape.logs; ++log) {
        map().control(slot_, log).incarnation.store(0, std::memory_order_relaxed);
    }
    // With log_reader::intact, and with the readers' loads of tx_queues: who sees the new number
    // sees as well that no log has the old incarnation any more, and reads none with the wrong
    // shape, even if we are killed right here.
    std::atomic_thread_fence(std::memory_order_release);
    entry().tx_queues.store(profile.tx_queues, std::memory_order_relaxed);
    entry().rx_queues.store(profile.rx_queues, std::memory_order_relaxed);
    entry().wants.store(profile.wants, std::memory_order_relaxed);
    describe(profile);
    return incarnation_;
}

void bus_node::announce() {
    entry().incarnation.store(incarnation_, std::memory_order_release);
    entry().state.store(static_cast<std::uint32_t>(node_state::started), std::memory_order_release);
    tell_epoch();
}

void bus_node::stop() {
    entry().armed.store(0, std::memory_order_relaxed);
    entry().state.store(static_cast<std::uint32_t>(node_state::stopped), std::memory_order_release);
    entry().since_ns = wall_clock_ns();
    tell_epoch();
}

void bus_node::leave() {
    if (std::exchange(joined_, false) && map().base != nullptr) {
        stop();
        entry().state.store(
            static_cast<std::uint32_t>(node_state::free), std::memory_order_release);
        drop_lock(file_.fd_, slot_);
    }
}

void bus_node::set_mac(const std::array<std::uint8_t, 6>& mac) {
    entry().mac = mac;
}

} // namespace pantala::bus
