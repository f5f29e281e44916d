#include "app/changes.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace pantala::app {

namespace {

result<change_verb> parse_verb(word_reader& text, std::string_view object) {
    const std::string_view word = text.done() ? std::string_view{} : text.next();
    const auto verb = verb_of(word);
    return verb && *verb != change_verb::append
               ? result<change_verb>(*verb)
               : unknown_word(object, word, {"show", "add", "replace", "del"});
}

error said_twice(std::string_view object, std::string_view word) {
    return say(std::string(object) + ": '" + std::string(word) + "' twice, or what contradicts it");
}

} // namespace

std::optional<change_verb> verb_of(std::string_view word) {
    return word == "add"                       ? std::optional(change_verb::add)
           : word == "del" || word == "delete" ? std::optional(change_verb::del)
           : word == "replace"                 ? std::optional(change_verb::replace)
           : word == "append"                  ? std::optional(change_verb::append)
                                               : std::nullopt;
}

// Words of iproute2 that are tables of its own: what is local is in each interface's table here.
result<void> set_table(std::string_view keyword, std::string_view word, table_word& table) {
    const bool number = keyword == "table" && !word.empty() &&
                        std::ranges::all_of(word, [](char c) { return c >= '0' && c <= '9'; });
    table.name.clear();
    if (!number && word != "main") {
        const bool reserved = word == "local" || word == "default" || word == "all";
        const bool good = !word.empty() && word.size() <= 31 && !reserved &&
                          std::ranges::all_of(word, [](char c) {
                              return std::isalnum(static_cast<unsigned char>(c)) || c == '.' ||
                                     c == '-' || c == '_';
                          });
        table.name.assign(word);
        return good ? result<void>()
                    : say(fmt::format(
                          "'{} {}': wants {}the name of a VRF", keyword, word,
                          keyword == "table" ? "a number, 'main' or " : ""));
    }
    table.number = main_table;
    if (!number) {
        return {};
    }
    const auto [end, failed] =
        std::from_chars(word.data(), word.data() + word.size(), table.number);
    constexpr std::uint32_t of_default = 253; // iproute2's tables `default` and `local`
    constexpr std::uint32_t of_local = 255;
    const bool good = failed == std::errc{} && table.number != 0 && table.number != of_default &&
                      table.number != of_local;
    return good ? result<void>()
                : say(fmt::format(
                      "'table {}': wants a number from 1 to 4294967295, but for 253 and 255, which "
                      "are iproute2's own",
                      word));
}

bool split_words(std::string_view line, std::span<std::string_view> room, unsigned& count) {
    count = 0;
    std::size_t at = 0;
    for (;;) {
        while (at < line.size() && (line[at] == ' ' || line[at] == '\t' || line[at] == '\r')) {
            ++at;
        }
        if (at == line.size() || line[at] == '#') {
            return true;
        }
        const std::size_t start = at;
        while (at < line.size() && line[at] != ' ' && line[at] != '\t' && line[at] != '\r') {
            ++at;
        }
        if (count == room.size()) {
            return false;
        }
        room[count++] = line.substr(start, at - start);
    }
}

result<void> parse_addr(words line, addr_change& change) {
    word_reader text(line);
    change = {};
    if (auto good = take(parse_verb(text, "addr"), change.verb); !good) {
        return good;
    }
    auto word = text.value("addr");
    if (!word) {
        return say("addr: which address? (ADDRESS/LENGTH dev INTERFACE)");
    }
    if (auto good = set_address(*word, change); !good) {
        return good;
    }
    while (!text.done()) {
        const std::string_view keyword = text.next();
        if (keyword == "nodad" || keyword == "optimistic") {
            if (change.dad != dad_mode::strict) {
                return said_twice("addr", keyword);
            }
            change.dad = keyword == "nodad" ? dad_mode::off : dad_mode::optimistic;
            continue;
        }
        if (keyword != "dev") {
            return unknown_word("addr", keyword, {"dev", "nodad", "optimistic"});
        }
        if (!change.dev.empty()) {
            return said_twice("addr", keyword);
        }
        if (auto good = take(text.name("dev"), change.dev); !good) {
            return good;
        }
    }
    if (change.dev.empty()) {
        return say("addr: say 'dev INTERFACE'");
    }
    return {};
}

result<void> parse_neigh(words line, neigh_change& change) {
    word_reader text(line);
    change = {};
    if (auto good = take(parse_verb(text, "neigh"), change.verb); !good) {
        return good;
    }
    auto word = text.value("neigh");
    if (!word) {
        return say("neigh: which address? (ADDRESS lladdr MAC dev INTERFACE)");
    }
    if (auto good = set_address(*word, change); !good) {
        return good;
    }
    while (!text.done()) {
        const std::string_view keyword = text.next();
        if (keyword == "dev" ? !change.dev.empty() : keyword == "lladdr" && change.lladdr) {
            return said_twice("neigh", keyword);
        }
        if (keyword == "dev") {
            if (auto good = take(text.name("dev"), change.dev); !good) {
                return good;
            }
        } else if (keyword == "lladdr") {
            auto mac = text.value("lladdr");
            if (!mac) {
                return mac.failure();
            }
            if (auto good = take(parse_mac(*mac), change.lladdr); !good) {
                return good;
            }
        } else {
            return unknown_word("neigh", keyword, {"lladdr", "dev"});
        }
    }
    if (change.dev.empty()) {
        return say("neigh: say 'dev INTERFACE'");
    }
    if (change.verb != change_verb::del && !change.lladdr) {
        return say("neigh: say 'lladdr MAC'");
    }
    return {};
}

