#include "stack/route/fib/image_memory.hpp"

#include <atomic>
#include <cstring>

#include <sys/mman.h>

namespace pantala {

namespace {

std::byte* multiple_above(void* at, std::size_t of) {
    const auto value = reinterpret_cast<std::uintptr_t>(at);
    return reinterpret_cast<std::byte*>((value + of - 1) & ~(of - 1));
}

} // namespace

result<std::byte*> reserve_memory(std::size_t bytes, bool huge) {
    void* mapping = mmap(
        nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) {
        return error{
            ENOMEM, "no address space for a forwarding table; raise the limit (ulimit -v)"};
    }
    if (huge) {
        madvise(mapping, bytes, MADV_HUGEPAGE); // advice: without it the table is only slower
    }
    return static_cast<std::byte*>(mapping);
}

void release_memory(std::byte* mapping, std::size_t bytes) {
    if (mapping != nullptr) {
        munmap(mapping, bytes);
    }
}

void touch_pages(void* begin, void* end) {
    auto* const last = static_cast<std::byte*>(end);
    for (auto* at = static_cast<std::byte*>(begin); at < last; at += page_bytes) {
        std::atomic_ref<std::byte>(*at).store(std::byte{0}, std::memory_order_relaxed);
    }
}

std::byte* page_above(void* at) {
    return multiple_above(at, page_bytes);
}

std::byte* huge_page_above(void* at) {
    return multiple_above(at, huge_page_bytes);
}

std::uint64_t mix_bytes(std::uint64_t hash, const void* data, std::size_t bytes) {
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

} // namespace pantala
