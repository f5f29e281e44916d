// Broken invariants. Neither is for bad input: a bad packet is a drop reason, a bad argument from
// control is a result<T>.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace pantala {

[[noreturn, gnu::cold, gnu::noinline]] inline void
assertion_failed(const char* condition, const char* file, int line) {
    std::fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, condition);
    std::abort();
}

} // namespace pantala

// Always on; for cold paths.
#define PANTALA_ASSERT(condition)                                                                  \
    (static_cast<bool>(condition) ? static_cast<void>(0)                                           \
                                  : ::pantala::assertion_failed(#condition, __FILE__, __LINE__))

// On in debug builds and in tests (built without NDEBUG); for hot paths.
#ifdef NDEBUG
#define PANTALA_DCHECK(condition) static_cast<void>(0)
#else
#define PANTALA_DCHECK(condition) PANTALA_ASSERT(condition)
#endif
