#include "app/monitor/change_feed.hpp"

#include <algorithm>
#include <chrono>

namespace pantala::app {

namespace {

std::string key_of(const json& row) {
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
    const bool first = !known_.contains(object);
    snapshot& before = known_[object];
    snapshot now;
    for (json row : rows) {
        row.erase("age_ms");
        row.erase("addresses"); // of a link: told as addresses
        std::string key = key_of(row);
        const auto old = before.find(key);
        if (!first && (old == before.end() || old->second != row)) {
            tell(object, old == before.end() ? "add" : "change", row);
        }
        now.emplace(std::move(key), std::move(row));
    }
    for (auto& [key, row] : before) {
        if (!now.contains(key)) {
            tell(object, "del", std::move(row));
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
