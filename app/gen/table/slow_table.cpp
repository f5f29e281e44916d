#include "app/gen/table/slow_table.hpp"

#include <cstring>
#include <memory>

#include <fmt/format.h>
#include <zlib.h>

namespace pantala::app {

result<std::vector<ip4_prefix>>
read_prefix_list(const std::string& path, std::uint64_t limit, const setup_watch& watch) {
    const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
    if (!file) {
        return error{ENOENT, fmt::format("cannot read the table {}", path)};
    }
    gzbuffer(file.get(), 1 << 18);
    std::vector<ip4_prefix> prefixes;
    char line[512];
    for (std::uint64_t number = 1; gzgets(file.get(), line, sizeof line) != nullptr; ++number) {
        if (watch && number % watch_every == 0 && !watch("reading the table", prefixes.size(), 0)) {
            return error{EINTR, "interrupted"};
        }
        std::string_view text(line, std::strcspn(line, "\r\n#"));
        text = text.substr(0, text.find_first_of(" \t"));
        if (text.empty() || text.find(':') != std::string_view::npos) {
            continue;
        }
        ip4_prefix prefix;
        if (!read_prefix(text, prefix)) {
            return error{EINVAL, fmt::format("{}:{}: '{}' is not a prefix", path, number, text)};
        }
        prefixes.push_back(prefix);
        if (prefixes.size() == limit) {
            break;
        }
    }
    int failed = Z_OK;
    const char* why = gzerror(file.get(), &failed);
    if (failed != Z_OK && failed != Z_STREAM_END) {
        return error{EIO, fmt::format("{}: {}", path, why)};
    }
    return prefixes;
}

void slow_table::add(ip4_prefix prefix, std::uint16_t value) {
    std::uint32_t at = 0;
    for (unsigned depth = 0; depth < prefix.length; ++depth) {
        const unsigned bit = prefix.address >> (31 - depth) & 1;
        if (nodes_[at].child[bit] == 0) {
            nodes_[at].child[bit] = static_cast<std::uint32_t>(nodes_.size());
            nodes_.emplace_back();
        }
        at = nodes_[at].child[bit];
    }
    prefixes_ += nodes_[at].value == no_route;
    nodes_[at].value = value;
}

std::uint16_t slow_table::lookup(std::uint32_t address) const {
    std::uint32_t at = 0;
    std::uint16_t best = nodes_[0].value;
    for (unsigned depth = 0; depth < 32; ++depth) {
        at = nodes_[at].child[address >> (31 - depth) & 1];
        if (at == 0) {
            break;
        }
        best = nodes_[at].value == no_route ? best : nodes_[at].value;
    }
    return best;
}

} // namespace pantala::app
