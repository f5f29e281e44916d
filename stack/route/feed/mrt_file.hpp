// MRT routing-table dumps, TABLE_DUMP_V2 (RFC 6396 4.3; with path identifiers RFC 8050): what route
// collectors publish and routers save. Control.
//
// A record is a header of 12 bytes (time, type 13, subtype, length) and its body. RIB_IPV4_UNICAST
// (2) and RIB_IPV6_UNICAST (4) hold a prefix and an entry for each peer that told it, with BGP
// attributes; 8 and 10 are the same with path identifiers. Of a prefix the first entry counts: its
// NEXT_HOP (3), or the next hop of its MP_REACH_NLRI (14), which a table dump cuts down to a length
// and the addresses. Peers, multicast and what else there is are passed over.
#pragma once

#include "engine/base/result.hpp"
#include "stack/route/feed/prefix_file.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pantala {

// Whether a file may be one: by its first record's header.
bool is_mrt(std::string_view bytes);

// Records as they come out of the file.
class mrt_parser {
  public:
    // `name` stands for the file in errors; `limit`: of IPv4 routes, 0: none.
    mrt_parser(const std::string& name, std::size_t limit) : name_(name), limit_(limit) {}

    bool full() const { return limit_ != 0 && table_.ip4.size() >= limit_; }
    // Takes the whole records of `bytes`; how many bytes. `last`: there is nothing after them.
    // An error names the file and the record's offset: EINVAL, EFBIG (more than 16 M records).
    result<std::size_t> take(std::string_view bytes, bool last);
    // What was read. A prefix that occurred again counts once.
    prefix_table finish();

  private:
    const std::string& name_;
    std::size_t limit_;
    std::uint64_t offset_ = 0;
    std::size_t records_ = 0;
    prefix_table table_{};
};

// A whole dump, uncompressed.
result<prefix_table> parse_mrt(std::string_view bytes, const std::string& name);

} // namespace pantala
