// Route tables as text, plain or gzip'd: one `PREFIX` or `PREFIX via GATEWAY` a line, both
// families; empty lines and what follows `#` are skipped. Or an MRT dump (mrt_file.hpp). Read by
// any thread; about 0.2 s for a full Internet table.
#pragma once

#include "engine/base/result.hpp"
#include "stack/route/prefix4.hpp"
#include "stack/route/prefix6.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pantala {

struct file_route4 {
    prefix4 prefix;
    std::uint32_t gateway = 0; // host order; 0: none given
};
struct file_route6 {
    prefix6 prefix;
    address6 gateway{}; // ::: none given
};

struct prefix_table {
    std::vector<file_route4> ip4; // in the file's order; a prefix may come twice
    std::vector<file_route6> ip6;
    bool from_mrt = false; // the gateways are those of who dumped it
};

struct prefix_file_options {
    std::size_t ip4_limit = 0;               // reading ends at so many IPv4 routes; 0: all
    const std::atomic<bool>* stop = nullptr; // looked at before each block of 1 MiB
};

// Reads a regular file, and no other (who opens a pipe may wait for ever), by the block. Errors:
// ENOENT and the like; EINVAL with "FILE:LINE: what is wrong", and for a compressed file that ends
// too soon; EFBIG beyond 4 GiB of text or 16 M lines or records; ECANCELED by `stop`.
result<prefix_table>
read_prefix_file(const std::string& path, const prefix_file_options& options = {});
// `name` stands for the file in errors.
result<prefix_table> parse_prefix_table(std::string_view text, const std::string& name);

// Next hops for tables that have none: index 0..hops-1 by a fixed hash of the prefix. `even` gives
// each as many prefixes; `skewed` is as real tables are: index k is reached with u^3 * hops for
// uniform u, so that of 63 hops the first has a quarter of all prefixes and eight have half.
enum class hop_rule : std::uint8_t { skewed, even };
unsigned hop_by_rule(const prefix4& prefix, unsigned hops, hop_rule rule = hop_rule::skewed);
unsigned hop_by_rule(const prefix6& prefix, unsigned hops, hop_rule rule = hop_rule::skewed);

// A made-up table with the prefix lengths of the real one of 2025 (901,899 IPv4 and 160,147 IPv6
// prefixes, scaled by `share`), nested and clustered as allocations are. The same seed gives the
// same table.
prefix_table synthetic_table(std::uint64_t seed = 1, double share = 1.0);

} // namespace pantala
