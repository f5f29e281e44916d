// What changed, for who watches: `pantala monitor`. Nothing is kept, and nothing is compared, while
// nobody watches. Owner: the control thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <unordered_map>

#include <nlohmann/json.hpp>

namespace pantala::app {

using nlohmann::json;

class change_feed {
  public:
    static constexpr std::size_t events_max = 65'536; // kept for who reads slowly

    bool watched() const { return watchers_ != 0; }
    // A watcher comes; the number of the first event that is new to it. unwatch() when it goes.
    std::uint64_t watch();
    void unwatch();

    // `object`: route, addr, link or neigh; `action`: add, del, change, load, flush.
    void tell(const char* object, const char* action, json row);
    // Compares all rows of an object with those of the last time and tells the differences. Rows
    // are the same by name or by device and address; `age_ms` is no difference.
    void compare(const char* object, const json& rows);
    // The same of all routes that stand aside: those that began to and those that are back have
    // changed, without coming or going.
    void compare_aside(const json& rows);
    // What has been told of them already.
    void learn_aside(const json& rows);
    // Forgets what compare() knew; the next one only learns.
    void forget() { known_.clear(); }

    // Events from number `from` on, while `each` answers true; the number to go on from. `lost`:
    // how many had gone before they were read.
    std::uint64_t read(
        std::uint64_t from, std::uint64_t& lost,
        const std::function<bool(const json&)>& each) const;

  private:
    using snapshot = std::unordered_map<std::string, json>;
    struct words {
        const char* came = "add";
        const char* went = "del";
    };
    void compare(const char* object, const json& rows, const words& say);

    unsigned watchers_ = 0;
    std::uint64_t first_ = 0; // number of events_.front()
    std::deque<json> events_;
    std::unordered_map<std::string, snapshot> known_; // by object
};

} // namespace pantala::app
