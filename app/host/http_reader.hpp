// Reads the answers of a web server one after another from the pieces of a stream, no more of them
// than counting needs: where each ends, and its status.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace pantala::app {

inline constexpr std::size_t http_answer_head_max = 4096;

// A head with its empty line. Nothing: no HTTP/1 answer with a Content-Length.
struct http_answer_head {
    unsigned status = 0;
    std::uint64_t body_bytes = 0;
};
std::optional<http_answer_head> read_answer_head(std::string_view head);

// The last head that was understood. A server answers with the same one again and again (its Date
// changes once a second): what is equal to it byte by byte needs no second look. Readers share it.
class http_head_memory {
  public:
    // What `text` begins with; bytes 0: not this one.
    std::size_t bytes_if_before(std::string_view text) const {
        return bytes_ != 0 && text.starts_with(std::string_view(text_.data(), bytes_)) ? bytes_ : 0;
    }
    const http_answer_head& meaning() const { return meaning_; }
    void keep(std::string_view head, const http_answer_head& meaning);

  private:
    std::size_t bytes_ = 0;
    http_answer_head meaning_;
    std::array<char, 512> text_{}; // longer ones are not kept
};

class http_reader {
  public:
    enum class outcome : std::uint8_t { more, answer, bad };

    // Reads from `piece` up to the end of an answer, and says how many bytes that took. `answer`:
    // one is complete, call again with the rest. `bad`: no use to go on.
    outcome read(std::span<const std::byte> piece, std::size_t& used, http_head_memory& known);
    unsigned status() const { return status_; }
    bool between_answers() const { return body_left_ == 0 && held_ == 0; }
    void reset();

  private:
    outcome read_head(std::string_view text, std::size_t& used, http_head_memory& known);
    outcome take_head(std::string_view head, http_head_memory& known);
    outcome take_meaning(const http_answer_head& meaning);

    std::uint64_t body_left_ = 0;
    unsigned status_ = 0;
    std::size_t held_ = 0; // bytes of a head that came in pieces
    std::array<char, http_answer_head_max> head_;
};

} // namespace pantala::app
