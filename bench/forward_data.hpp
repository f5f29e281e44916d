// What the IPv4 and the IPv6 half of forward_bench_data share.
#pragma once

#include "bench/gen_vdev/gen_keys.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

namespace pantala::bench {

inline constexpr unsigned nexthops = 63;
inline constexpr std::uint64_t rule_seed = 0x70616e74616c61; // "pantala"

constexpr std::uint64_t splitmix64(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

// Next hop 1 + floor(63 * u^3), u the hash as a fraction of 1.
inline std::uint16_t nexthop_by_hash(std::uint64_t hash) {
    const double u = static_cast<double>(hash >> 11) * 0x1p-53;
    return static_cast<std::uint16_t>(1 + static_cast<unsigned>(nexthops * u * u * u));
}

[[noreturn]] inline void fail(const std::string& what) {
    std::fprintf(stderr, "forward_bench_data: %s\n", what.c_str());
    std::exit(1);
}

class output {
  public:
    explicit output(const std::string& path) : path_(path), file_(path, std::ios::binary) {}
    output(const output&) = delete;
    output& operator=(const output&) = delete;
    ~output() {
        file_.close();
        if (!file_) {
            fail("cannot write '" + path_ + "'");
        }
    }
    void bytes(const void* from, std::size_t count) {
        file_.write(static_cast<const char*>(from), static_cast<std::streamsize>(count));
    }
    void text(const std::string& text) { bytes(text.data(), text.size()); }

  private:
    std::string path_;
    std::ofstream file_;
};

struct data_options {
    std::string table;           // empty: a synthetic one
    std::string directory = "."; // for the files
    std::size_t keys = 3'200'000;
};

struct data_made {
    std::size_t routes = 0;
    std::size_t keys = 0;
};

// The files for IPv6, destinations drawn inside prefixes.
data_made make_data6(const data_options& options);

} // namespace pantala::bench
