// Control's end of the route log with a backlog behind it: what the log has no credit for waits
// here, in order, so an update that has begun is never torn. Owner: control.
#pragma once

#include "stack/route/route_log.hpp"

#include <cstdint>
#include <cstring>
#include <vector>

namespace pantala {

class route_writer {
  public:
    // Above this many waiting words the RIB refuses further changes until the workers catch up.
    static constexpr std::size_t backlog_words_max = std::size_t{1} << 23; // 64 MiB

    explicit route_writer(route_log& log) : log_(log) {}

    void write(route_entry_header header, const void* body);
    // Shows the readers what was written, and moves waiting entries on as credit allows. True: none
    // waits any more.
    bool flush();

    // The master's generation: entries written, waiting or not.
    std::uint64_t generation() const { return generation_; }
    bool waiting() const { return next_ < backlog_.size(); }
    bool congested() const { return backlog_.size() - next_ > backlog_words_max; }
    route_log& log() { return log_; }

  private:
    // Credit is asked for once, then used up.
    bool fits(unsigned words);

    route_log& log_;
    std::uint64_t generation_ = 0;
    std::size_t credit_words_ = 0;
    std::vector<std::uint64_t> backlog_;
    std::size_t next_ = 0;
};

} // namespace pantala
