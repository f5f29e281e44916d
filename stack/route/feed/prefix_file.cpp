#include "stack/route/feed/prefix_file.hpp"

#include "stack/route/feed/mrt_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

namespace pantala {

namespace {

constexpr std::size_t read_bytes = std::size_t{1} << 20;
constexpr std::size_t text_bytes_max = std::size_t{1} << 32; // of a decompressed file
constexpr std::size_t lines_max = std::size_t{1} << 24;
constexpr std::size_t line_bytes_max = 4096;
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
    if (line.size() > line_bytes_max) {
        return error{EINVAL, "'" + shown(line) + "': line too long"};
    }
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

// Lines as they come out of the file.
class line_parser {
  public:
    line_parser(const std::string& name, std::size_t limit) : name_(name), limit_(limit) {}

    bool full() const { return limit_ != 0 && table.ip4.size() >= limit_; }

    // Takes the whole lines of `text`, and its end where that is the file's; how many bytes.
    result<std::size_t> take(std::string_view text, bool last) {
        std::size_t at = 0;
        while (at < text.size() && !full()) {
            const std::size_t stop = std::min(text.find('\n', at), text.size());
            if (stop == text.size() && !last && stop - at <= line_bytes_max) {
                break;
            }
            if (++number_ > lines_max) {
                return error{EFBIG, name_ + ": more than 16 M lines"};
            }
            if (result<void> parsed = parse_line(text.substr(at, stop - at), table); !parsed) {
                const error& what = parsed.failure();
                return error{what.code, name_ + ":" + std::to_string(number_) + ": " + what.text};
            }
            at = std::min(stop + 1, text.size());
        }
        return at;
    }
    prefix_table finish() { return std::move(table); }

    prefix_table table{};

  private:
    const std::string& name_;
    std::size_t limit_;
    std::size_t number_ = 0;
};

using gz_file = std::unique_ptr<gzFile_s, int (*)(gzFile)>;

error system_error(const std::string& path) {
    return {errno, path + ": " + std::strerror(errno)};
}

result<gz_file> open_regular(const std::string& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat about {};
    if (fd < 0 || fstat(fd, &about) != 0) {
        const error failed = system_error(path);
        close(fd);
        return failed;
    }
    if (!S_ISREG(about.st_mode)) {
        close(fd);
        return error{EINVAL, path + ": not a regular file"};
    }
    gz_file file(gzdopen(fd, "rb"), gzclose);
    if (!file) {
        close(fd);
        return error{ENOMEM, path + ": no memory to read it"};
    }
    gzbuffer(file.get(), 1U << 17);
    return file;
}

// Appends the next block to `text`; how many bytes, 0 at the end of a file that was whole.
result<std::size_t> read_block(const std::string& path, gzFile file, std::string& text) {
    const std::size_t before = text.size();
    text.resize(before + read_bytes);
    const int got = gzread(file, text.data() + before, read_bytes);
    text.resize(before + static_cast<std::size_t>(std::max(got, 0)));
    int status = Z_OK;
    const char* why = gzerror(file, &status);
    if (got < 0) {
        return error{EINVAL, path + ": " + why};
    }
    if (got == 0 && status == Z_BUF_ERROR) {
        return error{EINVAL, path + ": the compressed file ends in the middle"};
    }
    return static_cast<std::size_t>(got);
}

// Feeds a file to a parser by the block, so that no more than a block and a record of it are held.
struct block_reader {
    const std::string& path;
    gzFile file;
    const prefix_file_options& options;
    std::string text; // the first block; then what is left of a record, and the block after it

    template <class Parser>
    result<prefix_table> read(Parser parser) {
        std::size_t bytes = text.size();
        for (bool last = text.empty();;) {
            const result<std::size_t> taken = parser.take(text, last);
            if (!taken) {
                return taken.failure();
            }
            text.erase(0, *taken);
            if (last || parser.full()) {
                return parser.finish();
            }
            if (options.stop != nullptr && options.stop->load(std::memory_order_relaxed)) {
                return error{ECANCELED, path + ": reading was called off"};
            }
            const result<std::size_t> got = read_block(path, file, text);
            if (!got) {
                return got.failure();
            }
            bytes += *got;
            if (bytes > text_bytes_max) {
                return error{EFBIG, path + ": more than 4 GiB of text"};
            }
            last = *got == 0;
        }
    }
};

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
    line_parser lines(name, 0);
    lines.table.ip4.reserve(text.size() / 20);
    const result<std::size_t> taken = lines.take(text, true);
    return taken ? lines.finish() : result<prefix_table>(taken.failure());
}

result<prefix_table> read_prefix_file(const std::string& path, const prefix_file_options& options) {
    const result<gz_file> file = open_regular(path);
    if (!file) {
        return file.failure();
    }
    if (options.stop != nullptr && options.stop->load(std::memory_order_relaxed)) {
        return error{ECANCELED, path + ": reading was called off"};
    }
    std::string text;
    const result<std::size_t> first = read_block(path, file->get(), text);
    if (!first) {
        return first.failure();
    }
    block_reader blocks{path, file->get(), options, std::move(text)};
    return is_mrt(blocks.text) ? blocks.read(mrt_parser(path, options.ip4_limit))
                               : blocks.read(line_parser(path, options.ip4_limit));
}

unsigned hop_by_rule(const prefix4& prefix, unsigned hops, hop_rule rule) {
    return pick(mix(std::uint64_t{prefix.address} << 8 | prefix.length), hops, rule);
}

unsigned hop_by_rule(const prefix6& prefix, unsigned hops, hop_rule rule) {
    return pick(mix(prefix.address.high ^ mix(prefix.address.low ^ prefix.length)), hops, rule);
}

} // namespace pantala
