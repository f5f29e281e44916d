// How far apart are two CPUs? Prints the nanoseconds that a cache line takes from one to the other.
//
// usage: line_time [CPU CPU]      (default: 0 1; below 80 ns they share a cache)
#include "bench/line_time.hpp"

#include <charconv>
#include <cstdio>
#include <cstring>
#include <system_error>

namespace {

bool parse(const char* word, unsigned& cpu) {
    const char* const end = word + std::strlen(word);
    const auto [at, bad] = std::from_chars(word, end, cpu);
    return bad == std::errc{} && at == end && cpu < CPU_SETSIZE;
}

} // namespace

int main(int count, char** words) {
    unsigned here = 0;
    unsigned there = 1;
    const bool good = count == 1 || (count == 3 && parse(words[1], here) && parse(words[2], there));
    if (!good || here == there) {
        std::fputs("usage: line_time [CPU CPU]   two different ones\n", stderr);
        return 2;
    }
    const double ns = pantala::bench::shared_line::transfer_ns(here, there);
    if (ns < 0) {
        std::fputs("line_time: no such CPU, or not for us\n", stderr);
        return 1;
    }
    std::printf("%.1f\n", ns);
    return 0;
}
