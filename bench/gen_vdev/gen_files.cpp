#include "bench/gen_vdev/gen_files.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pantala::gen {

result<mapping> mapping::open(const std::string& path, bool writable) {
    const int file = ::open(path.c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (file < 0) {
        return error{errno, "cannot open '" + path + "': " + std::strerror(errno)};
    }
    struct stat about {};
    const bool known = fstat(file, &about) == 0 && about.st_size > 0;
    const auto bytes = static_cast<std::size_t>(about.st_size);
    void* at = MAP_FAILED;
    if (known) {
        at = mmap(
            nullptr, bytes, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED | MAP_POPULATE,
            file, 0);
    }
    ::close(file);
    if (at == MAP_FAILED) {
        return error{EINVAL, "cannot map '" + path + "': empty, or not a file"};
    }
    return mapping(static_cast<std::byte*>(at), bytes);
}

mapping::~mapping() {
    if (at_ != nullptr) {
        munmap(at_, bytes_);
    }
}

result<keys_file> keys_file::open(const std::string& path) {
    auto mapped = mapping::open(path, false);
    if (!mapped) {
        return mapped.failure();
    }
    keys_file keys(std::move(mapped.value()));
    keys_header header{};
    if (keys.file_.size() < sizeof header) {
        return error{EINVAL, "'" + path + "' is not a keys file (too short)"};
    }
    std::memcpy(&header, keys.file_.data(), sizeof header);
    const bool ip6 = header.magic == keys_magic6;
    const std::size_t keys_total = std::size_t{header.count[0]} + header.count[1];
    const std::size_t key_bytes = ip6 ? sizeof(key6) : sizeof(std::uint32_t);
    if ((header.magic != keys_magic && !ip6) || header.count[0] == 0 || header.count[1] == 0 ||
        keys.file_.size() != sizeof header + keys_total * (key_bytes + sizeof(std::uint16_t))) {
        return error{EINVAL, "'" + path + "' is not a keys file; make one with forward_bench_data"};
    }
    keys.is_ip6_ = ip6;
    const std::byte* first = keys.file_.data() + sizeof header;
    const auto* expected = reinterpret_cast<const std::uint16_t*>(first + keys_total * key_bytes);
    for (unsigned side = 0; side < 2; ++side) {
        const std::size_t before = side == 0 ? 0 : header.count[0];
        const std::size_t count = header.count[side];
        if (ip6) {
            keys.destinations6_[side] = {reinterpret_cast<const key6*>(first) + before, count};
        } else {
            keys.destinations_[side] = {
                reinterpret_cast<const std::uint32_t*>(first) + before, count};
        }
        keys.expected_[side] = {expected + before, count};
    }
    return keys;
}

result<control_file> control_file::open(const std::string& path) {
    auto mapped = mapping::open(path, true);
    if (!mapped) {
        return mapped.failure();
    }
    control_file file(std::move(mapped.value()));
    if (file.file_.size() < sizeof(control) || file->magic != control_magic) {
        return error{EINVAL, "'" + path + "' is not a control file of the generating port"};
    }
    return file;
}

} // namespace pantala::gen
