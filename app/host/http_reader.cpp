#include "app/host/http_reader.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include <strings.h>

namespace pantala::app {

namespace {

constexpr std::string_view head_end = "\r\n\r\n";
constexpr std::string_view length_field = "content-length:";

// Bytes up to and with the empty line; 0: it is not there.
std::size_t head_bytes(std::string_view text) {
    const void* found = memmem(text.data(), text.size(), head_end.data(), head_end.size());
    return found == nullptr
               ? 0
               : static_cast<std::size_t>(static_cast<const char*>(found) - text.data()) +
                     head_end.size();
}

} // namespace

std::optional<http_answer_head> read_answer_head(std::string_view head) {
    http_answer_head result;
    if (head.size() < 15 || !head.starts_with("HTTP/1.") || head[8] != ' ') {
        return std::nullopt;
    }
    const auto [end, code] = std::from_chars(head.data() + 9, head.data() + 12, result.status);
    if (code != std::errc{} || end != head.data() + 12) {
        return std::nullopt;
    }
    for (std::size_t line = head.find('\n'); line != std::string_view::npos;
         line = head.find('\n', line + 1)) {
        std::string_view field = head.substr(line + 1);
        if (field.size() < length_field.size() || (field[0] | 0x20) != 'c' ||
            strncasecmp(field.data(), length_field.data(), length_field.size()) != 0) {
            continue;
        }
        field.remove_prefix(length_field.size());
        field.remove_prefix(std::min(field.find_first_not_of(' '), field.size()));
        const auto read =
            std::from_chars(field.data(), field.data() + field.size(), result.body_bytes);
        if (read.ec != std::errc{} || *read.ptr != '\r') {
            return std::nullopt;
        }
        return result;
    }
    return std::nullopt;
}

void http_reader::reset() {
    body_left_ = 0;
    held_ = 0;
}

http_reader::outcome http_reader::take_head(std::string_view head) {
    const auto read = read_answer_head(head);
    if (!read) {
        return outcome::bad;
    }
    status_ = read->status;
    body_left_ = read->body_bytes;
    held_ = 0;
    return body_left_ == 0 ? outcome::answer : outcome::more;
}

http_reader::outcome http_reader::read(std::span<const std::byte> piece, std::size_t& used) {
    used = 0;
    if (body_left_ == 0) {
        std::string_view text(reinterpret_cast<const char*>(piece.data()), piece.size());
        outcome said = outcome::more;
        if (held_ == 0 && head_bytes(text) != 0) {
            used = head_bytes(text);
            said = take_head(text.substr(0, used));
        } else {
            const std::size_t before = held_;
            const std::size_t taken = std::min(text.size(), head_.size() - held_);
            std::memcpy(head_.data() + held_, text.data(), taken);
            held_ += taken;
            const std::size_t whole = head_bytes({head_.data(), held_});
            if (whole == 0) {
                used = taken;
                return held_ == head_.size() ? outcome::bad : outcome::more;
            }
            used = whole - before;
            said = take_head({head_.data(), whole});
        }
        if (said != outcome::more) {
            return said;
        }
    }
    const std::uint64_t here = std::min<std::uint64_t>(body_left_, piece.size() - used);
    used += here;
    body_left_ -= here;
    return body_left_ == 0 ? outcome::answer : outcome::more;
}

} // namespace pantala::app
