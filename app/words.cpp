#include "app/words.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include <fmt/format.h>

namespace pantala::app {

namespace {

constexpr std::size_t shown_max = 60;
constexpr std::size_t compared_max = 15; // longer words have no near one
constexpr unsigned slips_max = 2;

std::string_view shown(std::string_view word) {
    return word.substr(0, shown_max);
}

// Insertions, deletions, substitutions and neighbours exchanged (optimal string alignment).
unsigned slips(std::string_view from, std::string_view to) {
    std::array<std::array<unsigned, compared_max + 1>, compared_max + 1> cost{};
    for (unsigned i = 0; i <= from.size(); ++i) {
        for (unsigned j = 0; j <= to.size(); ++j) {
            if (i == 0 || j == 0) {
                cost[i][j] = i + j;
                continue;
            }
            const unsigned other = from[i - 1] == to[j - 1] ? 0 : 1;
            cost[i][j] =
                std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + other});
            if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1]) {
                cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
            }
        }
    }
    return cost[from.size()][to.size()];
}

// Words of iproute2's manual for these objects, which somebody may look for here.
bool iproute2_has(std::string_view word) {
    constexpr std::string_view known[] = {
        "advmss",        "alias",      "allmulticast",  "arp",
        "broadcast",     "brd",        "change",        "congctl",
        "cwnd",          "encap",      "expires",       "fastopen_no_cookie",
        "features",      "group",      "hoplimit",      "initcwnd",
        "initrwnd",      "label",      "lock",          "mngtmpaddr",
        "multicast",     "nhid",       "noprefixroute", "nud",
        "onlink",        "peer",       "pervasive",     "pref",
        "preferred_lft", "promisc",    "proxy",         "quickack",
        "realm",         "realms",     "reordering",    "root",
        "router",        "rtt",        "rttvar",        "rto_min",
        "src",           "ssthresh",   "tos",           "dsfield",
        "ttl-propagate", "txqueuelen", "unused",        "valid_lft",
        "window",        "match",      "exact"};
    return std::find(std::begin(known), std::end(known), word) != std::end(known);
}

} // namespace

error say(std::string text) {
    return error{EINVAL, std::move(text)};
}

std::string did_you_mean(std::string_view word, words known) {
    std::string_view nearest;
    unsigned least = slips_max + 1;
    for (const std::string_view each : known) {
        if (word.empty() || word.size() > compared_max || each.size() > compared_max) {
            continue;
        }
        const bool abbreviated = each.starts_with(word);
        const unsigned count = abbreviated ? 0 : slips(word, each);
        if (count < least && count < each.size()) {
            least = count;
            nearest = each;
        }
    }
    return nearest.empty() ? std::string() : fmt::format(": did you mean '{}'?", nearest);
}

error unknown_word(
    std::string_view object, std::string_view word, std::initializer_list<std::string_view> known) {
    if (word.empty()) {
        return say(fmt::format("{}: what? ({})", object, fmt::join(known, ", ")));
    }
    if (iproute2_has(word)) {
        return say(fmt::format(
            "{}: '{}' is a word of iproute2 that pantala does not have ({})", object, shown(word),
            fmt::join(known, ", ")));
    }
    return say(fmt::format(
        "{}: '{}' is not a word of this grammar ({}){}", object, shown(word),
        fmt::join(known, ", "), did_you_mean(word, words(known.begin(), known.size()))));
}

result<std::string_view> word_reader::value(std::string_view keyword) {
    if (done()) {
        return say(fmt::format("'{}' wants a value", keyword));
    }
    return next();
}

result<std::string> word_reader::name(std::string_view keyword) {
    auto word = value(keyword);
    if (!word) {
        return word.failure();
    }
    return std::string{*word};
}

result<std::uint32_t>
word_reader::number(std::string_view keyword, std::uint32_t least, std::uint32_t most) {
    auto word = value(keyword);
    if (!word) {
        return word.failure();
    }
    std::uint32_t n = 0;
    const auto [end, failed] = std::from_chars(word->data(), word->data() + word->size(), n);
    if (failed != std::errc{} || end != word->data() + word->size() || n < least || n > most) {
        return say(fmt::format(
            "'{} {}': wants a number from {} to {}", keyword, shown(*word), least, most));
    }
    return n;
}

} // namespace pantala::app
