#include "app/questions.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace pantala::app {

namespace {

using nlohmann::json;

bool goes_over(const json& row, const std::string& dev) {
    if (row.contains("hops")) {
        return std::any_of(row["hops"].begin(), row["hops"].end(), [&](const json& hop) {
            return hop.value("dev", "") == dev;
        });
    }
    return row.value("dev", row.value("name", "")) == dev;
}

result<void> show_protocol(word_reader& reader, show_question& question) {
    auto name = reader.name("proto");
    if (!name) {
        return name.failure();
    }
    question.proto = std::move(*name);
    if (question.proto == protocol_word(route_protocol::kernel) ||
        question.proto == protocol_word(route_protocol::other)) {
        return {};
    }
    const auto known = parse_protocol(question.proto);
    return known ? result<void>() : known.failure();
}

} // namespace

bool show_question::wants(const json& row) const {
    return (dev.empty() || goes_over(row, dev)) &&
           (proto.empty() || row.value("protocol", "") == proto);
}

result<void> parse_show_routes(words text, show_question& question) {
    word_reader reader(text);
    while (!reader.done()) {
        const std::string_view word = reader.next();
        result<void> good;
        if (word == "dev") {
            good = take(reader.name(word), question.dev);
        } else if (word == "proto" || word == "protocol") {
            good = show_protocol(reader, question);
        } else if (word == "table" || word == "vrf") {
            good = parse_shown_table(word, reader, question);
        } else if (
            !question.prefix &&
            (word == "default" || word.find_first_of(".:/") != std::string_view::npos)) {
            question.prefix.emplace();
            good = set_destination(word, *question.prefix);
        } else if (word != "to" || question.prefix) {
            good = unknown_word("route show", word, {"PREFIX", "dev", "proto", "table", "vrf"});
        }
        if (!good) {
            return good;
        }
    }
    return {};
}

result<void>
parse_shown_table(std::string_view keyword, word_reader& reader, show_question& question) {
    const auto name = reader.value(keyword);
    if (!name) {
        return name.failure();
    }
    question.all_tables = keyword == "table" && (*name == "all" || *name == "0");
    return question.all_tables ? result<void>() : set_table(keyword, *name, question.table);
}

result<void> parse_get_route(words text, get_question& question) {
    word_reader reader(text);
    if (reader.done()) {
        return say("route get: which address?");
    }
    if (auto good = set_address(reader.next(), question.address); !good) {
        return good;
    }
    while (!reader.done()) {
        const std::string_view word = reader.next();
        if (word != "table" && word != "vrf") {
            return say(fmt::format(
                "route get: '{}' is a word too many: an address is all it takes, and 'table N' or "
                "'vrf NAME'",
                word));
        }
        auto name = reader.value(word);
        auto good = name ? set_table(word, *name, question.table) : result<void>(name.failure());
        if (!good) {
            return good;
        }
    }
    return {};
}

result<void> parse_show_of_links(words text, std::string_view object, show_question& question) {
    word_reader reader(text);
    if (reader.peek() == "dev") {
        reader.next();
        if (reader.done()) {
            return say(fmt::format("{} show dev: which interface?", object));
        }
    }
    if (!reader.done()) {
        question.dev = reader.next();
    }
    return reader.done() ? result<void>()
                         : unknown_word(
                               fmt::format("{} show {}", object, question.dev), reader.peek(),
                               {"[dev] INTERFACE"});
}

result<void> parse_show_nothing(words text, std::string_view object) {
    return text.empty()
               ? result<void>()
               : say(fmt::format("{} show: '{}' is a word too many", object, text.front()));
}

result<void> parse_stats(words text, show_question& question) {
    word_reader reader(text);
    if (reader.peek() == "show") {
        reader.next();
    }
    while (!reader.done()) {
        const std::string_view word = reader.next();
        question.all = question.all || word == "all";
        question.tcp = question.tcp || word == "tcp";
        if (word != "all" && word != "tcp") {
            return unknown_word("stats", word, {"show", "all", "tcp"});
        }
    }
    return {};
}

result<void> parse_hosts(words text, host_question& question) {
    word_reader reader(text);
    if (!reader.done()) {
        const std::string_view verb = reader.next();
        question.flush = verb == "flush";
        if (verb != "flush" && verb != "show" && verb != "list" && verb != "ls") {
            return unknown_word("hostcache", verb, {"show", "flush"});
        }
    }
    if (reader.done()) {
        return {};
    }
    question.address.emplace();
    if (auto good = set_address(std::string(reader.next()), *question.address); !good) {
        return good;
    }
    return reader.done() ? result<void>() : unknown_word("hostcache", reader.peek(), {"ADDRESS"});
}

result<void> parse_tcp(words text, tcp_question& question) {
    word_reader reader(text);
    if (!reader.done()) {
        const std::string_view verb = reader.next();
        question.set = verb == "set";
        if (verb != "set" && verb != "show" && verb != "list" && verb != "ls") {
            return unknown_word("tcp", verb, {"show", "set"});
        }
    }
    if (!reader.done()) {
        question.name = reader.next();
    } else if (question.set) {
        return say("tcp set: which setting?");
    }
    if (question.set && reader.done()) {
        return say(fmt::format("tcp set: '{}' to what value?", question.name));
    }
    if (question.set) {
        question.value = reader.next();
    }
    return reader.done() ? result<void>()
                         : say(fmt::format("tcp: '{}' is a word too many", reader.peek()));
}

bool monitor_question::wants(const json& event) const {
    const std::string object = event.value("event", "");
    return (object == "route" && route) || (object == "addr" && addr) ||
           (object == "link" && link) || (object == "neigh" && neigh);
}

result<void> parse_monitor(words text, monitor_question& question) {
    if (text.empty() || (text.size() == 1 && text[0] == "all")) {
        return {};
    }
    question = {false, false, false, false};
    for (const std::string_view word : text) {
        question.route = question.route || word == "route";
        question.addr = question.addr || word == "addr" || word == "address";
        question.link = question.link || word == "link";
        question.neigh = question.neigh || word == "neigh";
        if (word != "route" && word != "addr" && word != "address" && word != "link" &&
            word != "neigh") {
            return unknown_word("monitor", word, {"all", "route", "addr", "link", "neigh"});
        }
    }
    return {};
}

} // namespace pantala::app
