#include "stack/route/host_cache/host_cache_command.hpp"

namespace pantala {

namespace {

void run_one(host_cache& cache, host_cache_command& command) {
    const bool there = command.flush ? cache.flush_one(command.remote)
                                     : cache.look_at(command.remote, command.rows[0]);
    command.count = there ? 1 : 0;
    command.done = true;
}

void list(host_cache& cache, host_cache_command& command) {
    const std::uint32_t from = command.cursor;
    while (command.count < host_cache_command::rows_max &&
           command.cursor - from < host_cache_command::looked_at_max &&
           cache.list(
               command.cursor, host_cache_command::looked_at_max, command.rows[command.count])) {
        ++command.count;
    }
    command.done = cache.at_end(command.cursor);
}

} // namespace

void run(host_cache& cache, host_cache_command& command) {
    command.count = 0;
    if (command.one) {
        run_one(cache, command);
    } else if (command.flush) {
        command.done = cache.flush(command.cursor, host_cache_command::looked_at_max);
        if (command.done) {
            cache.restart();
        }
    } else {
        list(cache, command);
    }
    command.expire_s = cache.expire_s();
}

} // namespace pantala
