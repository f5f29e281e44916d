// Routing tables by the names and numbers that operators have for them: iproute2's numbers, and
// VRFs, which are names of numbers. Behind them are the RIB's own numbers, 0 to 63 (its slots).
// Owner: the control thread.
#pragma once

#include "app/changes.hpp"
#include "stack/route/rib.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pantala::app {

struct vrf {
    std::string name;
    std::uint32_t number = 0;
};

class table_names {
  public:
    // Errors: EEXIST (the name, or the number, is another's), ENOENT.
    result<void> add(const std::string& name, std::uint32_t number);
    void remove(std::string_view name);
    bool has(std::string_view name) const { return find(name) != nullptr; }
    // The number of a table. Errors: ENOENT, with the names that there are.
    result<std::uint32_t> number_of(const table_word& named) const;
    // The VRF of a table; empty: it has none.
    std::string name_of(std::uint32_t number) const;
    // What people call it: the name of its VRF, `main`, or its number.
    std::string text_of(std::uint32_t number) const;
    const std::vector<vrf>& all() const { return names_; }

    // The RIB's number of a table, whether or not anything is in it; nothing: it has none. One with
    // a name always has one.
    std::optional<unsigned> slot_of(std::uint32_t number) const;
    // The same of a table that is there, or has a name.
    std::optional<unsigned> slot_there(std::uint32_t number, const rib& routes) const;
    // As slot_of(); one is taken for it where it has none. Errors: ENOSPC.
    result<unsigned> take_slot(std::uint32_t number, const rib& routes);
    std::uint32_t number_at(unsigned slot) const { return numbers_[slot]; }
    // The tables that are there, or have a name: main first, then by number.
    std::vector<std::uint32_t> numbers(const rib& routes) const;

  private:
    const vrf* find(std::string_view name) const;

    std::vector<vrf> names_;
    // By slot; 0: free. One without a name whose table has gone is taken by the next that wants
    // one.
    std::array<std::uint32_t, tables_max> numbers_{main_table};
};

} // namespace pantala::app
