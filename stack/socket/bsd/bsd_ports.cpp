#include "stack/socket/bsd/bsd_ports.hpp"

#include "engine/base/check.hpp"

#include <array>
#include <atomic>

namespace pantala::bsd {
namespace {

// By port; touched only where somebody is bound.
constinit std::array<std::atomic<std::uint32_t>, 65'536> holders{};

} // namespace

void port_hold::let_go() {
    if (port_ != 0) {
        holders[port_].fetch_sub(1, std::memory_order_relaxed);
        port_ = 0;
    }
}

void port_hold::share(std::uint16_t port) {
    PANTALA_DCHECK(port_ == 0 && port != 0);
    holders[port].fetch_add(1, std::memory_order_relaxed);
    port_ = port;
}

bool port_hold::take_free(std::uint16_t port) {
    PANTALA_DCHECK(port_ == 0 && port != 0);
    std::uint32_t nobody = 0;
    if (!holders[port].compare_exchange_strong(nobody, 1, std::memory_order_relaxed)) {
        return false;
    }
    port_ = port;
    return true;
}

} // namespace pantala::bsd
