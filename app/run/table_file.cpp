#include "app/run/table_file.hpp"

#include <algorithm>
#include <cstring>
#include <memory>

#include <fmt/format.h>
#include <zlib.h>

namespace pantala::app {

namespace {

constexpr std::size_t block_bytes = 1 << 20;
constexpr std::size_t line_max = 4096;

bool blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

std::string_view take_word(std::string_view& text) {
    std::size_t from = 0;
    while (from < text.size() && blank(text[from])) {
        ++from;
    }
    std::size_t to = from;
    while (to < text.size() && !blank(text[to])) {
        ++to;
    }
    const std::string_view word = text.substr(from, to - from);
    text.remove_prefix(to);
    return word;
}

class parser {
  public:
    parser(const std::string& path, std::uint64_t limit) : path_(path), limit_(limit) {}

    // Takes the whole lines of `text`, and its end where that is the file's; returns how many
    // bytes they were.
    result<std::size_t> take(std::string_view text, bool last) {
        std::size_t at = 0;
        while (at < text.size() && !full()) {
            std::size_t stop = text.find('\n', at);
            if (stop == std::string_view::npos) {
                if (!last) {
                    break;
                }
                stop = text.size();
            }
            if (auto good = line(text.substr(at, stop - at)); !good) {
                return good.failure();
            }
            at = std::min(stop + 1, text.size());
        }
        if (text.size() - at > line_max && !full()) {
            ++number_;
            return wrong("line too long");
        }
        return at;
    }
    bool full() const { return limit_ != 0 && contents_.routes.size() == limit_; }
    table_contents contents() { return std::move(contents_); }
    error wrong(std::string_view what) const {
        return {EINVAL, fmt::format("{}:{}: {}", path_, number_, what)};
    }

  private:
    result<void> line(std::string_view text) {
        ++number_;
        text = text.substr(0, text.find('#'));
        const std::string_view prefix = take_word(text);
        if (prefix.empty()) {
            return {};
        }
        if (prefix.find(':') != std::string_view::npos) {
            ++contents_.ip6_skipped;
            return {};
        }
        table_route route;
        if (!read_prefix(prefix, route.to) ||
            (route.to.address & ~prefix_mask(route.to.length)) != 0) {
            return wrong(parse_destination(prefix.substr(0, 64)).failure().text);
        }
        if (const std::string_view word = take_word(text); !word.empty()) {
            const std::string_view via = take_word(text);
            if (word != "via" || !read_ip4(via, route.via) || !take_word(text).empty()) {
                return wrong("a line is PREFIX, or PREFIX via GATEWAY");
            }
        }
        contents_.routes.push_back(route);
        return {};
    }

    const std::string& path_;
    std::uint64_t limit_;
    std::uint64_t number_ = 0;
    table_contents contents_;
};

} // namespace

result<table_contents> read_table(const std::string& path, std::uint64_t limit) {
    const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
    if (!file) {
        return error{
            errno, fmt::format("cannot read the table {}: {}", path, std::strerror(errno))};
    }
    gzbuffer(file.get(), 1 << 18);
    parser lines(path, limit);
    std::string text;
    for (bool last = false; !last && !lines.full();) {
        const std::size_t kept = text.size();
        text.resize(kept + block_bytes);
        const int got = gzread(file.get(), text.data() + kept, block_bytes);
        if (got < 0) {
            int code = 0;
            return error{EIO, fmt::format("{}: {}", path, gzerror(file.get(), &code))};
        }
        text.resize(kept + static_cast<std::size_t>(got));
        last = got == 0;
        auto taken = lines.take(text, last);
        if (!taken) {
            return taken.failure();
        }
        text.erase(0, *taken);
    }
    return lines.contents();
}

} // namespace pantala::app
