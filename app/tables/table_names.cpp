#include "app/tables/table_names.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace pantala::app {

const vrf* table_names::find(std::string_view name) const {
    const auto at = std::ranges::find(names_, name, &vrf::name);
    return at == names_.end() ? nullptr : &*at;
}

result<void> table_names::add(const std::string& name, std::uint32_t number) {
    if (has(name)) {
        return error{EEXIST, fmt::format("there is a VRF '{}' already", name)};
    }
    if (const std::string other = name_of(number); !other.empty() || number == main_table) {
        return error{
            EEXIST, fmt::format("table {} is that of '{}' already", number, text_of(number))};
    }
    names_.push_back({name, number});
    return {};
}

void table_names::remove(std::string_view name) {
    std::erase_if(names_, [&](const vrf& each) { return each.name == name; });
}

result<std::uint32_t> table_names::number_of(const table_word& named) const {
    if (named.name.empty()) {
        return named.number;
    }
    if (const vrf* found = find(named.name); found != nullptr) {
        return found->number;
    }
    std::string known;
    for (const vrf& each : names_) {
        known += (known.empty() ? "" : ", ") + each.name;
    }
    return error{
        ENOENT, fmt::format(
                    "no VRF '{}'; there are: {} ('link add NAME type vrf table N' makes one)",
                    named.name, known.empty() ? "none" : known)};
}

std::string table_names::name_of(std::uint32_t number) const {
    const auto at = std::ranges::find(names_, number, &vrf::number);
    return at == names_.end() ? std::string() : at->name;
}

std::string table_names::text_of(std::uint32_t number) const {
    const std::string name = name_of(number);
    return number == main_table ? "main" : name.empty() ? std::to_string(number) : name;
}

std::optional<unsigned> table_names::slot_of(std::uint32_t number) const {
    const auto at = std::ranges::find(numbers_, number);
    return at == numbers_.end() ? std::nullopt
                                : std::optional(static_cast<unsigned>(at - numbers_.begin()));
}

std::optional<unsigned> table_names::slot_there(std::uint32_t number, const rib& routes) const {
    const auto slot = slot_of(number);
    const bool there = slot && (routes.has_table(*slot) || !name_of(number).empty());
    return there ? slot : std::nullopt;
}

result<unsigned> table_names::take_slot(std::uint32_t number, const rib& routes) {
    if (const auto known = slot_of(number)) {
        return *known;
    }
    for (unsigned slot = 1; slot < tables_max; ++slot) {
        if (numbers_[slot] == 0 || (!routes.has_table(slot) && name_of(numbers_[slot]).empty())) {
            numbers_[slot] = number;
            return slot;
        }
    }
    return error{
        ENOSPC,
        fmt::format("all {} routing tables are in use ('vrf show' lists them)", tables_max)};
}

std::vector<std::uint32_t> table_names::numbers(const rib& routes) const {
    std::vector<std::uint32_t> found;
    for (unsigned slot = 1; slot < tables_max; ++slot) {
        if (numbers_[slot] != 0 && routes.has_table(slot)) {
            found.push_back(numbers_[slot]);
        }
    }
    for (const vrf& each : names_) {
        found.push_back(each.number);
    }
    std::ranges::sort(found);
    found.erase(std::unique(found.begin(), found.end()), found.end());
    found.insert(found.begin(), main_table);
    return found;
}

} // namespace pantala::app
