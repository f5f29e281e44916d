#include "stack/route/fib/fib4_image.hpp"

#include <atomic>

#include <sys/mman.h>

namespace pantala {

namespace {

constexpr std::size_t page_bytes = 4096;
constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;
constexpr std::uint32_t populate_ahead_units = std::uint32_t{1} << 15; // 256 KiB

std::size_t directory_bytes(fib4_shape shape) {
    return (shape.roots() + std::size_t{4} * fib4_longs_max) * sizeof(std::uint32_t);
}

// Writes to one byte of each untouched page of [begin, end).
void touch(std::byte* begin, std::byte* end) {
    for (std::byte* at = begin; at < end; at += page_bytes) {
        std::atomic_ref<std::byte>(*at).store(std::byte{0}, std::memory_order_relaxed);
    }
}

std::byte* page_above(void* at) {
    const auto value = reinterpret_cast<std::uintptr_t>(at);
    return reinterpret_cast<std::byte*>((value + page_bytes - 1) & ~(page_bytes - 1));
}

std::uint64_t mix(std::uint64_t hash, const void* data, std::size_t bytes) {
    const auto* at = static_cast<const unsigned char*>(data);
    for (; bytes >= 8; bytes -= 8, at += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, at, 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
        hash ^= hash >> 29;
    }
    std::uint64_t tail = bytes;
    std::memcpy(&tail, at, bytes);
    return (hash ^ tail) * 0xff51afd7ed558ccdULL;
}

} // namespace

result<std::unique_ptr<fib4_image>> fib4_image::make(unsigned root_bits, nexthop_id default_id) {
    std::unique_ptr<fib4_image> image(new fib4_image(root_bits));
    const std::size_t directory = directory_bytes(image->shape_);
    const std::size_t bytes = directory + units_max * sizeof(std::uint64_t) + huge_page_bytes;
    void* mapping = mmap(
        nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) {
        return error{
            ENOMEM, "no address space for a forwarding table; raise the limit (ulimit -v)"};
    }
    image->mapping_ = static_cast<std::byte*>(mapping);
    image->mapping_bytes_ = bytes;
    const auto start = reinterpret_cast<std::uintptr_t>(mapping);
    const std::uintptr_t aligned = (start + huge_page_bytes - 1) & ~(huge_page_bytes - 1);
    if (root_bits == fib4_root_bits_main) { // a small table stays small
        madvise(reinterpret_cast<void*>(aligned), bytes - huge_page_bytes, MADV_HUGEPAGE);
    }
    image->directory_ = reinterpret_cast<std::uint32_t*>(aligned);
    image->arena_ = reinterpret_cast<std::uint64_t*>(aligned + directory);
    image->populate(64, image->shape_.roots());
    const std::uint64_t uniform[2] = {1, default_id.value}; // every word points here, to unit 0
    image->write_node(0, 0, uniform, 2);
    image->words_ = image->shape_.roots();
    return image;
}

fib4_image::~fib4_image() {
    if (mapping_ != nullptr) {
        munmap(mapping_, mapping_bytes_);
    }
}

void fib4_image::populate(std::uint32_t units, std::uint32_t words) {
    PANTALA_ASSERT(units <= units_max);
    if (words > populated_words_) {
        touch(
            populated_words_ == 0 ? reinterpret_cast<std::byte*>(directory_)
                                  : page_above(directory_ + populated_words_),
            reinterpret_cast<std::byte*>(directory_ + words));
        populated_words_ = words;
    }
    if (units > populated_units_) {
        const std::uint32_t target = std::min(units + populate_ahead_units, units_max);
        touch(
            populated_units_ == 0 ? reinterpret_cast<std::byte*>(arena_)
                                  : page_above(arena_ + populated_units_),
            reinterpret_cast<std::byte*>(arena_ + target));
        populated_units_ = target;
    }
}

void fib4_image::assign(const fib4_image& other) {
    PANTALA_DCHECK(shape_.root_bits == other.shape_.root_bits);
    populate(other.populated_units_, other.populated_words_);
    std::memcpy(directory_, other.directory_, other.words_ * sizeof(std::uint32_t));
    std::memcpy(arena_, other.arena_, other.units_ * sizeof(std::uint64_t));
    words_ = other.words_;
    units_ = other.units_;
}

nexthop_id fib4_image::lookup(std::uint32_t address) const {
    return shape_.root_bits == fib4_root_bits_main
               ? reader<fib4_root_bits_main>().lookup(address)
               : fib4_reader<fib4_root_bits_small>(directory_, arena_).lookup(address);
}

std::uint64_t fib4_image::hash() const {
    std::uint64_t hash = mix(0x243f6a8885a308d3ULL, directory_, words_ * sizeof(std::uint32_t));
    return mix(hash, arena_, units_ * sizeof(std::uint64_t));
}

bool fib4_image::same_bytes(const fib4_image& other) const {
    return words_ == other.words_ && units_ == other.units_ &&
           std::memcmp(directory_, other.directory_, words_ * sizeof(std::uint32_t)) == 0 &&
           std::memcmp(arena_, other.arena_, units_ * sizeof(std::uint64_t)) == 0;
}

} // namespace pantala
