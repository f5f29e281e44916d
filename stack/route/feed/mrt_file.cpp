#include "stack/route/feed/mrt_file.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <span>

namespace pantala {

namespace {

constexpr std::size_t header_bytes = 12;
constexpr std::size_t records_max = std::size_t{1} << 24;
constexpr std::uint32_t record_bytes_max = 1U << 24; // a prefix as 1,000 peers tell it is 0.3 MB
constexpr unsigned table_dump_v2 = 13;
enum subtype : unsigned {
    peer_index_table = 1,
    rib_ipv4_unicast = 2,
    rib_ipv6_unicast = 4,
    rib_generic_addpath = 12, // the last one known
    rib_ipv4_unicast_addpath = 8,
    rib_ipv6_unicast_addpath = 10,
};
constexpr unsigned attribute_next_hop = 3;
constexpr unsigned attribute_mp_reach = 14;
constexpr unsigned flag_extended_length = 0x10;

std::span<const std::uint8_t> octets(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// Takes big-endian numbers and runs of bytes from the front; after a short read all are 0, and
// good() is false.
class cursor {
  public:
    explicit cursor(std::span<const std::uint8_t> bytes) : left_(bytes) {}

    bool good() const { return good_; }
    bool empty() const { return left_.empty(); }
    std::span<const std::uint8_t> take(std::size_t count) {
        if (count > left_.size()) {
            good_ = false;
            left_ = {};
            return {};
        }
        const auto taken = left_.first(count);
        left_ = left_.subspan(count);
        return taken;
    }
    std::uint32_t number(std::size_t bytes) {
        std::uint32_t value = 0;
        for (const std::uint8_t byte : take(bytes)) {
            value = value << 8 | byte;
        }
        return value;
    }

  private:
    std::span<const std::uint8_t> left_;
    bool good_ = true;
};

using address_bytes = std::array<std::uint8_t, 16>;

struct next_hops {
    std::optional<std::uint32_t> ip4;
    std::optional<address6> ip6;
};

address_bytes padded(std::span<const std::uint8_t> bytes) {
    address_bytes full{};
    std::copy(bytes.begin(), bytes.end(), full.begin());
    return full;
}

// In a table dump MP_REACH_NLRI is only the next hop's length and bytes; some writers leave the
// address family and SAFI before them.
void take_mp_reach(std::span<const std::uint8_t> value, next_hops& to) {
    const bool whole = !value.empty() && value[0] == 0;
    if (whole && value.size() > 3) {
        value = value.subspan(3);
    }
    if (value.size() < 17 || (value[0] != 16 && value[0] != 32)) {
        return;
    }
    to.ip6 = address6::from_bytes(padded(value.subspan(1, 16)));
}

// False: the attributes do not fit their length.
bool take_attributes(std::span<const std::uint8_t> bytes, next_hops& to) {
    cursor at(bytes);
    while (at.good() && !at.empty()) {
        const unsigned flags = at.number(1);
        const unsigned type = at.number(1);
        const auto value = at.take(at.number((flags & flag_extended_length) != 0 ? 2 : 1));
        if (type == attribute_next_hop && value.size() == 4) {
            to.ip4 = cursor(value).number(4);
        } else if (type == attribute_mp_reach) {
            take_mp_reach(value, to);
        }
    }
    return at.good();
}

// A RIB record: sequence, prefix, entries. Only the first entry is looked at.
bool take_rib(std::span<const std::uint8_t> body, bool is6, bool path_ids, prefix_table& table) {
    cursor at(body);
    at.number(4); // sequence
    const unsigned length = at.number(1);
    if (length > (is6 ? 128U : 32U)) {
        return false;
    }
    const address_bytes address = padded(at.take((length + 7) / 8));
    const unsigned entries = at.number(2);
    next_hops hops;
    if (entries != 0) {
        at.take(2 + 4); // peer, time
        at.take(path_ids ? 4 : 0);
        if (!take_attributes(at.take(at.number(2)), hops)) {
            return false;
        }
    }
    if (!at.good()) {
        return false;
    }
    const address6 bits = address6::from_bytes(address);
    if (is6) {
        table.ip6.push_back({make_prefix6(bits, length), hops.ip6.value_or(address6{})});
    } else {
        const auto host = static_cast<std::uint32_t>(bits.high >> 32);
        table.ip4.push_back({make_prefix4(host, length), hops.ip4.value_or(0)});
    }
    return true;
}

template <class Routes>
void keep_first(Routes& routes) {
    const auto less = [](const auto& a, const auto& b) { return a.prefix < b.prefix; };
    if (!std::is_sorted(routes.begin(), routes.end(), less)) {
        std::stable_sort(routes.begin(), routes.end(), less);
    }
    const auto same = [](const auto& a, const auto& b) { return a.prefix == b.prefix; };
    routes.erase(std::unique(routes.begin(), routes.end(), same), routes.end());
}

} // namespace

bool is_mrt(std::string_view bytes) {
    cursor at(octets(bytes));
    at.number(4); // time
    const unsigned type = at.number(2);
    const unsigned of = at.number(2);
    at.number(4); // length
    return at.good() && type == table_dump_v2 && of >= peer_index_table &&
           of <= rib_generic_addpath;
}

result<std::size_t> mrt_parser::take(std::string_view bytes, bool last) {
    const auto wrong = [&](int code, const char* what) {
        return error{code, name_ + ": record at byte " + std::to_string(offset_) + ": " + what};
    };
    std::size_t taken = 0;
    while (taken < bytes.size() && !full()) {
        cursor at(octets(bytes.substr(taken)));
        at.number(4); // time
        const unsigned type = at.number(2);
        const unsigned of = at.number(2);
        const std::uint32_t length = at.number(4);
        if (at.good() && length > record_bytes_max) {
            return wrong(EINVAL, "no record is so long");
        }
        const auto body = at.take(length);
        if (!at.good()) {
            return last ? result<std::size_t>(wrong(EINVAL, "the file ends in the middle of it"))
                        : taken;
        }
        if (++records_ > records_max) {
            return wrong(EFBIG, "more than 16 M records");
        }
        const bool is6 = of == rib_ipv6_unicast || of == rib_ipv6_unicast_addpath;
        const bool path_ids = of == rib_ipv4_unicast_addpath || of == rib_ipv6_unicast_addpath;
        const bool is4 = of == rib_ipv4_unicast || of == rib_ipv4_unicast_addpath;
        if (type == table_dump_v2 && (is4 || is6) && !take_rib(body, is6, path_ids, table_)) {
            return wrong(EINVAL, "its prefix or attributes do not fit it");
        }
        taken += header_bytes + length;
        offset_ += header_bytes + length;
    }
    return taken;
}

prefix_table mrt_parser::finish() {
    keep_first(table_.ip4);
    keep_first(table_.ip6);
    table_.from_mrt = true;
    return std::move(table_);
}

result<prefix_table> parse_mrt(std::string_view bytes, const std::string& name) {
    mrt_parser records(name, 0);
    const result<std::size_t> taken = records.take(bytes, true);
    return taken ? records.finish() : result<prefix_table>(taken.failure());
}

} // namespace pantala
