#include "app/changes.hpp"

#include <charconv>

#include <fmt/format.h>

namespace pantala::app {

namespace {

error say(std::string text) {
    return error{EINVAL, std::move(text)};
}

// Reads words one after another; `value` takes the word after a keyword.
class reader {
  public:
    explicit reader(words text) : text_(text) {}
    bool done() const { return at_ == text_.size(); }
    std::string_view next() { return text_[at_++]; }
    std::string_view peek() const { return done() ? std::string_view{} : text_[at_]; }

    result<std::string_view> value(std::string_view keyword) {
        if (done()) {
            return say(fmt::format("'{}' wants a value", keyword));
        }
        return next();
    }
    result<std::string> name(std::string_view keyword) {
        auto word = value(keyword);
        if (!word) {
            return word.failure();
        }
        return std::string{*word};
    }
    result<std::uint32_t>
    number(std::string_view keyword, std::uint32_t least, std::uint32_t most) {
        auto word = value(keyword);
        if (!word) {
            return word.failure();
        }
        std::uint32_t n = 0;
        const auto [end, failed] = std::from_chars(word->data(), word->data() + word->size(), n);
        if (failed != std::errc{} || end != word->data() + word->size() || n < least || n > most) {
            return say(
                fmt::format("'{} {}': wants a number from {} to {}", keyword, *word, least, most));
        }
        return n;
    }

