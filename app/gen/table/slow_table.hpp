// The generator's and the sink's own idea of the routing table: a reader and a binary trie with one
// bit a step. Slow on purpose, and sharing no code with the router, whose answers it judges.
#pragma once

#include "app/address.hpp"
#include "engine/base/result.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace pantala::app {

// Told now and then how far a step is (of 0: not known). False: it is to be given up, EINTR.
using setup_watch =
    std::function<bool(std::string_view what, std::uint64_t done, std::uint64_t of)>;
inline constexpr std::uint64_t watch_every = 1U << 16; // prefixes, flows

// The IPv4 prefixes of a file with one CIDR a line, gzipped or not; IPv6 lines, blank lines and
// comments are passed over. At most `limit` of them (0: all). `watch`: see there; EINTR.
result<std::vector<ip4_prefix>>
read_prefix_list(const std::string& path, std::uint64_t limit, const setup_watch& watch = {});

class slow_table {
  public:
    static constexpr std::uint16_t no_route = 0xffff;

    slow_table() : nodes_(1) {}
    void add(ip4_prefix prefix, std::uint16_t value);
    // The value of the longest prefix that covers the address.
    std::uint16_t lookup(std::uint32_t address) const;
    std::size_t size() const { return prefixes_; }

  private:
    struct node {
        std::uint32_t child[2] = {0, 0}; // 0: none (the root is nobody's child)
        std::uint16_t value = no_route;
    };
    std::vector<node> nodes_;
    std::size_t prefixes_ = 0;
};

} // namespace pantala::app