std::optional<ra_mode> ra_of(std::string_view word) {
    return word == "off"      ? std::optional(ra_mode::off)
           : word == "send"   ? std::optional(ra_mode::send)
           : word == "accept" ? std::optional(ra_mode::accept)
                              : std::nullopt;
}

std::optional<rpf_mode> rpf_of(std::string_view word) {
    return word == "off"      ? std::optional(rpf_mode::off)
           : word == "strict" ? std::optional(rpf_mode::strict)
           : word == "loose"  ? std::optional(rpf_mode::loose)
                              : std::nullopt;
}

namespace {

// iproute2 says `master` of a VRF as well as `vrf`, and `nomaster` to go back.
bool is_table_keyword(std::string_view word) {
    return word == "vrf" || word == "master" || word == "table" || word == "nomaster";
}

result<void> parse_link_table(std::string_view keyword, word_reader& text, link_change& change) {
    change.table.emplace();
    if (keyword == "nomaster") {
        return {};
    }
    auto word = text.value(keyword);
    return word ? set_table(keyword, *word, *change.table) : result<void>(word.failure());
}

result<void> parse_link_set(word_reader& text, link_change& change) {
    while (!text.done()) {
        const std::string_view keyword = text.next();
        result<void> good;
        const bool state = keyword == "up" || keyword == "down";
        if ((state && change.up) || (keyword == "mtu" && change.mtu) ||
            (keyword == "address" && change.mac)) {
            return said_twice("link set", keyword);
        }
        if (keyword == "up" || keyword == "down") {
            change.up = keyword == "up";
        } else if (keyword == "mtu") {
            good = take(text.number("mtu", 68, 65535), change.mtu);
        } else if (keyword == "address") {
            auto mac = text.value("address");
            good = mac ? take(parse_mac(*mac), change.mac) : result<void>(mac.failure());
        } else if (keyword == "ra") {
            change.ra = ra_of(text.done() ? std::string_view{} : text.next());
            good = change.ra ? result<void>() : say("link: ra is off, send or accept");
        } else if (keyword == "rpf") {
            change.rpf = rpf_of(text.done() ? std::string_view{} : text.next());
            good = change.rpf ? result<void>() : say("link: rpf is off, strict or loose");
        } else if (is_table_keyword(keyword)) {
            good = change.table ? said_twice("link set", keyword)
                                : parse_link_table(keyword, text, change);
        } else {
            good = unknown_word(
                "link set", keyword,
                {"up", "down", "mtu", "address", "ra", "rpf", "vrf", "table", "nomaster"});
        }
        if (!good) {
            return good;
        }
    }
    if (!change.up && !change.mtu && !change.mac && !change.ra && !change.rpf && !change.table) {
        return say("link set: what? (up, down, mtu BYTES, address MAC, ra off|send|accept, "
                   "rpf off|strict|loose, vrf NAME, table N, nomaster)");
    }
    return {};
}

result<void> parse_link_type(word_reader& text, bool& is_vrf) {
    auto type = text.value("type");
    if (!type || (*type != "vlan" && *type != "vrf")) {
        return say("link add: the type is vlan or vrf");
    }
    is_vrf = *type == "vrf";
    return {};
}

// `link PORT name IF type vlan id N`, or `NAME type vrf table N`, as iproute2 has it.
result<void> parse_link_add(word_reader& text, link_change& change) {
    bool is_vrf = false;
    while (!text.done()) {
        const std::string_view keyword = text.next();
        result<void> good;
        if (keyword == "link") {
            good = take(text.name("link"), change.port);
        } else if (keyword == "name" || keyword == "dev") {
            good = take(text.name("name"), change.name);
        } else if (keyword == "type") {
            good = parse_link_type(text, is_vrf);
        } else if (keyword == "id") {
            good = take(text.number("id", 1, 4094), change.vlan);
        } else if (keyword == "table") {
            good = parse_link_table(keyword, text, change);
        } else if (change.name.empty() && text.peek() == "type") {
            change.name.assign(keyword);
        } else {
            good = unknown_word("link add", keyword, {"link", "name", "type", "id", "table"});
        }
        if (!good) {
            return good;
        }
    }
    const bool numbered = change.table && change.table->name.empty();
    if (is_vrf ? change.name.empty() || !numbered || change.vlan || !change.port.empty()
               : change.port.empty() || change.name.empty() || !change.vlan || change.table) {
        return say("link add: say 'link PORT name INTERFACE type vlan id NUMBER' or 'NAME type vrf "
                   "table NUMBER'");
    }
    return {};
}

} // namespace

result<void> parse_link(words line, link_change& change) {
    word_reader text(line);
    change = {};
    const std::string_view verb = text.done() ? std::string_view{} : text.next();
    if (verb == "add") {
        change.verb = link_change::verbs::add;
        return parse_link_add(text, change);
    }
    if (verb != "set" && verb != "del" && verb != "delete") {
        return unknown_word("link", verb, {"show", "set", "add", "del"});
    }
    change.verb = verb == "set" ? link_change::verbs::set : link_change::verbs::del;
    if (text.peek() == "dev") {
        text.next();
    }
    if (auto good = take(text.name("link"), change.name); !good) {
        return say("link: which interface?");
    }
    if (change.verb == link_change::verbs::set) {
        return parse_link_set(text, change);
    }
    return text.done() ? result<void>() : say("link del: one interface a time");
}

} // namespace pantala::app
