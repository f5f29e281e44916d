// Route files for the router: one prefix a line, with a gateway of its own or without.
//
//   192.0.2.0/24
//   198.51.100.0/24 via 10.0.0.1
//
// Of both families. Gzipped or not. `#` begins a comment. Or an MRT dump. (The formats' readers are
// in stack/route/feed.)
#pragma once

#include "app/address.hpp"
#include "engine/base/result.hpp"
#include "stack/route/prefix6.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace pantala::app {

struct table_route {
    ip4_prefix to;
    std::uint32_t via = 0; // host order; 0: the rule chooses
};

struct table_route6 {
    prefix6 to;
    address6 via{}; // all zero: the rule chooses
};

struct table_contents {
    std::vector<table_route> routes;
    std::vector<table_route6> routes6;
    bool from_mrt = false; // the gateways are those of who dumped it
};

// Reads at most `limit` IPv4 routes (0: all) of a regular file. Any thread. An error names file and
// line; a file that is cut off is one. `stop`, once true, ends it within a block of 1 MiB.
result<table_contents>
read_table(const std::string& path, std::uint64_t limit, const std::atomic<bool>* stop = nullptr);

// A file being read by a thread of its own. Nobody ever waits for that thread: a reading that is
// destroyed calls it off, and what it holds goes when it ends. Owner: the control thread.
class table_reading {
  public:
    static constexpr unsigned under_way_max = 8;

    // Errors: EBUSY (as many are under way, called off ones among them), EAGAIN (no thread).
    static result<table_reading> start(const std::string& path, std::uint64_t limit);
    table_reading(table_reading&&) = default;
    ~table_reading();

    bool done() const;
    // What was read, once done.
    result<table_contents> take();
    // How many threads are at it. Any thread.
    static unsigned under_way();

  private:
    struct work;
    explicit table_reading(std::shared_ptr<work> shared) : work_(std::move(shared)) {}
    std::shared_ptr<work> work_;
};

} // namespace pantala::app
