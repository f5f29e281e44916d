// Bytes from one thread to one other.
#pragma once

#include "engine/base/cache_line.hpp"
#include "engine/base/check.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

namespace pantala::bsd {

class byte_ring {
  public:
    explicit byte_ring(std::size_t capacity)
        : mask_(std::bit_ceil(capacity) - 1),
          bytes_(std::make_unique_for_overwrite<std::byte[]>(mask_ + 1)) {} // touched as it fills
    std::size_t capacity() const { return mask_ + 1; }

    // --- producer ---
    std::size_t room() const {
        return mask_ + 1 -
               (tail_.load(std::memory_order_relaxed) - head_.load(std::memory_order_acquire));
    }
    // Bytes that were ever written.
    std::uint64_t written() const { return tail_.load(std::memory_order_relaxed); }
    // As much as there is room for; returns how many bytes.
    std::size_t write(std::span<const std::byte> from) {
        const std::size_t count = std::min(from.size(), room());
        if (count == 0) {
            return 0; // an empty span may have no address
        }
        const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
        const std::size_t at = tail & mask_;
        const std::size_t first = std::min(count, mask_ + 1 - at);
        std::memcpy(bytes_.get() + at, from.data(), first);
        std::memcpy(bytes_.get(), from.data() + first, count - first);
        tail_.store(tail + count, std::memory_order_release); // with peek
        return count;
    }

    // --- consumer ---
    std::size_t size() const {
        return tail_.load(std::memory_order_acquire) - head_.load(std::memory_order_relaxed);
    }
    // Bytes that were ever consumed.
    std::uint64_t consumed() const { return head_.load(std::memory_order_relaxed); }
    // The first contiguous piece.
    std::span<const std::byte> peek() const {
        const std::size_t at = head_.load(std::memory_order_relaxed) & mask_;
        return {bytes_.get() + at, std::min(size(), mask_ + 1 - at)};
    }
    // Bytes that are there, from this place on; they stay.
    void copy(std::size_t from, std::span<std::byte> to) const {
        PANTALA_DCHECK(from + to.size() <= size());
        if (to.empty()) {
            return; // an empty span may have no address
        }
        const std::size_t at = (head_.load(std::memory_order_relaxed) + from) & mask_;
        const std::size_t first = std::min(to.size(), mask_ + 1 - at);
        std::memcpy(to.data(), bytes_.get() + at, first);
        std::memcpy(to.data() + first, bytes_.get(), to.size() - first);
    }
    void consume(std::size_t count) {
        PANTALA_DCHECK(count <= size());
        head_.store(
            head_.load(std::memory_order_relaxed) + count, std::memory_order_release); // with room
    }

  private:
    std::size_t mask_;
    std::unique_ptr<std::byte[]> bytes_;
    alignas(sharing_range_bytes) std::atomic<std::uint64_t> head_{0};
    alignas(sharing_range_bytes) std::atomic<std::uint64_t> tail_{0};
};

} // namespace pantala::bsd
