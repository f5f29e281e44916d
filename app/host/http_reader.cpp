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

void http_head_memory::keep(std::string_view head, const http_answer_head& meaning) {
    if (head.size() <= text_.size()) {
        bytes_ = head.size();
        std::memcpy(text_.data(), head.data(), bytes_);
        meaning_ = meaning;
    }
}

http_reader::outcome http_reader::take_meaning(const http_answer_head& meaning) {
    status_ = meaning.status;
    body_left_ = meaning.body_bytes;
    held_ = 0;
    return body_left_ == 0 ? outcome::answer : outcome::more;
}

http_reader::outcome http_reader::take_head(std::string_view head, http_head_memory& known) {
    const auto read = read_answer_head(head);
    if (!read) {
        return outcome::bad;
    }
    known.keep(head, *read);
    return take_meaning(*read);
}

http_reader::outcome
http_reader::read_head(std::string_view text, std::size_t& used, http_head_memory& known) {
    if (held_ == 0) {
        used = known.bytes_if_before(text);
        if (used != 0) {
            return take_meaning(known.meaning());
        }
        used = head_bytes(text);
        if (used != 0) {
            return take_head(text.substr(0, used), known);
        }
    }
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
    return take_head({head_.data(), whole}, known);
}

http_reader::outcome
http_reader::read(std::span<const std::byte> piece, std::size_t& used, http_head_memory& known) {
    used = 0;
    if (body_left_ == 0) {
        const std::string_view text(reinterpret_cast<const char*>(piece.data()), piece.size());
        const outcome said = read_head(text, used, known);
        if (said != outcome::more || body_left_ == 0) { // an answer, or not all of its head yet
            return said;
        }
    }
    const std::uint64_t here = std::min<std::uint64_t>(body_left_, piece.size() - used);
    used += here;
    body_left_ -= here;
    return body_left_ == 0 ? outcome::answer : outcome::more;
}

} // namespace pantala::app