  private:
    words text_;
    std::size_t at_ = 0;
};

result<change_verb> parse_verb(reader& text, std::string_view object) {
    const std::string_view word = text.done() ? std::string_view{} : text.next();
    if (word == "add") {
        return change_verb::add;
    }
    if (word == "del" || word == "delete") {
        return change_verb::del;
    }
    if (word == "replace" || word == "change") {
        return change_verb::replace;
    }
    return say(fmt::format("{} '{}': wants add, del or replace", object, word));
}

template <class T, class U>
result<void> take(result<U>&& from, T& into) {
    if (!from) {
        return from.failure();
    }
    into = static_cast<T>(std::move(*from));
    return {};
}

bool take_kind(std::string_view word, nexthop_kind& kind) {
    for (const nexthop_kind candidate :
         {nexthop_kind::blackhole, nexthop_kind::unreachable, nexthop_kind::prohibit}) {
        if (word == kind_word(candidate)) {
            kind = candidate;
            return true;
        }
    }
    return false;
}

// `via GW` and `dev IF`, in any order, as far as they go.
result<void> parse_hop(reader& text, route_hop& hop) {
    for (;;) {
        if (text.peek() == "via") {
            text.next();
            auto word = text.value("via");
            if (!word) {
                return word.failure();
            }
            if (auto good = set_gateway(*word, hop); !good) {
                return good;
            }
        } else if (text.peek() == "dev") {
            text.next();
            auto word = text.value("dev");
            if (!word) {
                return word.failure();
            }
            hop.dev.assign(*word);
        } else {
            return {};
        }
    }
}

result<void> parse_hops(reader& text, route_change& change) {
    if (text.peek() == "via" || text.peek() == "dev") {
        change.hops.resize(1);
        change.hops[0].via = 0;
        change.hops[0].via6.reset();
        change.hops[0].dev.clear();
        return parse_hop(text, change.hops[0]);
    }
    change.hops.clear();
    while (text.peek() == "nexthop") {
        text.next();
        if (change.hops.size() == route_hops_max) {
            return say(fmt::format("more than {} next hops", route_hops_max));
        }
        route_hop hop;
        if (auto good = parse_hop(text, hop); !good) {
            return good;
        }
        if (hop.via == 0 && !hop.via6) {
            return say("each 'nexthop' wants 'via GATEWAY'");
        }
        change.hops.push_back(std::move(hop));
    }
    return {};
}

bool is_six(std::string_view text) {
    return text.find(':') != std::string_view::npos;
}

std::string route_name(const route_change& change) {
    return change.to6 ? format(*change.to6) : format_prefix(change.to);
}

// All of one family. `default` is of the family of its gateways.
result<void> check_families(route_change& change, bool is_default) {
    bool any4 = false;
    bool any6 = false;
    for (const route_hop& hop : change.hops) {
        any4 = any4 || hop.via != 0;
        any6 = any6 || hop.via6.has_value();
    }
    if (is_default && any6) {
        change.to6 = prefix6{};
    }
    if (change.to6 ? any4 : any6) {
        return say(
            fmt::format("route {}: its gateways are of the other family", route_name(change)));
    }
    return {};
}

} // namespace

result<void> set_destination(std::string_view text, route_change& change) {
    change.to6.reset();
    if (is_six(text)) {
        auto six = parse_prefix6(text);
        if (six) {
            change.to6 = *six;
        }
        return six ? result<void>() : six.failure();
    }
    if (!read_prefix(text, change.to) ||
        (change.to.address & ~prefix_mask(change.to.length)) != 0) {
        return parse_destination(text).failure();
    }
    return {};
}

result<void> set_gateway(std::string_view text, route_hop& hop) {
    hop.via = 0;
    hop.via6.reset();
    if (is_six(text)) {
        auto six = parse_address6(text);
        if (six && *six != address6{}) {
            hop.via6 = *six;
            return {};
        }
        return say(fmt::format("'via {}': not an IPv6 address of a gateway", text));
    }
    if (!read_ip4(text, hop.via) || hop.via == 0) {
        return say(fmt::format("'via {}': not an IPv4 address of a gateway", text));
    }
    return {};
}

result<void> set_next_hops(
    route_change& change, const std::string& to, const std::vector<std::string>& via,
    const std::string& dev) {
    if (auto good = set_destination(to, change); !good) {
        return good;
    }
    change.hops.clear();
    for (const std::string& gateway : via) {
        route_hop hop;
        hop.dev = dev;
        if (auto good = set_gateway(gateway, hop); !good) {
            return good;
        }
        change.hops.push_back(std::move(hop));
    }
    if (via.empty() && !dev.empty()) {
        change.hops.push_back({0, dev});
    }
    return check_families(change, to == "default");
}

std::string_view kind_word(nexthop_kind kind) {
    switch (kind) {
    case nexthop_kind::none:
        return "none";
    case nexthop_kind::gateway:
        return "unicast";
    case nexthop_kind::connected:
        return "connected";
    case nexthop_kind::local:
        return "local";
    case nexthop_kind::broadcast:
        return "broadcast";
    case nexthop_kind::multicast:
        return "multicast";
    case nexthop_kind::blackhole:
        return "blackhole";
    case nexthop_kind::unreachable:
        return "unreachable";
    case nexthop_kind::prohibit:
        return "prohibit";
    case nexthop_kind::group:
        return "group";
    }
    return "?";
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

result<void> parse_route(words line, route_change& change) {
    reader text(line);
    if (auto good = take(parse_verb(text, "route"), change.verb); !good) {
        return good;
    }
    change.kind = nexthop_kind::gateway;
    change.mtu = 0;
    if (take_kind(text.peek(), change.kind)) {
        text.next();
    }
    auto word = text.value("route");
    if (!word) {
        return say("route: which prefix?");
    }
    if (auto good = set_destination(*word, change); !good) {
        return good;
    }
    if (auto good = parse_hops(text, change); !good) {
        return good;
    }
    if (auto good = check_families(change, *word == "default"); !good) {
        return good;
    }
    if (text.peek() == "mtu") {
        text.next();
        if (auto good = take(text.number("mtu", 68, 65535), change.mtu); !good) {
            return good;
        }
    }
    if (!text.done()) {
        return say(fmt::format(
            "route {}: '{}' is not a word of this grammar (via, dev, nexthop, "
            "mtu)",
            route_name(change), text.peek()));
    }
    return finish_route(
        change, change.kind == nexthop_kind::gateway ? "unicast" : kind_word(change.kind));
}

result<void> finish_route(route_change& change, std::string_view kind) {
    change.kind = nexthop_kind::gateway;
    if (kind != "unicast" && !take_kind(kind, change.kind)) {
        return say(fmt::format("'{}' is no kind of route", kind));
    }
    if (change.verb == change_verb::del) {
        return {};
    }
    const bool refusing = change.kind != nexthop_kind::gateway;
    if (refusing && !change.hops.empty()) {
        return say(fmt::format("a {} route has no next hop", kind_word(change.kind)));
    }
    if (!refusing && change.hops.empty()) {
        return say(fmt::format(
            "route {}: say 'via GATEWAY', 'dev INTERFACE', or one of "
            "blackhole, unreachable, prohibit before the prefix",
            route_name(change)));
    }
    if (change.hops.size() == 1 && change.hops[0].via == 0 && !change.hops[0].via6) {
        change.kind = nexthop_kind::connected;
    }
    return {};
}

result<void> parse_addr(words line, addr_change& change) {
    reader text(line);
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
            change.dad = keyword == "nodad" ? dad_mode::off : dad_mode::optimistic;
            continue;
        }
        if (keyword != "dev") {
            return say(fmt::format(
                "addr: '{}' is not a word of this grammar (dev, nodad, optimistic)", keyword));
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
    reader text(line);
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
            return say(
                fmt::format("neigh: '{}' is not a word of this grammar (lladdr, dev)", keyword));
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

namespace {

result<void> parse_link_set(reader& text, link_change& change) {
    while (!text.done()) {
        const std::string_view keyword = text.next();
        result<void> good;
        if (keyword == "up" || keyword == "down") {
            change.up = keyword == "up";
        } else if (keyword == "mtu") {
            good = take(text.number("mtu", 68, 65535), change.mtu);
        } else if (keyword == "address") {
            auto mac = text.value("address");
            good = mac ? take(parse_mac(*mac), change.mac) : result<void>(mac.failure());
        } else {
            good = say(fmt::format(
                "link: '{}' is not a word of this grammar (up, down, mtu, "
                "address)",
                keyword));
        }
        if (!good) {
            return good;
        }
    }
    if (!change.up && !change.mtu && !change.mac) {
        return say("link set: what? (up, down, mtu BYTES, address MAC)");
    }
    return {};
}

// `link PORT name IF type vlan id N`, as iproute2 has it.
result<void> parse_link_add(reader& text, link_change& change) {
    while (!text.done()) {
        const std::string_view keyword = text.next();
        result<void> good;
        if (keyword == "link") {
            good = take(text.name("link"), change.port);
        } else if (keyword == "name") {
            good = take(text.name("name"), change.name);
        } else if (keyword == "type") {
            auto type = text.value("type");
            good = type && *type == "vlan" ? result<void>() : say("link add: type must be vlan");
        } else if (keyword == "id") {
            good = take(text.number("id", 1, 4094), change.vlan);
        } else {
            good = say(fmt::format(
                "link: '{}' is not a word of this grammar (link, name, type, "
                "id)",
                keyword));
        }
        if (!good) {
            return good;
        }
    }
    if (change.port.empty() || change.name.empty() || !change.vlan) {
        return say("link add: say 'link PORT name INTERFACE type vlan id NUMBER'");
    }
    return {};
}

} // namespace

result<void> parse_link(words line, link_change& change) {
    reader text(line);
    change = {};
    const std::string_view verb = text.done() ? std::string_view{} : text.next();
    if (verb == "add") {
        change.verb = link_change::verbs::add;
        return parse_link_add(text, change);
    }
    if (verb != "set" && verb != "del" && verb != "delete") {
        return say(fmt::format("link '{}': wants set, add or del", verb));
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
