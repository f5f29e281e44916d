#pragma once

#include "bench/fib/data.hpp"
#include "stack/route/fib4_avx512.hpp"

#include <rte_fib.h>

namespace pantala::bench {

enum class lookup4_variant : std::uint8_t { scalar, avx512 };

struct fib_variant {
    const char* name;
    rte_fib_lookup_type type;
    unsigned burst;
};

void register_lookup4(fib_data& data);
void register_lookup6(fib_data& data);
void register_update4(fib_data& data);

} // namespace pantala::bench
