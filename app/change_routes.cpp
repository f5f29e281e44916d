// The grammar of routes: see changes.hpp.
#include "app/changes.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace pantala::app {

namespace {

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

result<change_verb> parse_route_verb(std::string_view word) {
    const auto verb = verb_of(word);
    return verb ? result<change_verb>(*verb)
                : unknown_word(
                      "route", word,
                      {"add", "replace", "append", "del", "show", "get", "load", "save", "flush",
                       "verify"});
}

// What stands behind the prefix, in any order. Each word once.
class route_options {
  public:
    route_options(word_reader& text, route_change& change) : text_(text), change_(change) {}

    result<void> read() {
        while (!text_.done()) {
            if (auto good = one(text_.next()); !good) {
                return good;
            }
        }
        if (!single_) {
            change_.hops.resize(hops_);
        }
        return check_scope();
    }

  private:
    enum seen : unsigned {
        via = 1,
        dev = 2,
        metric = 4,
        proto = 8,
        mtu = 16,
        table = 32,
        scope = 64,
        aside = 128
    };

    result<void> once(seen what, std::string_view word) {
        if ((seen_ & what) != 0) {
            return say(fmt::format("route {}: '{}' twice", route_name(change_), word));
        }
        seen_ |= what;
        return {};
    }

    result<void> one(std::string_view word) {
        if (word == "via") {
            return single(via, word);
        }
        if (word == "dev") {
            return single(dev, word);
        }
        if (word == "nexthop") {
            return nexthop();
        }
        if (word == "metric" || word == "preference") {
            auto good = once(metric, word);
            return good ? take(text_.number(word, 0, UINT32_MAX), change_.metric) : good;
        }
        if (word == "mtu") {
            auto good = once(mtu, word);
            return good ? take(text_.number(word, 68, 65535), change_.mtu) : good;
        }
        if (word == "proto" || word == "protocol") {
            return protocol(word);
        }
        if (word == "table" || word == "vrf") {
            return named_table(word);
        }
        if (word == "scope") {
            auto good = once(scope, word);
            return good ? take(text_.value(word), scope_) : good;
        }
        if (word == "aside") {
            change_.aside = true;
            return once(aside, word);
        }
        if (word == "weight") {
            return say("'weight' is of one of several next hops: nexthop via GATEWAY weight N");
        }
        return unknown_word(
            "route " + route_name(change_), word,
            {"via", "dev", "nexthop", "metric", "proto", "mtu", "table", "vrf", "scope", "aside"});
    }

    // The one next hop of a route without `nexthop`.
    result<void> single(seen what, std::string_view word) {
        if (hops_ != 0) {
            return say(fmt::format("'{}' before the first 'nexthop', or in each", word));
        }
        if (!single_) {
            single_ = true;
            change_.hops.resize(1);
            reset(change_.hops[0]);
        }
        auto good = once(what, word);
        return good ? hop_word(word, change_.hops[0]) : good;
    }

    result<void> nexthop() {
        if (single_) {
            return say("'via' and 'dev' stand in each 'nexthop', or there is no 'nexthop'");
        }
        if (hops_ == route_hops_max) {
            return say(fmt::format("more than {} next hops", route_hops_max));
        }
        change_.hops.resize(hops_ + 1);
        route_hop& hop = change_.hops[hops_++];
        reset(hop);
        while (text_.peek() == "via" || text_.peek() == "dev" || text_.peek() == "weight") {
            if (auto good = hop_word(text_.next(), hop); !good) {
                return good;
            }
        }
        return hop.via != 0 || hop.via6 || !hop.dev.empty()
                   ? result<void>()
                   : say("each 'nexthop' wants 'via GATEWAY', 'dev INTERFACE' or both");
    }

    static void reset(route_hop& hop) {
        hop.via = 0;
        hop.via6.reset();
        hop.dev.clear();
        hop.weight = 1;
    }

    result<void> hop_word(std::string_view word, route_hop& hop) {
        if (word == "weight") {
            return take(text_.number(word, 1, 256), hop.weight);
        }
        const bool has_via = hop.via != 0 || hop.via6;
        if (word == "via" ? has_via : !hop.dev.empty()) {
            return say(fmt::format("route {}: '{}' twice", route_name(change_), word));
        }
        auto value = text_.value(word);
        if (!value) {
            return value.failure();
        }
        if (word == "via") {
            return set_gateway(*value, hop);
        }
        hop.dev.assign(*value);
        return {};
    }

    result<void> protocol(std::string_view word) {
        if (auto good = once(proto, word); !good) {
            return good;
        }
        auto name = text_.value(word);
        return name ? take(parse_protocol(*name), change_.protocol) : result<void>(name.failure());
    }

    result<void> named_table(std::string_view word) {
        if (auto good = once(table, word); !good) {
            return good;
        }
        auto name = text_.value(word);
        return name ? set_table(word, *name, change_.table) : result<void>(name.failure());
    }

