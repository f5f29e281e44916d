// What the grammars of changes and questions share: a line's words one after another, and what to
// say of one that does not belong there.
#pragma once

#include "engine/base/result.hpp"

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pantala::app {

using words = std::span<const std::string_view>;

// Views of the strings, which must outlive them.
inline std::vector<std::string_view> views(const std::vector<std::string>& text) {
    return {text.begin(), text.end()};
}

error say(std::string text);

// ": did you mean 'X'?" for the one of `known` that `word` abbreviates or is nearest to, by two
// slips at most; empty: for none.
std::string did_you_mean(std::string_view word, words known);

// "OBJECT: 'WORD' is not a word of this grammar (A, B, C): did you mean 'A'?"; of iproute2's own
// words that Pantala does not have it says so.
error unknown_word(
    std::string_view object, std::string_view word, std::initializer_list<std::string_view> known);

// Reads words one after another; `value` takes the word after a keyword.
class word_reader {
  public:
    explicit word_reader(words text) : text_(text) {}
    bool done() const { return at_ == text_.size(); }
    std::string_view next() { return text_[at_++]; }
    std::string_view peek() const { return done() ? std::string_view{} : text_[at_]; }

    result<std::string_view> value(std::string_view keyword);
    result<std::string> name(std::string_view keyword);
    result<std::uint32_t> number(std::string_view keyword, std::uint32_t least, std::uint32_t most);

  private:
    words text_;
    std::size_t at_ = 0;
};

// Moves a value to its place, or passes the failure on.
template <class T, class U>
result<void> take(result<U>&& from, T& into) {
    if (!from) {
        return from.failure();
    }
    into = static_cast<T>(std::move(*from));
    return {};
}

} // namespace pantala::app
