// What a key of the configuration is: its name, where its value goes and within what bounds, and
// what it means. schema.hpp has the tables of them.
#pragma once

#include "engine/base/result.hpp"

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace pantala::app {

// Checks a text value; the sentence of the failure goes behind file, line and key.
using text_check = result<void> (*)(const std::string&);

template <class T>
struct text_key {
    std::string T::*member;
    text_check check = nullptr;
};
template <class T>
struct list_key {
    std::vector<std::string> T::*member;
    text_check check = nullptr; // of each element
};
template <class T>
struct number_key {
    std::uint32_t T::*member;
    std::uint32_t least;
    std::uint32_t most;
};
template <class T>
struct flag_key {
    bool T::*member;
};

template <class T>
struct key {
    const char* name;
    std::variant<text_key<T>, list_key<T>, number_key<T>, flag_key<T>> value;
    const char* meaning;
    bool required = false;
};

} // namespace pantala::app
