// How a router's changes are told to who watches: bodies of router's templates, for the files that
// make changes.
#pragma once

#include "app/run/router.hpp"

#include <algorithm>

namespace pantala::app {

// Makes a change of one prefix's routes and tells what is different after it.
template <class Prefix, class Change>
result<void> router::watched_change(unsigned slot, const Prefix& prefix, const Change& make) {
    if (!changes_.watched()) {
        return make();
    }
    changes_.compare_aside(list_aside()); // what came about before
    const json before = find_routes(slot, prefix);
    const result<void> done = make();
    const json after = find_routes(slot, prefix);
    const auto same_in = [](const json& rows, const json& row) {
        return std::any_of(rows.begin(), rows.end(), [&](const json& other) {
            return other.value("metric", 0U) == row.value("metric", 0U) &&
                   other.contains("aside") == row.contains("aside");
        });
    };
    for (const json& row : before) {
        if (!same_in(after, row)) {
            changes_.tell("route", "del", row);
        }
    }
    for (const json& row : after) {
        if (std::find(before.begin(), before.end(), row) == before.end()) {
            changes_.tell("route", same_in(before, row) ? "change" : "add", row);
        }
    }
    changes_.learn_aside(list_aside());
    return done;
}

template <class Change>
result<void> router::then_look(const Change& make) {
    const result<void> done = make();
    if (changes_.watched()) {
        look_for_changes();
    }
    return done;
}

} // namespace pantala::app
