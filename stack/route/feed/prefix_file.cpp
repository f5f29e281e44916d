#include "stack/route/feed/prefix_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include <zlib.h>

namespace pantala {

namespace {

constexpr std::size_t read_bytes = std::size_t{1} << 20;
constexpr std::size_t text_bytes_max = std::size_t{1} << 32; // of a decompressed file
constexpr std::size_t line_shown_max = 60;

bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

std::string_view take_word(std::string_view& line) {
    while (!line.empty() && is_blank(line.front())) {
        line.remove_prefix(1);
    }
    const auto end =
        static_cast<std::size_t>(std::find_if(line.begin(), line.end(), is_blank) - line.begin());
    const std::string_view word = line.substr(0, end);
    line.remove_prefix(end);
    return word;
}

std::string shown(std::string_view line) {
    return std::string(line.substr(0, line_shown_max)) +
           (line.size() > line_shown_max ? "..." : "");
}

result<void> parse_line4(std::string_view prefix, std::string_view gateway, prefix_table& table) {
    result<prefix4> parsed = parse_prefix4(prefix);
    if (!parsed) {
        return parsed.failure();
    }
    file_route4 route{*parsed, 0};
    if (!gateway.empty()) {
        result<std::uint32_t> address = parse_address4(gateway);
        if (!address) {
            return address.failure();
        }
        route.gateway = *address;
    }
    table.ip4.push_back(route);
    return {};
}

result<void> parse_line6(std::string_view prefix, std::string_view gateway, prefix_table& table) {
    result<prefix6> parsed = parse_prefix6(prefix);
    if (!parsed) {
        return parsed.failure();
    }
    file_route6 route{*parsed, {}};
    if (!gateway.empty()) {
        result<address6> address = parse_address6(gateway);
        if (!address) {
            return address.failure();
        }
        route.gateway = *address;
    }
    table.ip6.push_back(route);
    return {};
}

result<void> parse_line(std::string_view line, prefix_table& table) {
    std::string_view rest = line.substr(0, line.find('#'));
    const std::string_view prefix = take_word(rest);
    if (prefix.empty()) {
        return {};
    }
    std::string_view gateway;
    if (const std::string_view via = take_word(rest); !via.empty()) {
        gateway = take_word(rest);
        if (via != "via" || gateway.empty() || !take_word(rest).empty()) {
            return error{
                EINVAL, "'" + shown(line) + "' is neither 'PREFIX' nor 'PREFIX via GATEWAY'"};
        }
    }
    return prefix.find(':') != std::string_view::npos ? parse_line6(prefix, gateway, table)
                                                      : parse_line4(prefix, gateway, table);
}

// The whole file, decompressed.
result<std::string> read_all(const std::string& path) {
    const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
    if (!file) {
        return error{errno, path + ": " + std::strerror(errno)};
    }
    gzbuffer(file.get(), 1U << 17);
    std::string text;
    for (;;) {
        const std::size_t before = text.size();
        text.resize(before + read_bytes);
        const int got = gzread(file.get(), text.data() + before, read_bytes);
        text.resize(before + static_cast<std::size_t>(std::max(got, 0)));
        if (got < 0) {
            int status = 0;
            return error{EINVAL, path + ": " + gzerror(file.get(), &status)};
        }
        if (got == 0) {
            break;
        }
        if (text.size() > text_bytes_max) {
            return error{EFBIG, path + ": more than 4 GiB of text"};
        }
    }
    int status = Z_OK;
    gzerror(file.get(), &status);
    if (status == Z_BUF_ERROR) {
        return error{EINVAL, path + ": the compressed file ends in the middle"};
    }
    return text;
}

std::uint64_t mix(std::uint64_t value) { // the finalizer of splitmix64
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ULL;
    value = (value ^ value >> 27) * 0x94d049bb133111ebULL;
    return value ^ value >> 31;
}

unsigned pick(std::uint64_t hash, unsigned hops, hop_rule rule) {
    const double uniform = static_cast<double>(hash >> 11) * 0x1p-53;
    const double share = rule == hop_rule::even ? uniform : uniform * uniform * uniform;
    return std::min(static_cast<unsigned>(share * hops), hops - 1);
}

} // namespace

result<prefix_table> parse_prefix_table(std::string_view text, const std::string& name) {
    prefix_table table;
    table.ip4.reserve(text.size() / 20);
    std::size_t number = 0;
    while (!text.empty()) {
        ++number;
        const std::size_t end = std::min(text.find('\n'), text.size());
        if (result<void> parsed = parse_line(text.substr(0, end), table); !parsed) {
            return error{
                parsed.failure().code,
                name + ":" + std::to_string(number) + ": " + parsed.failure().text};
        }
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return table;
}

result<prefix_table> read_prefix_file(const std::string& path) {
    result<std::string> text = read_all(path);
    if (!text) {
        return text.failure();
    }
    return parse_prefix_table(*text, path);
}

unsigned hop_by_rule(const prefix4& prefix, unsigned hops, hop_rule rule) {
    return pick(mix(std::uint64_t{prefix.address} << 8 | prefix.length), hops, rule);
}

unsigned hop_by_rule(const prefix6& prefix, unsigned hops, hop_rule rule) {
    return pick(mix(prefix.address.high ^ mix(prefix.address.low ^ prefix.length)), hops, rule);
}

} // namespace pantala
