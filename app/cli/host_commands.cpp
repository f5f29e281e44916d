// Of the host in a running pantala: `ss`, its sockets as `ss -ti` shows them; `tcp`, its settings;
// `hostcache`, what it remembers of destinations.
#include "app/cli/commands.hpp"
#include "app/control/client.hpp"
#include "app/questions.hpp"

#include <memory>

#include <fmt/format.h>

namespace pantala::app {

namespace {

// What the second line says about a connection, in ss's words: times in milliseconds.
std::string details_of(const json& tcp) {
    std::string text;
    for (const json& option : tcp["options"]) {
        text += option.get<std::string>() + " ";
    }
    const auto ms = [&](const char* key) { return tcp[key].get<double>() / 1'000; };
    const auto number = [&](const char* key) { return tcp[key].get<std::uint64_t>(); };
    text += fmt::format(
        "{} wscale:{},{} rto:{:g} rtt:{:g}/{:g} mss:{} pmtu:{} rcvmss:{} advmss:{} cwnd:{}",
        tcp["congestion"].get<std::string>(), number("snd_wscale"), number("rcv_wscale"),
        ms("rto_us"), ms("rtt_us"), ms("rttvar_us"), number("mss"), number("pmtu"),
        number("rcvmss"), number("advmss"), number("cwnd"));
    const std::pair<const char*, const char*> if_any[] = {
        {" ssthresh:{}", "ssthresh"},
        {" bytes_acked:{}", "bytes_acked"},
        {" unacked:{}", "unacked"},
        {" retrans:{}", "retrans"},
        {" retrans_total:{}", "retrans_total"},
        {" lost:{}", "lost"},
        {" sacked:{}", "sacked"},
        {" backoff:{}", "backoff"},
        {" notsent:{}", "notsent"},
    };
    for (const auto& [format, key] : if_any) {
        if (number(key) != 0) {
            text += fmt::format(fmt::runtime(format), number(key));
        }
    }
    return text + fmt::format(
                      " lastsnd:{} lastrcv:{} rcv_space:{} snd_wnd:{} minrtt:{:g}",
                      number("lastsnd_ms"), number("lastrcv_ms"), number("rcv_space"),
                      number("snd_wnd"), ms("minrtt_us"));
}

std::string socket_text(const json& row) {
    std::string text = fmt::format(
        "{:<10} {:>7} {:>7} {:>27} {:>27}", row.value("state", "?"),
        row.value("recv_q", std::uint64_t{0}), row.value("send_q", std::uint64_t{0}),
        row.value("local", "?"), row.value("peer", "?"));
    return row.contains("tcp") ? text + "\n\t " + details_of(row["tcp"]) : text;
}

int run_ss(const cli_context& context) {
    auto client = control_client::connect(context.socket_path());
    if (!client) {
        return report(client.failure());
    }
    if (!context.json) {
        fmt::print(
            "{:<10} {:>7} {:>7} {:>27} {:>27}\n", "State", "Recv-Q", "Send-Q", "Local Address:Port",
            "Peer Address:Port");
    }
    row_printer printer(context.json, socket_text);
    control_request request;
    request.name = "ss";
    auto done = client->call(std::move(request), [&](const json& row) { printer.print(row); });
    if (!done) {
        return report(done.failure());
    }
    printer.end();
    return 0;
}

struct host_options {
    cli_context& context;
    int& status;
    std::vector<std::string> words;
};

// Asks, and shows the rows that come or the answer.
int ask_hosts(const host_options& options, const host_question& asked) {
    auto client = control_client::connect(options.context.socket_path());
    if (!client) {
        return report(client.failure());
    }
    control_request request;
    request.name = "hostcache";
    request.words = options.words;
    if (options.context.family != 0) {
        request.args["family"] = options.context.family;
    }
    json rows = json::array();
    auto done = client->call(std::move(request), [&](const json& row) { rows.push_back(row); });
    if (!done) {
        return report(done.failure());
    }
    if (asked.flush) {
        return options.context.json ? print_line(done->dump()) : 0;
    }
    static constexpr column columns[] = {
        {"address", "address"},          {"worker", "worker", true},
        {"users", "users", true},        {"mtu", "mtu", true},
        {"rtt_us", "rtt_us", true},      {"rttvar_us", "rttvar_us", true},
        {"ssthresh", "ssthresh", true},  {"cwnd", "cwnd", true},
        {"expires_s", "expires_s", true}};
    fmt::print("{}", options.context.json ? rows.dump(2) + "\n" : format_table(columns, rows));
    return 0;
}

int run_hosts(const host_options& options) {
    host_question asked;
    const auto text = views(options.words);
    if (auto good = parse_hosts(text, asked); !good) {
        return report_usage(good.failure());
    }
    if (asked.flush && options.context.family != 0) {
        return report_usage(say("hostcache flush: -4 and -6 choose only what is shown"));
    }
    return ask_hosts(options, asked);
}

void add_hosts_command(const cli_program& program) {
    auto options =
        std::make_shared<host_options>(host_options{program.context, program.status, {}});
    CLI::App* app = program.app.add_subcommand(
        "hostcache", "what the host remembers of destinations: path MTU, round trip, windows");
    app->add_option("words", options->words, "show [ADDRESS] | flush [ADDRESS]");
    app->callback([options] { options->status = run_hosts(*options); });
}

int run_tcp(const host_options& options) {
    tcp_question asked;
    const auto text = views(options.words);
    if (auto good = parse_tcp(text, asked); !good) {
        return report_usage(good.failure());
    }
    auto client = control_client::connect(options.context.socket_path());
    if (!client) {
        return report(client.failure());
    }
    control_request request;
    request.name = "tcp";
    request.words = options.words;
    json rows = json::array();
    auto done = client->call(std::move(request), [&](const json& row) { rows.push_back(row); });
    if (!done) {
        return report(done.failure());
    }
    if (asked.set) {
        return print_line(
            options.context.json
                ? done->dump()
                : "holds for connections that begin now, and timers set from now on");
    }
    static constexpr column columns[] = {
        {"name", "name"}, {"value", "value", true}, {"may change", "when"}, {"meaning", "meaning"}};
    fmt::print("{}", options.context.json ? rows.dump(2) + "\n" : format_table(columns, rows));
    return 0;
}

void add_tcp_command(const cli_program& program) {
    auto options =
        std::make_shared<host_options>(host_options{program.context, program.status, {}});
    CLI::App* app = program.app.add_subcommand("tcp", "timers and limits of the host's TCP");
    app->add_option("words", options->words, "show [NAME] | set NAME VALUE");
    app->callback([options] { options->status = run_tcp(*options); });
}

} // namespace

void add_host_commands(cli_program program) {
    CLI::App* app = program.app.add_subcommand("ss", "sockets of the host, as `ss -ti` shows them");
    app->callback(
        [&context = program.context, &status = program.status] { status = run_ss(context); });
    add_hosts_command(program);
    add_tcp_command(program);
}

} // namespace pantala::app
