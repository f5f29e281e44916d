#include "pmd/os/bus_create.hpp"

#include "pmd/bus_attach.hpp"

#include <cerrno>
#include <cstring>
#include <random>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pantala::bus {

namespace {

error bus_error(int code, const std::string& path, const std::string& text) {
    return error{code, "bus '" + path + "': " + text};
}

// A file without a name (or with a temporary one, in `name`) in the directory of `path`.
int open_unnamed(const std::string& path, std::string& name) {
    const std::size_t slash = path.rfind('/');
    const std::string directory =
        slash == std::string::npos ? "." : path.substr(0, slash == 0 ? 1 : slash);
    const int fd = open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) {
        return fd;
    }
    std::random_device random;
    name = path + "." + std::to_string(getpid()) + "." + std::to_string(random()) + ".new";
    return open(name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
}

// Gives the finished file its name; fails with EEXIST if the name is taken.
int give_name(int fd, const std::string& temporary, const std::string& path) {
    if (!temporary.empty()) {
        return link(temporary.c_str(), path.c_str());
    }
    const std::string self = "/proc/self/fd/" + std::to_string(fd);
    return linkat(AT_FDCWD, self.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW);
}

void make_header(const geometry& shape, bus_header& header) {
    std::random_device random;
    header.magic = bus_magic;
    header.version = bus_version;
    header.header_bytes = header_bytes;
    header.nodes = shape.nodes;
    header.lanes = shape.lanes;
    header.logs = shape.logs;
    header.align = record_align;
    header.node_bytes = shape.node_bytes;
    header.file_bytes = shape.file_bytes();
    header.created_ns = wall_clock_ns();
    header.bus_id = std::uint64_t{random()} << 32 | random();
    header.check = fnv1a(reinterpret_cast<const char*>(&header), offsetof(bus_header, check));
}

// A file larger than the process's limit would raise SIGXFSZ instead of failing.
bool within_file_limit(std::uint64_t bytes) {
    rlimit limit{};
    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
           bytes <= limit.rlim_cur;
}

result<void> fill_new(int fd, const std::string& path, const geometry& shape) {
    if (!within_file_limit(shape.file_bytes())) {
        return bus_error(
            EFBIG, path,
            "its " + std::to_string(shape.file_bytes()) +
                " bytes exceed this process's file size limit (ulimit -f)");
    }
    if (ftruncate(fd, static_cast<off_t>(shape.file_bytes())) != 0) {
        return bus_error(errno, path, std::string("cannot size it: ") + std::strerror(errno));
    }
    result<void> room = reserve_room(fd, 0, shape.shared_bytes(), path);
    if (!room) {
        return room;
    }
    bus_header header{};
    make_header(shape, header);
    if (pwrite(fd, &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) {
        return bus_error(errno, path, std::string("cannot write it: ") + std::strerror(errno));
    }
    return {};
}

// What a wrong first page most likely is, in words.
result<geometry>
check_header(const bus_header& header, std::uint64_t file_size, const std::string& path) {
    if (header.magic != bus_magic) {
        return bus_error(EINVAL, path, "this file is not a bus; give another path or remove it");
    }
    if (header.version != bus_version) {
        return bus_error(
            EPROTONOSUPPORT, path,
            "it has format version " + std::to_string(header.version) + ", this program speaks " +
                std::to_string(bus_version));
    }
    const auto* const bytes = reinterpret_cast<const char*>(&header);
    if (header.check != fnv1a(bytes, offsetof(bus_header, check)) ||
        header.header_bytes != header_bytes || header.align != record_align) {
        return bus_error(EINVAL, path, "its header is damaged; stop its users and remove it");
    }
    const geometry shape{header.nodes, header.lanes, header.logs, header.node_bytes};
    if (!shape.valid() || header.file_bytes != shape.file_bytes()) {
        return bus_error(EINVAL, path, "its geometry is impossible; stop its users and remove it");
    }
    if (file_size != shape.file_bytes()) {
        return bus_error(
            EINVAL, path,
            "it is " + std::to_string(file_size) + " bytes long and should be " +
                std::to_string(shape.file_bytes()) + ": truncated; stop its users and remove it");
    }
    return shape;
}

} // namespace

result<geometry> check_bus(int fd, const std::string& path) {
    struct stat status {};
    if (fstat(fd, &status) != 0) {
        return bus_error(errno, path, std::strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) {
        return bus_error(EINVAL, path, "not a regular file");
    }
    bus_header header{};
    if (pread(fd, &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) {
        return bus_error(EINVAL, path, "this file is not a bus (too short); give another path");
    }
    return check_header(header, static_cast<std::uint64_t>(status.st_size), path);
}

result<void>
reserve_room(int fd, std::uint64_t offset, std::uint64_t bytes, const std::string& path) {
    if (!within_file_limit(offset + bytes)) {
        return bus_error(EFBIG, path, "beyond this process's file size limit (ulimit -f)");
    }
    int code =
        fallocate(fd, 0, static_cast<off_t>(offset), static_cast<off_t>(bytes)) == 0 ? 0 : errno;
    if (code == EOPNOTSUPP) {
        code = posix_fallocate(fd, static_cast<off_t>(offset), static_cast<off_t>(bytes));
    }
    if (code != 0) {
        return bus_error(
            code, path,
            "cannot reserve " + std::to_string(bytes) + " bytes: " + std::strerror(code) +
                "; free space there, or make the bus elsewhere or with a smaller size=");
    }
    return {};
}

result<void> create_bus(const std::string& path, const geometry& shape) {
    if (!shape.valid()) {
        return bus_error(
            EINVAL, path,
            "impossible geometry: size= must be a power of two of at "
            "least 64 KiB a log");
    }
    std::string temporary;
    const int fd = open_unnamed(path, temporary);
    if (fd < 0) {
        const int code = errno;
        return bus_error(code, path, std::string("cannot make it: ") + std::strerror(code));
    }
    result<void> made = fill_new(fd, path, shape);
    if (made && give_name(fd, temporary, path) != 0) {
        const int code = errno;
        made = bus_error(code, path, std::string("cannot name it: ") + std::strerror(code));
    }
    if (!temporary.empty()) {
        unlink(temporary.c_str());
    }
    ::close(fd);
    return made;
}

} // namespace pantala::bus
