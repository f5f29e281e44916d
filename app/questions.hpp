// What an operator asks to be shown, in iproute2's words. One grammar for the command line and the
// control socket; a word that does not belong there is refused.
#pragma once

#include "app/changes.hpp"
#include "app/words.hpp"

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace pantala::app {

struct show_question {
    std::optional<route_change> prefix{}; // routes to exactly this one
    std::string dev;                      // empty: of any interface
    std::string proto;                    // empty: of any protocol
    table_word table{};                   // routes of this table
    bool all_tables = false;              // or of all
    bool all = false;                     // stats: those that are 0 as well
    bool tcp = false;                     // stats: those of TCP

    // Whether a row is asked for, as route, addr, neigh and link rows are.
    bool wants(const nlohmann::json& row) const;
};

// `hostcache show` or `flush`, of all destinations or of one.
struct host_question {
    bool flush = false;
    std::optional<neigh_change> address{}; // only its address counts
};

// `tcp show [NAME]` or `tcp set NAME VALUE`.
struct tcp_question {
    bool set = false;
    std::string name; // empty: all
    std::string value;
};

// Whose changes are to be told.
struct monitor_question {
    bool route = true;
    bool addr = true;
    bool link = true;
    bool neigh = true;

    bool wants(const nlohmann::json& event) const;
};

// An address and the table that it is looked up in.
struct get_question {
    neigh_change address{}; // only its address counts
    table_word table{};
};

// The words after `route show`, `route get`, `addr show` (and neigh, link), `netisr show`, `stats`.
result<void> parse_show_routes(words text, show_question& question);
result<void> parse_get_route(words text, get_question& question);
// `table N|all` or `vrf NAME`, `keyword` being the first of the two.
result<void>
parse_shown_table(std::string_view keyword, word_reader& reader, show_question& question);
result<void> parse_show_of_links(words text, std::string_view object, show_question& question);
result<void> parse_show_nothing(words text, std::string_view object);
result<void> parse_stats(words text, show_question& question);
// All words after `hostcache`.
result<void> parse_hosts(words text, host_question& question);
// Those after `tcp`.
result<void> parse_tcp(words text, tcp_question& question);
// Those after `monitor`: none, `all`, or some of route, addr, link, neigh.
result<void> parse_monitor(words text, monitor_question& question);

} // namespace pantala::app
