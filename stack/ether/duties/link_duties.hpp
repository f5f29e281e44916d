// What worker 0 does on links besides resolving neighbours: asks for our addresses, reports groups,
// says where they are, advertises itself, looks for routers.
#pragma once

#include "stack/ether/duties/address_prober.hpp"
#include "stack/ether/nd/listener.hpp"
#include "stack/ether/nd/nd_announcer.hpp"
#include "stack/ether/nd/router_advertiser.hpp"
#include "stack/ether/neighbor/neighbor_messages.hpp"

#include <algorithm>

namespace pantala {

struct link_duties_settings {
    address_prober_settings prober;
    router_advertiser_settings advertiser;
};

// Owner: worker 0.
class link_duties {
  public:
    link_duties(nd_context& nd, arp_counters& arp, const link_duties_settings& settings)
        : prober(nd, arp, settings.prober), listener(nd), advertiser(nd, settings.advertiser),
          solicitor(nd), announcer(nd) {}

    // The interface's record was written. Groups first: they are joined before anybody is asked.
    void changed(iface_id id, const iface& before, instant now) {
        listener.changed(id, now);
        prober.changed(id, now);
        advertiser.changed(id, before, now);
        solicitor.changed(id, before, now);
        announcer.changed(id, before, now);
    }
    // A report about the link; false: it is about a neighbour.
    bool take(const neighbor_report& report, instant now) {
        switch (report.event) {
        case neighbor_event::conflicted:
            prober.heard(report.key, report.mac, now);
            return true;
        case neighbor_event::queried:
            listener.queried(report.key.iface, query_of(report), now);
            return true;
        case neighbor_event::router_asked:
            advertiser.solicited(report.key.iface, now);
            return true;
        case neighbor_event::router_heard:
            solicitor.heard(report.key.iface);
            return true;
        default:
            return false;
        }
    }
    void expire(instant now) {
        listener.expire(now);
        prober.expire(now);
        advertiser.expire(now);
        solicitor.expire(now);
        announcer.expire(now);
    }
    instant next_deadline() const {
        return std::min(
            {listener.next_deadline(), prober.next_deadline(), advertiser.next_deadline(),
             solicitor.next_deadline(), announcer.next_deadline()});
    }

    address_prober prober;
    multicast_listener listener;
    router_advertiser advertiser;
    router_solicitor solicitor;
    nd_announcer announcer;

  private:
    static listener_query query_of(const neighbor_report& report) {
        return {
            wire::ipv6_address::from_halves(report.key.high, report.key.low), report.value_ms,
            report.version1};
    }
};

} // namespace pantala
