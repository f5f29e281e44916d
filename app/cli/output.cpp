#include "app/cli/output.hpp"

#include <algorithm>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

namespace pantala::app {

namespace {

std::string cell(const json& row, const char* key) {
    const auto found = row.find(key);
    if (found == row.end() || found->is_null()) {
        return "-";
    }
    if (found->is_string()) {
        return found->get<std::string>();
    }
    if (found->is_array()) {
        std::string text;
        for (const json& element : *found) {
            text += (text.empty() ? "" : " ") +
                    (element.is_string() ? element.get<std::string>() : element.dump());
        }
        return text.empty() ? "-" : text;
    }
    return found->dump();
}

} // namespace

int report(const error& failure) {
    fmt::print(stderr, "pantala: {}\n", failure.text);
    return exit_failed;
}

int report_usage(const error& failure) {
    report(failure);
    return exit_usage;
}

int print_line(std::string_view text) {
    fmt::print("{}\n", text);
    return 0;
}

std::string route_text(const json& route) {
    const std::string kind = route.value("kind", "unicast");
    std::string text = kind == "unicast" || kind == "connected" ? "" : kind + " ";
    text += route.value("to", "?");
    const json hops = route.value("hops", json::array());
    for (const json& hop : hops) {
        text += hops.size() > 1 || hop.contains("weight") ? " nexthop" : "";
        if (hop.contains("via")) {
            text += " via " + hop["via"].get<std::string>();
        }
        if (hop.contains("dev")) {
            text += " dev " + hop["dev"].get<std::string>();
        }
        if (hop.contains("weight")) {
            text += " weight " + hop["weight"].dump();
        }
    }
    if (const auto table = route.find("table"); table != route.end()) {
        text += " table " + table->dump();
    }
    text += " proto " + route.value("protocol", "?");
    if (const auto metric = route.value("metric", 0U); metric != 0) {
        text += fmt::format(" metric {}", metric);
    }
    if (const auto mtu = route.value("mtu", 0U); mtu != 0) {
        text += fmt::format(" mtu {}", mtu);
    }
    if (kind == "connected") {
        text += " scope link";
    }
    return route.contains("aside") ? text + " aside" : text;
}

std::string format_table(std::span<const column> columns, const json& rows) {
    std::vector<std::vector<std::string>> cells;
    cells.emplace_back();
    for (const column& c : columns) {
        cells.back().emplace_back(c.heading);
    }
    for (const json& row : rows) {
        cells.emplace_back();
        for (const column& c : columns) {
            cells.back().push_back(cell(row, c.key));
        }
    }
    std::string text;
    std::vector<std::size_t> widths(columns.size(), 0);
    for (const auto& line : cells) {
        for (std::size_t i = 0; i < line.size(); ++i) {
            widths[i] = std::max(widths[i], line[i].size());
        }
    }
    for (const auto& line : cells) {
        std::string out;
        for (std::size_t i = 0; i < line.size(); ++i) {
            out += columns[i].right ? fmt::format("{:>{}}", line[i], widths[i])
                                    : fmt::format("{:<{}}", line[i], widths[i]);
            out += i + 1 < line.size() ? "  " : "";
        }
        out.erase(out.find_last_not_of(' ') + 1);
        text += out + "\n";
    }
    return text;
}

void row_printer::print(const json& row) {
    if (json_) {
        fmt::print("{}{}", rows_ == 0 ? "[" : ",\n", row.dump());
    } else {
        fmt::print("{}\n", format_(row));
    }
    ++rows_;
}

void row_printer::end() {
    if (json_) {
        fmt::print("{}]\n", rows_ == 0 ? "[" : "");
    }
}

namespace {

std::string progress_text(const control_progress& at, std::chrono::seconds since) {
    if (at.of > 0) {
        return fmt::format(
            "{}: {} of {} ({:.0f} %)", at.what, at.done, at.of,
            100.0 * static_cast<double>(at.done) / static_cast<double>(at.of));
    }
    return at.done > 0 ? fmt::format("{}: {}", at.what, at.done)
                       : fmt::format("{}: {} s", at.what, since.count());
}

} // namespace

bool progress_line::due() {
    using namespace std::chrono_literals;
    const auto now = std::chrono::steady_clock::now();
    const auto apart = isatty(STDERR_FILENO) != 0 ? 250ms : 5000ms;
    if (now - began_ < 1s || (any_ && now - shown_ < apart)) {
        return false;
    }
    any_ = true;
    shown_ = now;
    return true;
}

void progress_line::show(const control_progress& at) {
    if (due()) {
        const auto since = std::chrono::duration_cast<std::chrono::seconds>(shown_ - began_);
        fmt::print(
            stderr, "{}{}", progress_text(at, since),
            isatty(STDERR_FILENO) != 0 ? "\033[K\r" : "\n");
    }
}

void progress_line::show(std::string_view text) {
    if (due()) {
        fmt::print(stderr, "{}{}", text, isatty(STDERR_FILENO) != 0 ? "\033[K\r" : "\n");
    }
}

void progress_line::clear() {
    if (any_ && isatty(STDERR_FILENO) != 0) {
        fmt::print(stderr, "\033[K");
    }
}

std::string format_count(double value) {
    static constexpr const char* units[] = {"", " k", " M", " G", " T"};
    unsigned unit = 0;
    while (value >= 999.5 && unit + 1 < std::size(units)) {
        value /= 1000;
        ++unit;
    }
    const int decimals = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    return fmt::format("{:.{}f}{}", value, decimals, units[unit]);
}

} // namespace pantala::app
