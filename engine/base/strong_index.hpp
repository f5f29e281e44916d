// Ids are types: a worker_id does not index an array of ports.
#pragma once

#include <compare>
#include <concepts>
#include <cstddef>
#include <functional>

namespace pantala {

template <class Tag, std::unsigned_integral Rep>
struct strong_index {
    using rep = Rep;
    Rep value = 0;

    constexpr strong_index() = default;
    constexpr explicit strong_index(Rep v) : value(v) {}

    constexpr auto operator<=>(const strong_index&) const = default;
    constexpr strong_index& operator++() {
        ++value;
        return *this;
    }
};

} // namespace pantala

template <class Tag, class Rep>
struct std::hash<pantala::strong_index<Tag, Rep>> {
    std::size_t operator()(pantala::strong_index<Tag, Rep> id) const noexcept { return id.value; }
};
