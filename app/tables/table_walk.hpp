// The tables of a job that is done in turns, by the numbers that people have for them. Between two
// turns a table may go, and the RIB's number of it be another's: that one is not walked in its
// stead.
#pragma once

#include "app/tables/table_names.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace pantala::app {

class table_walk {
  public:
    explicit table_walk(std::vector<std::uint32_t> numbers) : numbers_(std::move(numbers)) {}

    // The slot of the table at hand, to be used in this turn. Tables that are gone are passed over.
    std::optional<unsigned> slot(const table_names& names, const rib& routes) {
        for (; at_ < numbers_.size(); ++at_) {
            if (const auto there = names.slot_there(numbers_[at_], routes)) {
                return there;
            }
        }
        return std::nullopt;
    }
    void next() { ++at_; }
    std::size_t at() const { return at_; } // another one: a walk through it begins

  private:
    std::vector<std::uint32_t> numbers_;
    std::size_t at_ = 0;
};

} // namespace pantala::app
