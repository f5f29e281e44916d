// What `pantala gen` is told on its command line.
#pragma once

#include "app/gen/generator.hpp"
#include "engine/base/result.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include <CLI/App.hpp>

namespace pantala::app {

// As typed.
struct gen_words {
    std::string tx;
    std::string rx;
    std::string next;
    std::string from = "198.18.0.1";
    std::string table;
    std::uint64_t limit = 0;
    std::vector<std::string> to;
    std::uint32_t flows = 1000000;
    std::uint64_t seed = 1;
    unsigned gateways = 0;
    std::uint64_t churn_seed = 0;
    std::string gateway_base = "02:70:00:00:00:00";
    std::string gateway_ip;
    std::string sizes = "64";
    std::string rate = "0";
    double seconds = 10;
    std::uint64_t count = 0;
    double resolution = 0.03;
    bool routed = false;
    bool search = false;
    bool serve = false;
    std::uint64_t packet_rate = 0; // `rate`, understood
    // What --search looks for, one after another: frames of each size, or of a mix.
    struct searched {
        std::string name;
        std::vector<std::uint16_t> sizes;
    };
    std::vector<searched> searches{};
};

void add_gen_options(CLI::App& app, gen_words& words);

// Checks the words; sets packet_rate and searches.
result<generator_options> generator_settings(gen_words& words, const std::vector<std::string>& eal);

// "1500", "1.5k", "2M", "1G"; "0" or "max": 0.
result<std::uint64_t> parse_rate(const std::string& text);
// "64", "64,512,1500", "64:7,590:4,1514:1" (size:weight), "imix". The list in which sizes are sent.
result<std::vector<std::uint16_t>> parse_sizes(const std::string& text);
// The same for a search (RFC 2544 26.1): each size by itself, unless weights make them a mix.
result<std::vector<gen_words::searched>> parse_searches(const std::string& text);

} // namespace pantala::app
