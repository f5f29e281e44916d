// What a call is given: pieces of memory, and where a message goes.
#pragma once

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <span>
#include <vector>

#include <sys/socket.h>
#include <sys/uio.h>

namespace pantala::bsd {

inline constexpr std::size_t call_bytes_max = 0x7fff'f000; // as in Linux: more is cut

// The pieces of a message, of which the first `done` bytes are done with.
class pieces {
  public:
    explicit pieces(std::span<const iovec> all) : all_(all) {
        for (const iovec& one : all) {
            total_ += std::min(one.iov_len, call_bytes_max - total_);
        }
    }
    // 0 or errno.
    static int check_sizes(std::span<const iovec> all) {
        const auto huge = [](const iovec& one) { return one.iov_len > SSIZE_MAX; };
        return std::ranges::any_of(all, huge) ? EINVAL : 0;
    }
    // And none may point nowhere.
    static int check(std::span<const iovec> all) {
        const auto nowhere = [](const iovec& one) {
            return one.iov_base == nullptr && one.iov_len != 0;
        };
        const int wrong = check_sizes(all);
        return wrong == 0 && std::ranges::any_of(all, nowhere) ? EFAULT : wrong;
    }
    std::size_t total() const { return total_; }
    std::size_t done() const { return done_; }
    bool complete() const { return done_ == total_; }
    // The next contiguous piece; not of a complete one.
    std::span<std::byte> next() const {
        const iovec& one = all_[index_];
        const std::size_t here = std::min(one.iov_len - offset_, total_ - done_);
        return {static_cast<std::byte*>(one.iov_base) + offset_, here};
    }
    void advance(std::size_t count) {
        done_ += count;
        offset_ += count;
        skip_empty();
    }
    // Steps over several pieces, which may point nowhere.
    void skip(std::size_t count) {
        while (count != 0) {
            const std::size_t here = std::min(count, all_[index_].iov_len - offset_);
            advance(here);
            count -= here;
        }
    }
    // The next bytes, at most so many.
    std::vector<std::byte> copy(std::size_t most) const {
        std::vector<std::byte> bytes;
        for (pieces rest = *this; bytes.size() < most && !rest.complete();) {
            const auto piece = rest.next();
            const auto here = piece.first(std::min(piece.size(), most - bytes.size()));
            bytes.insert(bytes.end(), here.begin(), here.end());
            rest.advance(here.size());
        }
        return bytes;
    }
    void skip_empty() {
        while (index_ < all_.size() && offset_ == all_[index_].iov_len) {
            ++index_;
            offset_ = 0;
        }
    }

  private:
    std::span<const iovec> all_;
    std::size_t total_ = 0;
    std::size_t done_ = 0;
    std::size_t index_ = 0;
    std::size_t offset_ = 0;
};

// Where a message goes, as the caller says it.
struct destination {
    const sockaddr* address = nullptr;
    socklen_t length = 0;
    const msghdr* message = nullptr; // sendmsg's, for its ancillary data
};

} // namespace pantala::bsd
