#include "app/monitor/change_feed.hpp"

#include <algorithm>
#include <chrono>

namespace pantala::app {

namespace {

constexpr const char* of_aside = "route"; // what routes are told as, and known as

std::string key_of(const json& row) {
    if (row.contains("to")) { // a route that stands aside: one a prefix and table
        return row.value("to", "") + " " + row.value("table", json(0U)).dump();
    }
    return row.contains("name") ? row.value("name", "")
                                : row.value("dev", "") + " " + row.value("address", "");
}

} // namespace

std::uint64_t change_feed::watch() {
    ++watchers_;
    return first_ + events_.size();
}

void change_feed::unwatch() {
    if (--watchers_ == 0) {
        first_ += events_.size();
        events_.clear();
        forget();
    }
}

void change_feed::tell(const char* object, const char* action, json row) {
    if (!watched()) {
        return;
    }
    using namespace std::chrono;
    const auto now = duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
    row["event"] = object;
    row["action"] = action;
    row["time"] = static_cast<double>(now) / 1000;
    if (events_.size() == events_max) {
        events_.pop_front();
        ++first_;
    }
    events_.push_back(std::move(row));
}

void change_feed::compare(const char* object, const json& rows) {
    compare(object, rows, {});
}

void change_feed::compare_aside(const json& rows) {
    compare(of_aside, rows, {"change", "change"});
}

void change_feed::learn_aside(const json& rows) {
    snapshot now;
    for (const json& row : rows) {
        now.emplace(key_of(row), row);
    }
    known_[of_aside] = std::move(now);
}

void change_feed::compare(const char* object, const json& rows, const words& say) {
    const bool first = !known_.contains(object);
    snapshot& before = known_[object];
    snapshot now;
    for (json row : rows) {
        row.erase("age_ms");
        row.erase("addresses"); // of a link: told as addresses
        std::string key = key_of(row);
        const auto old = before.find(key);
        if (!first && (old == before.end() || old->second != row)) {
            tell(object, old == before.end() ? say.came : "change", row);
        }
        now.emplace(std::move(key), std::move(row));
    }
    for (auto& [key, row] : before) {
        if (!now.contains(key)) {
            row.erase("aside");
            tell(object, say.went, std::move(row));
        }
    }
    before = std::move(now);
}

std::uint64_t change_feed::read(
    std::uint64_t from, std::uint64_t& lost, const std::function<bool(const json&)>& each) const {
    lost = first_ > from ? first_ - from : 0;
    std::uint64_t at = std::max(from, first_);
    while (at < first_ + events_.size() && each(events_[at - first_])) {
        ++at;
    }
    return at;
}

} // namespace pantala::app
