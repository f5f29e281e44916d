// How commands speak: tables and lines for people, JSON for programs, progress on stderr.
#pragma once

#include "app/control/client.hpp"
#include "engine/base/result.hpp"

#include <chrono>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace pantala::app {

// What every command is told by the options before and behind it.
struct cli_context {
    std::string socket; // empty: the default
    bool json = false;
    unsigned family = 0; // 4 or 6: only routes, addresses and neighbours of this one are shown
    std::string socket_path() const { return socket.empty() ? default_socket_path() : socket; }
};

// Exit statuses: 0 done; `exit_failed`: refused, impossible, or what was checked is not right;
// `exit_usage`: the command line is not understood, and nobody was asked anything. The sentence
// goes to stderr. Both return the status.
inline constexpr int exit_failed = 1;
inline constexpr int exit_usage = 2;
int report(const error& failure);
int report_usage(const error& failure);

// A line on stdout. Returns 0.
int print_line(std::string_view text);

struct column {
    const char* heading;
    const char* key;
    bool right = false; // numbers
};

// One line a row, columns as wide as they need; missing and null values are "-".
std::string format_table(std::span<const column> columns, const json& rows);

// Prints values one after another as they come: lines, or the elements of one JSON array.
class row_printer {
  public:
    using formatter = std::string (*)(const json& row);
    row_printer(bool as_json, formatter format) : json_(as_json), format_(format) {}
    void print(const json& row);
    void end();

  private:
    bool json_;
    formatter format_;
    std::size_t rows_ = 0;
};

// Shows how far something is, on stderr; nothing in the first second. On a terminal that is one
// line that is overwritten, else one every five seconds.
class progress_line {
  public:
    void show(const control_progress& at);
    void show(std::string_view text);
    // Before anything else is written there.
    void clear();
    ~progress_line() { clear(); }

  private:
    bool due();

    std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
    std::chrono::steady_clock::time_point shown_ = began_;
    bool any_ = false;
};

// A route's row as the line that `route add` would take, and `route show` prints.
std::string route_text(const json& route);

// "1.25 M", "12.3 k", "17": three figures.
std::string format_count(double value);

} // namespace pantala::app
