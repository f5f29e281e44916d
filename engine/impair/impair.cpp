#include "engine/impair/impair.hpp"

#include <algorithm>
#include <utility>

namespace pantala {

impairment::impairment(const impair_settings& settings, std::uint64_t seed, rte_mempool* pool)
    : settings_(settings), random_(seed), pool_(pool) {}

impairment::~impairment() {
    rte_pktmbuf_free(held_);
}

void impairment::pass(rte_mbuf* const* packets, unsigned count, mbuf_burst& out) {
    PANTALA_DCHECK(count <= burst_max / 2);
    for (unsigned i = 0; i < count; ++i) {
        rte_mbuf* packet = packets[i];
        if (happens(settings_.lose)) {
            rte_pktmbuf_free(packet);
            continue;
        }
        if (held_ == nullptr && happens(settings_.reorder)) {
            held_ = packet;
            passed_ = 0;
            continue;
        }
        out.push(packet);
        if (happens(settings_.duplicate) && out.count + 2U < burst_max) {
            if (rte_mbuf* copy = rte_pktmbuf_copy(packet, pool_, 0, UINT32_MAX); copy != nullptr) {
                copy->port = packet->port;
                copy->vlan_tci_outer = packet->vlan_tci_outer;
                out.push(copy);
            }
        }
        ++passed_;
    }
    // When nothing else comes, what is held need not wait.
    if (held_ != nullptr && (passed_ >= reorder_distance || count == 0) && !out.full()) {
        out.push(std::exchange(held_, nullptr));
    }
}

std::uint16_t impaired_rx::receive(void* self, rte_mbuf** packets, std::uint16_t room) {
    auto& wire = *static_cast<impaired_rx*>(self);
    std::array<rte_mbuf*, burst_max / 2> came;
    // At most twice as many and one come out.
    const unsigned wanted = std::min<unsigned>(burst_max / 2 - 1, (room - 1U) / 2);
    if (room < 3) {
        return 0;
    }
    const std::uint16_t count =
        wire.device(wire.context, came.data(), static_cast<std::uint16_t>(wanted));
    mbuf_burst out;
    wire.network.pass(came.data(), count, out);
    std::copy_n(out.packets, out.count, packets);
    return out.count;
}

std::uint16_t impaired_tx::send(void* self, rte_mbuf** packets, std::uint16_t count) {
    auto& wire = *static_cast<impaired_tx*>(self);
    for (unsigned done = 0; done < count;) {
        const unsigned here = std::min(count - done, burst_max / 2 - 1);
        mbuf_burst out;
        wire.network.pass(packets + done, here, out);
        const std::uint16_t taken =
            out.empty() ? std::uint16_t{0} : wire.device(wire.context, out.packets, out.count);
        // A full port is one more way to lose packets.
        rte_pktmbuf_free_bulk(out.packets + taken, out.count - taken);
        done += here;
    }
    return count;
}

} // namespace pantala