    result<void> check_scope() const {
        const bool direct =
            !change_.hops.empty() && std::ranges::all_of(change_.hops, [](const route_hop& hop) {
                return hop.via == 0 && !hop.via6;
            });
        if (scope_.empty() || scope_ == (direct ? "link" : "global")) {
            return {};
        }
        return say(fmt::format(
            "'scope {}': a route over a gateway is of scope global, one of a link of scope link",
            scope_));
    }

    word_reader& text_;
    route_change& change_;
    unsigned seen_ = 0;
    std::size_t hops_ = 0; // those that `nexthop` named
    bool single_ = false;
    std::string_view scope_;
};

result<void> check_deletion(const route_change& change) {
    const auto idle = [&](bool said, const char* what) {
        return said ? result<void>(say(fmt::format(
                          "route del {}: '{}' does not tell routes apart", route_name(change),
                          what)))
                    : result<void>();
    };
    const bool weighted = std::any_of(
        change.hops.begin(), change.hops.end(), [](const auto& hop) { return hop.weight != 1; });
    auto good = idle(change.mtu != 0, "mtu");
    good = good ? idle(change.aside, "aside") : good;
    return good ? idle(weighted, "weight") : good;
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

std::string_view protocol_word(route_protocol protocol) {
    switch (protocol) {
    case route_protocol::kernel:
        return "kernel";
    case route_protocol::boot:
        return "boot";
    case route_protocol::fixed:
        return "static";
    case route_protocol::bgp:
        return "bgp";
    case route_protocol::ospf:
        return "ospf";
    case route_protocol::other:
        return "other";
    }
    return "?";
}

result<route_protocol> parse_protocol(std::string_view word) {
    for (const route_protocol each :
         {route_protocol::boot, route_protocol::fixed, route_protocol::bgp, route_protocol::ospf}) {
        if (word == protocol_word(each)) {
            return each;
        }
    }
    return unknown_word("proto", word, {"static", "bgp", "ospf", "boot"});
}

result<void> parse_route(words line, route_change& change) {
    word_reader text(line);
    if (auto good =
            take(parse_route_verb(text.done() ? std::string_view{} : text.next()), change.verb);
        !good) {
        return good;
    }
    change.kind = nexthop_kind::gateway;
    change.mtu = 0;
    change.aside = false;
    change.metric.reset();
    change.protocol.reset();
    change.table.number = main_table;
    change.table.name.clear();
    if (take_kind(text.peek(), change.kind) || text.peek() == "unicast") {
        text.next();
    }
    if (text.peek() == "to") {
        text.next();
    }
    auto word = text.value("route");
    if (!word) {
        return say("route: which prefix?");
    }
    for (const std::string_view brought : {"local", "broadcast", "multicast", "anycast", "throw"}) {
        if (*word == brought) {
            return say(fmt::format(
                "route: '{}' is no kind of route to add (blackhole, unreachable, prohibit); those "
                "of an address come with it",
                brought));
        }
    }
    if (auto good = set_destination(*word, change); !good) {
        return good;
    }
    if (auto good = route_options(text, change).read(); !good) {
        return good;
    }
    if (auto good = check_families(change, *word == "default"); !good) {
        return good;
    }
    return finish_route(
        change, change.kind == nexthop_kind::gateway ? "unicast" : kind_word(change.kind));
}

result<void> finish_route(route_change& change, std::string_view kind) {
    change.kind = nexthop_kind::gateway;
    if (kind != "unicast" && !take_kind(kind, change.kind)) {
        return say(fmt::format("'{}' is no kind of route", kind));
    }
    const bool refusing = change.kind != nexthop_kind::gateway;
    if (refusing && !change.hops.empty()) {
        return say(fmt::format("a {} route has no next hop", kind_word(change.kind)));
    }
    if (change.verb == change_verb::del) {
        return check_deletion(change);
    }
    constexpr unsigned least6 = 1280;
    if (change.to6 && change.mtu != 0 && change.mtu < least6) {
        return say(fmt::format(
            "route {}: 'mtu {}': IPv6 wants 1280 bytes at least (RFC 8200 5)", route_name(change),
            change.mtu));
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

result<void> parse_load(words text, load_change& load) {
    word_reader reader(text);
    load = {};
    if (reader.done()) {
        return say("route load: which file? (FILE [via GATEWAY]... [table N | vrf NAME])");
    }
    load.file = reader.next();
    while (!reader.done()) {
        const std::string_view keyword = reader.next();
        if (keyword != "via" && keyword != "table" && keyword != "vrf") {
            return unknown_word("route load", keyword, {"via", "table", "vrf"});
        }
        auto word = reader.value(keyword);
        if (!word) {
            return word.failure();
        }
        if (keyword != "via") {
            if (auto good = set_table(keyword, *word, load.table); !good) {
                return good;
            }
            continue;
        }
        route_hop hop;
        if (auto good = set_gateway(*word, hop); !good) {
            return good;
        }
        if (hop.via6) {
            load.via6.push_back(*hop.via6);
        } else {
            load.via.push_back(hop.via);
        }
    }
    return {};
}

} // namespace pantala::app
