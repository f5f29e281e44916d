#include "stack/ether/nd/nd_announcer.hpp"

#include "stack/ether/addresses6.hpp"
#include "stack/ether/nd/nd_send.hpp"

#include <algorithm>
#include <utility>

namespace pantala {
namespace {

bool is_announced(const iface_address6& mine) {
    return (mine.flags & (address_tentative | address_duplicate)) == 0;
}

// The place of an address that was ours before; the count of addresses: it was not.
std::size_t place_before(const iface& before, const iface_address6& mine) {
    const auto known = before.ip6();
    const auto at = std::ranges::find_if(known, [&](const iface_address6& each) {
        return each.address == mine.address && is_announced(each);
    });
    return static_cast<std::size_t>(at - known.begin());
}

} // namespace

void nd_announcer::changed(iface_id id, const iface& before, instant now) {
    const iface& after = nd_.links[id];
    const bool anew = !before.present || !before.up || before.mac != after.mac ||
                      before.port != after.port || before.vlan != after.vlan;
    const pending old = std::exchange((*pending_)[id.value], {});
    pending& wanted = (*pending_)[id.value];
    if (!after.present || !after.up) {
        return;
    }
    for (std::size_t i = 0; i < after.ip6().size(); ++i) {
        const iface_address6& mine = after.ip6()[i];
        if (!is_announced(mine)) {
            continue;
        }
        const std::size_t was = place_before(before, mine);
        if (anew || was == before.ip6().size()) {
            wanted.left[i] = announcements;
            wanted.due = now;
        } else if (old.left[was] > 0) {
            wanted.left[i] = old.left[was];
            wanted.due = std::min(wanted.due, old.due);
        }
    }
    next_ = std::min(next_, wanted.due);
}

void nd_announcer::expire(instant now) {
    if (now < next_) {
        return;
    }
    next_ = instant::never();
    for (unsigned i = 0; i < nd_.links.end(); ++i) {
        pending& wanted = (*pending_)[i];
        if (wanted.due <= now) {
            const iface_id id{static_cast<std::uint16_t>(i)};
            const auto mine = nd_.links[id].ip6();
            bool more = false;
            for (std::size_t each = 0; each < mine.size(); ++each) {
                if (wanted.left[each] > 0) {
                    nd_advertise(nd_, id, {address_of(mine[each]), wire::ipv6_all_nodes});
                    more = --wanted.left[each] > 0 || more;
                }
            }
            wanted.due = more ? now + interval_ns : instant::never();
        }
        next_ = std::min(next_, wanted.due);
    }
}

} // namespace pantala
