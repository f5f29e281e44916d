// Routing tables of a router: VRFs made and deleted, interfaces put into them, what they cost.
#include "app/questions.hpp"
#include "app/run/router.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace pantala::app {

result<unsigned> router::table_there(const table_word& named) const {
    const auto number = tables_.number_of(named);
    if (!number) {
        return number.failure();
    }
    if (const auto slot = tables_.slot_there(*number, *rib_)) {
        return *slot;
    }
    return error{
        ENOENT, fmt::format(
                    "there is no table {}: no route and no interface is in it ('vrf show' lists "
                    "those there are)",
                    *number)};
}

result<unsigned> router::table_for(const table_word& named) {
    const auto number = tables_.number_of(named);
    return number ? tables_.take_slot(*number, *rib_) : result<unsigned>(number.failure());
}

result<std::vector<std::uint32_t>> router::tables_asked(const show_question& asked) const {
    if (asked.all_tables) {
        return tables_.numbers(*rib_);
    }
    const auto slot = table_there(asked.table);
    return slot ? std::vector{tables_.number_at(*slot)}
                : result<std::vector<std::uint32_t>>(slot.failure());
}

result<void> router::add_vrf(const link_change& change) {
    if (links_.find(change.name)) {
        return error{EEXIST, fmt::format("interface '{}' exists", change.name)};
    }
    table_word name;
    auto good = set_table("table", change.name, name);
    if (!good || name.name.empty()) {
        return error{
            EINVAL,
            fmt::format(
                "'{}' is no name for a VRF: 1 to 31 letters, digits, '.', '-' or '_', but not a "
                "number, main, local, default or all",
                change.name)};
    }
    if (auto made = tables_.add(change.name, change.table->number); !made) {
        return made;
    }
    const auto slot = tables_.take_slot(change.table->number, *rib_);
    if (!slot) {
        tables_.remove(change.name);
    }
    return slot ? result<void>() : slot.failure();
}

// Its routes stay in the table that it named.
result<void> router::del_vrf(const std::string& name) {
    const auto number = tables_.number_of({.name = name});
    const unsigned slot = *tables_.slot_of(*number);
    for (const link& each : links_.all()) {
        if (rib_->interface(each.id).table == slot) {
            return error{
                EBUSY, fmt::format(
                           "interface '{0}' is in VRF '{1}': 'link set {0} nomaster' takes it out",
                           each.name, name)};
        }
    }
    tables_.remove(name);
    return {};
}

result<void> router::put_into(const link& of, const table_word& to) {
    const auto slot = table_for(to);
    return slot ? rib_->set_table(of.id, *slot) : result<void>(slot.failure());
}

// Number and name of a table that is not the main one.
void router::add_table(json& row, unsigned slot) const {
    if (slot == 0) {
        return;
    }
    const std::uint32_t number = tables_.number_at(slot);
    row["table"] = number;
    if (std::string name = tables_.name_of(number); !name.empty()) {
        row["vrf"] = std::move(name);
    }
}

json router::list_tables() const {
    json rows = json::array();
    for (const std::uint32_t number : tables_.numbers(*rib_)) {
        const unsigned slot = *tables_.slot_of(number);
        const table_counts counts = rib_->counts_of(slot);
        const std::string name = number == main_table ? "main" : tables_.name_of(number);
        json interfaces = json::array();
        for (const link& each : links_.all()) {
            if (rib_->interface(each.id).table == slot) {
                interfaces.push_back(each.name);
            }
        }
        rows.push_back(
            {{"name", name.empty() ? json() : json(name)},
             {"table", number},
             {"interfaces", std::move(interfaces)},
             {"ipv4_routes", counts.routes4},
             {"ipv6_routes", counts.routes6},
             {"replica_bytes_ipv4", counts.replica_bytes4},
             {"replica_bytes_ipv6", counts.replica_bytes6},
             {"control_bytes", counts.authority_bytes}});
    }
    return rows;
}

} // namespace pantala::app
