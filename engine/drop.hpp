// Where packets die: one place, each death with its reason. Owner: one worker.
#pragma once

#include "engine/counters.hpp"
#include "engine/mbuf_burst.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace pantala {

enum class drop_reason : std::uint8_t {
#define PANTALA_DROP(name, layer, text) name,
#include "engine/drop_reasons.def"
#undef PANTALA_DROP
};

struct drop_reason_text {
    const char* name;
    const char* layer;
    const char* text;
};

inline constexpr drop_reason_text drop_reason_texts[] = {
#define PANTALA_DROP(name, layer, text) {#name, layer, text},
#include "engine/drop_reasons.def"
#undef PANTALA_DROP
};
inline constexpr std::size_t drop_reason_count = std::size(drop_reason_texts);

// Collects the dead of a round and frees them together. A packet handed to drop() is gone.
class drop_sink {
  public:
    drop_sink() = default;
    drop_sink(const drop_sink&) = delete;
    drop_sink& operator=(const drop_sink&) = delete;
    ~drop_sink() { flush(); }

    void drop(rte_mbuf* packet, drop_reason reason) {
        counts_[static_cast<std::size_t>(reason)].add(1);
        if (dead_.full()) {
            flush();
        }
        dead_.push(packet);
    }

    // Counts a packet that never had an mbuf, or whose mbuf went elsewhere.
    void count(drop_reason reason, std::uint64_t packets = 1) {
        counts_[static_cast<std::size_t>(reason)].add(packets);
    }

    // Frees what was dropped; the worker calls it at the end of a round.
    void flush() {
        if (!dead_.empty()) {
            rte_pktmbuf_free_bulk(dead_.packets, dead_.count);
            dead_.clear();
        }
    }

    // Any thread may read; values only grow.
    std::uint64_t dropped(drop_reason reason) const {
        return counts_[static_cast<std::size_t>(reason)].read();
    }

  private:
    mbuf_burst dead_;
    std::array<counter, drop_reason_count> counts_{};
};

} // namespace pantala
