// addr, route, neigh, link, netisr, stats: iproute2's words, sent to a running pantala.
#include "app/cli/commands.hpp"
#include "app/control/client.hpp"
#include "app/questions.hpp"

#include <filesystem>
#include <iostream>
#include <memory>

#include <fmt/format.h>

namespace pantala::app {

namespace {

struct net_options {
    cli_context& context;
    int& status;
    std::vector<std::string> words;
    std::string batch;
};

bool is_show(const std::vector<std::string>& words) {
    return words.empty() || words[0] == "show" || words[0] == "list" || words[0] == "ls";
}

int ask(
    const cli_context& context, control_request request,
    const std::function<void(const json&)>& on_row, json* answer = nullptr) {
    auto client = control_client::connect(context.socket_path());
    if (!client) {
        return report(client.failure());
    }
    progress_line progress;
    auto done = client->call(
        std::move(request), on_row, [&](const control_progress& at) { progress.show(at); });
    if (!done) {
        return report(done.failure());
    }
    if (answer != nullptr) {
        *answer = std::move(*done);
    }
    return 0;
}

// Asks for rows and prints them together, as a table or a JSON array.
int show_table(
    const cli_context& context, control_request request, std::span<const column> columns) {
    json rows = json::array();
    const int status =
        ask(context, std::move(request), [&](const json& row) { rows.push_back(row); });
    if (status == 0) {
        fmt::print("{}", context.json ? rows.dump(2) + "\n" : format_table(columns, rows));
    }
    return status;
}

// The words behind `show`. They point into `options`.
std::vector<std::string_view> behind_verb(const net_options& options) {
    const std::size_t from = options.words.empty() ? 0 : 1;
    return {options.words.begin() + static_cast<std::ptrdiff_t>(from), options.words.end()};
}

// Shows, if the words are in order.
template <class Parse>
int checked_show(const net_options& options, Parse parse, int (*run)(const net_options&)) {
    show_question asked;
    const auto good = parse(behind_verb(options), asked);
    return good ? run(options) : report_usage(good.failure());
}

template <class Change, class Parse>
int change(const net_options& options, const char* object, Parse&& parse) {
    const std::vector<std::string_view> views(options.words.begin(), options.words.end());
    Change checked;
    if (auto good = parse(words(views), checked); !good) {
        return report_usage(good.failure()); // here, so that a slip costs no round trip
    }
    control_request request;
    request.name = fmt::format("{}.change", object);
    request.words = options.words;
    json answer;
    const int status = ask(options.context, std::move(request), {}, &answer);
    if (status == 0 && options.context.json) {
        fmt::print("{}\n", answer.dump());
    }
    return status;
}

control_request show(const net_options& options, std::string name) {
    control_request request;
    request.name = std::move(name);
    if (options.words.size() > 1) {
        request.words.assign(options.words.begin() + 1, options.words.end());
    }
    if (options.context.family != 0) {
        request.args["family"] = options.context.family;
    }
    return request;
}

int show_links(const net_options& options, const char* object, std::span<const column> columns) {
    show_question asked;
    const auto good = parse_show_of_links(behind_verb(options), object, asked);
    return good
               ? show_table(options.context, show(options, fmt::format("{}.show", object)), columns)
               : report_usage(good.failure());
}

int show_routes(const net_options& options) {
    row_printer printer(options.context.json, route_text);
    const int status = ask(
        options.context, show(options, "route.show"), [&](const json& row) { printer.print(row); });
    if (status == 0) {
        printer.end();
    }
    return status;
}

int get_route(const net_options& options) {
    json route;
    const int status = ask(options.context, show(options, "route.get"), {}, &route);
    if (status == 0) {
        fmt::print(
            "{}\n",
            options.context.json
                ? route.dump()
                : fmt::format("{} from {}", route.value("address", "?"), route_text(route)));
    }
    return status;
}

// `load FILE [via GW]... [table N]`: the running pantala reads the file; `FILE` is made absolute
// for it.
int load_routes(const net_options& options) {
    control_request request = show(options, "route.load");
    const std::vector<std::string_view> views(request.words.begin(), request.words.end());
    load_change checked;
    if (auto good = parse_load(views, checked); !good) {
        return report_usage(good.failure());
    }
    std::error_code failed;
    const auto path = std::filesystem::canonical(checked.file, failed);
    if (failed) {
        return report({ENOENT, fmt::format("route load: {}: {}", checked.file, failed.message())});
    }
    request.words[0] = path.string();
    json answer;
    const int status = ask(options.context, std::move(request), {}, &answer);
    if (status != 0 || options.context.json) {
        return status == 0 ? print_line(answer.dump()) : status;
    }
    const auto count = [&](const char* key) { return answer.value(key, std::uint64_t{0}); };
    std::string text = fmt::format(
        "{} IPv4 and {} IPv6 routes from {} in {:.2f} s", count("routes"), count("ip6_routes"),
        path.string(), answer.value("seconds", 0.0));
    if (count("passed_over") != 0) {
        text += fmt::format(
            "; {} of the family for which no 'via GATEWAY' was said were passed over",
            count("passed_over"));
    }
    return print_line(text);
}

// Lines that `route -b` takes. What addresses bring, and what was learned, is not among them; what
// stands aside for an address's own is, and does so again where that is there.
std::string saved_line(const json& route) {
    const auto protocol = parse_protocol(route.value("protocol", ""));
    const bool said = route.contains("metric") || !protocol || metric_of(*protocol) == 0;
    return "replace " + route_text(route) + (said ? "" : " metric 0");
}

int save_routes(const net_options& options) {
    row_printer printer(options.context.json, saved_line);
    control_request request = show(options, "route.show");
    request.args["order"] = "restore";
    const int status = ask(options.context, std::move(request), [&](const json& route) {
        const std::string protocol = route.value("protocol", "");
        if (protocol != "kernel" && protocol != "other") {
            printer.print(route);
        }
    });
    if (status == 0) {
        printer.end();
    }
    return status;
}

std::string replica_text(const json& row) {
    if (row.contains("prefix")) {
        return fmt::format(
            "worker {}: {}{} answers next hop {}, not {}", row["worker"].dump(),
            row.value("prefix", "?"),
            row.contains("table") ? " in table " + row["table"].dump() : std::string(),
            row["nexthop"].dump(), row["expected"].dump());
    }
    return fmt::format(
        "worker {}: generation {}, hash {}, {}", row["worker"].dump(), row["generation"].dump(),
        row.value("hash", "?"), row.value("alike", false) ? "alike" : "DIFFERS");
}

int verify_routes(const net_options& options) {
    json summary;
    const int status = ask(
        options.context, show(options, "route.verify"),
        [&](const json& row) {
            if (!options.context.json) {
                print_line(replica_text(row));
            }
        },
        &summary);
    if (status != 0) {
        return status;
    }
    return print_line(
        options.context.json ? summary.dump()
                             : fmt::format(
                                   "{} workers alike at generation {}, {} addresses compared in "
                                   "{} tables",
                                   summary["workers"].dump(), summary["generation"].dump(),
                                   summary["addresses"].dump(), summary["tables"].dump()));
}

int flush_routes(const net_options& options) {
    json answer;
    const int status = ask(options.context, show(options, "route.flush"), {}, &answer);
    if (status != 0) {
        return status;
    }
    return print_line(
        options.context.json ? answer.dump()
                             : fmt::format("{} routes deleted", answer["deleted"].dump()));
}

struct verb {
    std::string_view word;
    int (*run)(const net_options&);
};

int run_route(const net_options& options) {
    if (!options.batch.empty()) {
        return options.words.empty()
                   ? run_route_batch(options.context, options.batch)
                   : report_usage(say(fmt::format(
                         "route -b: '{}' is a word too many: the changes are in the file",
                         options.words[0])));
    }
    if (is_show(options.words)) {
        return checked_show(options, parse_show_routes, show_routes);
    }
    constexpr verb verbs[] = {
        {"get", get_route},
        {"load", load_routes},
        {"save", save_routes},
        {"verify", verify_routes},
        {"flush", flush_routes}};
    for (const verb& each : verbs) {
        if (options.words[0] == each.word) {
            return each.run(options);
        }
    }
    return change<route_change>(options, "route", parse_route);
}

int run_addr(const net_options& options) {
    static constexpr column columns[] = {
        {"interface", "dev"}, {"address", "address"}, {"flags", "flags"}};
    return is_show(options.words) ? show_links(options, "addr", columns)
                                  : change<addr_change>(options, "addr", parse_addr);
}

int run_neigh(const net_options& options) {
    static constexpr column columns[] = {
        {"address", "address"}, {"dev", "dev"}, {"lladdr", "lladdr"}, {"state", "state"}};
    return is_show(options.words) ? show_links(options, "neigh", columns)
                                  : change<neigh_change>(options, "neigh", parse_neigh);
}

int run_link(const net_options& options) {
    static constexpr column columns[] = {{"interface", "name"},    {"port", "port"},
                                         {"vlan", "vlan", true},   {"address", "address"},
                                         {"mtu", "mtu", true},     {"state", "state"},
                                         {"table", "table", true}, {"addresses", "addresses"}};
    return is_show(options.words) ? show_links(options, "link", columns)
                                  : change<link_change>(options, "link", parse_link);
}

int run_vrf(const net_options& options) {
    static constexpr column columns[] = {
        {"name", "name"},
        {"table", "table", true},
        {"interfaces", "interfaces"},
        {"IPv4 routes", "ipv4_routes", true},
        {"IPv6 routes", "ipv6_routes", true},
        {"bytes IPv4", "replica_bytes_ipv4", true},
        {"bytes IPv6", "replica_bytes_ipv6", true}};
    if (!is_show(options.words)) {
        return report_usage(say(fmt::format(
            "vrf: '{}': 'vrf show' is all; 'link add NAME type vrf table N' makes one, 'link set "
            "IF "
            "vrf NAME' puts an interface into it",
            options.words[0])));
    }
    const auto good = parse_show_nothing(behind_verb(options), "vrf");
    return good ? show_table(options.context, show(options, "vrf.show"), columns)
                : report_usage(good.failure());
}

int run_netisr(const net_options& options) {
    static constexpr column columns[] = {
        {"worker", "worker", true},   {"protocol", "protocol"},        {"came", "came", true},
        {"direct", "direct", true},   {"deferred", "deferred", true},  {"queued", "queued", true},
        {"dropped", "dropped", true}, {"unhandled", "unhandled", true}};
    if (!is_show(options.words)) {
        return report_usage(unknown_word("netisr", options.words[0], {"show"}));
    }
    const auto good = parse_show_nothing(behind_verb(options), "netisr");
    return good ? show_table(options.context, show(options, "netisr.show"), columns)
                : report_usage(good.failure());
}

std::string stat_text(const json& stat) {
    const std::string where = stat.value("where", "");
    return fmt::format(
        "{:<14} {:<28} {:>16}{}{}", where, stat.value("name", "?"), stat["value"].dump(),
        stat.contains("text") ? "  " : "", stat.value("text", ""));
}

int run_stats(const net_options& options) {
    show_question asked;
    const std::vector<std::string_view> views(options.words.begin(), options.words.end());
    if (auto good = parse_stats(views, asked); !good) {
        return report_usage(good.failure());
    }
    row_printer printer(options.context.json, stat_text);
    control_request request;
    request.name = "stats";
    request.words = options.words;
    const int status =
        ask(options.context, std::move(request), [&](const json& row) { printer.print(row); });
    if (status == 0) {
        printer.end();
    }
    return status;
}

void add(
    cli_program program, const char* name, std::initializer_list<const char*> aliases,
    const char* help, const char* grammar, int (*run)(const net_options&)) {
    auto options =
        std::make_shared<net_options>(net_options{program.context, program.status, {}, {}});
    CLI::App* command = program.app.add_subcommand(name, help);
    for (const char* alias : aliases) {
        command->alias(alias);
    }
    command->add_option("words", options->words, grammar);
    if (run == run_route) {
        command->add_option(
            "-b,--batch", options->batch, "read changes from a file or '-', one a line");
    }
    command->callback([options, run] {
        const bool one_family = options->context.family != 0;
        const bool shows = is_show(options->words) || options->words[0] == "save";
        options->status = one_family && (!shows || !options->batch.empty())
                              ? report_usage(say("-4 and -6 choose what is shown; other commands "
                                                 "know their family by the addresses"))
                              : run(*options);
    });
}

} // namespace

void add_net_commands(cli_program program) {
    unsigned& family = program.context.family;
    program.app.add_flag_callback(
        "-4", [&family] { family = 4; }, "show what is of IPv4");
    program.app.add_flag_callback(
        "-6", [&family] { family = 6; }, "show what is of IPv6");
    add(program, "addr", {"address", "a"}, "addresses of interfaces",
        "show [[dev] IF] | add|replace|del ADDRESS/LENGTH dev IF [nodad|optimistic]", run_addr);
    add(program, "route", {"r"}, "the routing table",
        "show [PREFIX] [dev IF] [proto P] [table N|all] [vrf NAME] | get ADDRESS [vrf NAME] | "
        "load FILE [via GW]... [vrf NAME] | save [table N|all] | verify | "
        "flush bgp|static|ospf [table N|all] | "
        "add|replace|append|del [blackhole|unreachable|prohibit] PREFIX "
        "[via GW] [dev IF] [nexthop [via GW] [dev IF] [weight N]]... [metric N] [proto P] "
        "[mtu BYTES] [table N | vrf NAME] [aside]",
        run_route);
    add(program, "neigh", {"neighbor", "neighbour", "n"}, "neighbours (ARP, ND)",
        "show [[dev] IF] | add|replace ADDRESS lladdr MAC dev IF | del ADDRESS dev IF", run_neigh);
    add(program, "link", {"l"}, "interfaces",
        "show [[dev] IF] | set IF up|down|mtu BYTES|address MAC|ra MODE|rpf MODE|vrf NAME|table N|"
        "nomaster | add link PORT name IF type vlan id N | add NAME type vrf table N | del IF|VRF",
        run_link);
    add(program, "vrf", {}, "routing tables: names, interfaces, and what they cost", "show",
        run_vrf);
    add(program, "netisr", {}, "how packets were dispatched, by worker and protocol", "show",
        run_netisr);
    add(program, "stats", {"s"}, "counters of ports, workers and drops, or of TCP",
        "[show] [tcp] [all]", run_stats);
}

} // namespace pantala::app
