// A whole program around the sockets of its workers.
#pragma once

#include <pantala/sockets.hpp>

namespace pantala {

// A host with the command line of `pantala run` (ports, addresses, workers, configuration; what
// follows `--` is EAL's), until a signal comes. `start` is called for each worker before the
// workers run; it returns 0, or an errno value that ends the program. Returns the exit status.
int run_host(int argc, const char* const* argv, int (*start)(sockets& here));

} // namespace pantala
