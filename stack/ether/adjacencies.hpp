// The adjacency table of one worker, kept true as next hops, interfaces and neighbours change. This
// is the slow side; forwarding reads the table alone.
#pragma once

#include "stack/ether/link_table.hpp"
#include "stack/ether/neighbor/neighbor_table.hpp"
#include "stack/route/adjacency.hpp"
#include "stack/route/nexthop.hpp"

namespace pantala {

class adjacencies {
  public:
    adjacencies(const link_table& links, neighbor_table& neighbors)
        : links_(links), neighbors_(neighbors) {}

    const adjacency& operator[](nexthop_id id) const { return table_[id]; }
    const adjacency* data() const { return table_.data(); }

    // The record of next hop `id` was written.
    void set(nexthop_id id, const nexthop& record);
    // An interface changed: every next hop that leaves by it is built anew. `records` gives the
    // record of an id.
    template <class Records>
    void iface_changed(iface_id id, Records&& records) {
        for (unsigned i = 0; i < end_; ++i) {
            const nexthop_id hop{static_cast<std::uint16_t>(i)};
            if (table_[hop].iface == id) {
                set(hop, records(hop));
            }
        }
    }
    // What is sent to a neighbour changed, or it was forgotten: next hops that it is the gateway of
    // follow. Marks the neighbour as a gateway if there are any. Cost: a look at every next hop.
    void neighbor_changed(const neighbor_key& key);

    // The neighbour that an adjacency of kind forward or resolve sends to.
    static neighbor_key gateway_of(const adjacency& entry);

  private:
    const link_table& links_;
    neighbor_table& neighbors_;
    adjacency_table table_;
    unsigned end_ = 0; // ids at or above were never written
};

} // namespace pantala
