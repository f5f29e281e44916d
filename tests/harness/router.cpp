#include "tests/harness/router.hpp"

#include "tests/harness/packets6.hpp"

#include <algorithm>

namespace pantala::test {
namespace {

constexpr unsigned rounds_max = 10'000; // until quiet; more means that it never is

template <class T>
T require(result<T> outcome) {
    if (!outcome) {
        ADD_FAILURE() << outcome.failure().text;
        std::abort();
    }
    return std::move(outcome).value();
}
void require(const result<void>& outcome) {
    EXPECT_TRUE(outcome.ok()) << (outcome.ok() ? "" : outcome.failure().text);
}

} // namespace

router::router(mbuf_pool& pool, const router_settings& settings)
    : pool_(pool), now_(settings.start), ports_(settings.ports), fabric_(settings.workers),
      lanes_(settings.workers, 64), rib_(require(rib::make(log_))) {
    stack_settings of_stack = settings.stack;
    of_stack.neighbors.reachable_spread = settings.reachable_spread;
    for (port_state& port : ports_) {
        port.arrived.resize(settings.workers);
    }
    for (unsigned w = 0; w < settings.workers; ++w) {
        replicas_.push_back(require(rib_->join()));
        rigs_.emplace_back(
            fabric_.endpoint(w), rig_parts{.lanes = lanes_, .sum = sum_, .pool = pool.get()},
            settings.seed + w);
        worker_rig& rig = rigs_.back();
        for (unsigned p = 0; p < settings.ports; ++p) {
            queues_.push_back({&ports_[p], w});
            rig.rx.emplace_back(port_id{static_cast<std::uint16_t>(p)}, take, &queues_.back());
            rig.tx[p].bind(transmit, &queues_.back(), &rig.drops);
        }
        stacks_.push_back(std::make_unique<stack>(rig.services(), *replicas_.back(), of_stack));
        fabric_.set_context(w, stacks_.back().get());
        loops_.push_back(std::make_unique<worker<stack>>(rig, *stacks_.back()));
    }
    automatic_ = std::make_unique<autoconf>(*rib_, siphash_key{1, 2});
    control_context_ = {rib_.get(), automatic_.get()};
    fabric_.set_context(fabric_.workers(), &control_context_);
    fabric_.set_pump([](void* self) { static_cast<router*>(self)->round(); }, this);
}

router::~router() {
    run();
    for (port_state& port : ports_) {
        for (auto& queue : port.arrived) {
            for (rte_mbuf* packet : queue) {
                rte_pktmbuf_free(packet);
            }
        }
    }
    stacks_.clear();
    for (const auto& replica : replicas_) {
        rib_->leave(*replica);
    }
}

iface_id
router::add_iface(unsigned port, std::vector<std::string_view> addresses, const iface& base) {
    iface record = base;
    record.present = true;
    record.up = true;
    record.port = port_id{static_cast<std::uint16_t>(port)};
    record.mac = mac_of(port).bytes;
    const iface_id id = require(rib_->add_interface(record));
    require(rib_->set_up(id, true));
    for (const std::string_view address : addresses) {
        const std::size_t slash = address.find('/');
        const std::uint32_t host = require(parse_address4(address.substr(0, slash)));
        const int length = std::stoi(std::string(address.substr(slash + 1)));
        require(rib_->add_address(id, host, static_cast<unsigned>(length)));
    }
    run();
    return id;
}

void router::add_route(
    std::string_view prefix, std::vector<std::string_view> gateways, nexthop_kind kind,
    std::uint16_t mtu) {
    route added;
    added.prefix = require(parse_prefix4(prefix));
    added.mtu = mtu;
    for (const std::string_view gateway : gateways) {
        route_target target;
        target.gateway = require(parse_address4(gateway));
        added.targets.push_back(target);
    }
    if (kind != nexthop_kind::gateway) {
        route_target target;
        target.kind = kind;
        added.targets.push_back(target);
    }
    require(rib_->add(added));
    run();
}

void router::learn(iface_id id, wire::ipv4_address address, const wire::mac_address& at) {
    const iface& here = rib_->interface(id);
    wire::mac_address mine;
    mine.bytes = here.mac;
    const wire::ipv4_address own{here.on_link(address.value)->address};
    link_fields link{mine, at};
    link.vlan = here.vlan;
    using wire::arp_operation;
    receive(
        here.port.value,
        ethernet(link, wire::ether_type::arp, arp(arp_operation::request, at, address, {}, own)));
    run();
    receive(
        here.port.value,
        ethernet(link, wire::ether_type::arp, arp(arp_operation::reply, at, address, mine, own)));
    run();
}

void router::add_address6(iface_id id, std::string_view text, std::uint8_t flags) {
    wire::mac_address mac;
    mac.bytes = rib_->interface(id).mac;
    const bool has_link_local = std::ranges::any_of(
        rib_->interface(id).ip6(), [](const iface_address6& mine) { return mine.is_link_local(); });
    if (!has_link_local) {
        const address6 own{0xfe80ull << 48, wire::eui64_identifier(mac)};
        require(rib_->add_address(id, own, 64, flags));
    }
    const std::size_t slash = text.find('/');
    const address6 address = require(parse_address6(text.substr(0, slash)));
    const int length = std::stoi(std::string(text.substr(slash + 1)));
    require(rib_->add_address(id, address, static_cast<unsigned>(length), flags));
    run();
}

void router::add_route6(
    std::string_view prefix, std::vector<std::string_view> gateways, nexthop_kind kind,
    std::uint16_t mtu) {
    route6 added;
    added.prefix = require(parse_prefix6(prefix));
    added.mtu = mtu;
    for (const std::string_view gateway : gateways) {
        route_target target;
        target.gateway6 = require(parse_address6(gateway));
        added.targets.push_back(target);
    }
    if (kind != nexthop_kind::gateway) {
        route_target target;
        target.kind = kind;
        added.targets.push_back(target);
    }
    require(rib_->add(added));
    run();
}

void router::del_route6(std::string_view prefix) {
    route6 gone;
    gone.prefix = require(parse_prefix6(prefix));
    require(rib_->del(gone));
    run();
}

// It asks for one of our addresses, then it answers us.
void router::learn6(iface_id id, const wire::ipv6_address& address, const wire::mac_address& at) {
    const iface& here = rib_->interface(id);
    wire::mac_address mine;
    mine.bytes = here.mac;
    link_fields link{mine, at};
    link.vlan = here.vlan;
    ip6_fields fields{address, link_local(mine)};
    fields.hop_limit = 255;
    const auto hear = [&](wire::icmp6_type type, std::uint32_t rest, const bytes& content) {
        receive(
            here.port.value,
            ethernet(link, wire::ether_type::ipv6, icmp6_packet(fields, type, 0, rest, content)));
        run();
    };
    hear(
        wire::icmp6_type::neighbor_solicitation, 0,
        bytes_of(fields.destination) + link_option(wire::nd_option_type::source_link_address, at));
    hear(
        wire::icmp6_type::neighbor_advertisement, wire::nd_flag_solicited | wire::nd_flag_override,
        bytes_of(address) + link_option(wire::nd_option_type::target_link_address, at));
}

void router::forget6(iface_id id, const wire::ipv6_address& address) {
    neighbor_command command;
    command.operation = neighbor_operation::remove;
    command.key = make_neighbor_key(id, address);
    fabric_.control().call(0, command);
    EXPECT_TRUE(command.done);
    run();
}

void router::receive(unsigned port, const bytes& frame, unsigned worker, std::size_t segment) {
    rte_mbuf* packet = pool_.packet(frame, segment);
    packet->port = static_cast<std::uint16_t>(port);
    ports_[port].arrived[worker].push_back(packet);
}

std::vector<bytes> router::sent(unsigned port) {
    return std::exchange(ports_[port].sent, {});
}

std::vector<bytes> router::sent_ip(unsigned port) {
    std::vector<bytes> all = sent(port);
    std::erase_if(
        all, [](const bytes& frame) { return parse_frame(frame).type == wire::ether_type::arp; });
    return all;
}

std::vector<bytes> router::sent_ip6(unsigned port) {
    std::vector<bytes> all = sent(port);
    std::erase_if(all, [](const bytes& frame) {
        const auto packet = parse_ip6_frame(frame);
        if (!packet || packet->header.next_header == 0) { // reports of listeners carry an alert
            return true;
        }
        const auto icmp = packet->icmp();
        return icmp && icmp->type >= 133 && icmp->type <= 137;
    });
    return all;
}

std::uint16_t router::take(void* context, rte_mbuf** packets, std::uint16_t room) {
    auto& queue = *static_cast<queue_context*>(context);
    auto& arrived = queue.port->arrived[queue.worker];
    std::uint16_t count = 0;
    while (count < room && !arrived.empty()) {
        packets[count++] = arrived.front();
        arrived.pop_front();
    }
    return count;
}

std::uint16_t router::transmit(void* context, rte_mbuf** packets, std::uint16_t count) {
    port_state& port = *static_cast<queue_context*>(context)->port;
    std::uint16_t taken = 0;
    for (; taken < count && port.room > 0; ++taken) {
        port.room -= port.room == ~0u ? 0 : 1;
        port.sent.push_back(mbuf_pool::take(packets[taken]));
    }
    return taken;
}

unsigned router::round() {
    automatic_->tick(now_, &fabric_.control());
    unsigned work = rib_->pump() ? 0 : 1;
    for (const auto& loop : loops_) {
        work += loop->round(now_);
    }
    fabric_.control().poll();
    for (unsigned w = 0; w < workers(); ++w) {
        work += stacks_[w]->next_deadline() <= now_ ? 1 : 0;
        work += fabric_.endpoint(w).has_messages() ? 1 : 0;
    }
    return work;
}

void router::run() {
    for (unsigned i = 0; i < rounds_max; ++i) {
        if (round() == 0) {
            return;
        }
    }
    ADD_FAILURE() << "the router never comes to rest";
}

void router::advance(std::uint64_t ns) {
    const instant target = now_ + ns;
    run();
    for (;;) {
        instant next = instant::never();
        for (const auto& each : stacks_) {
            next = std::min(next, each->next_deadline());
        }
        if (next > target) {
            break;
        }
        now_ = std::max(now_, next);
        run();
    }
    now_ = target;
    run();
}

std::uint64_t router::dropped(drop_reason reason) const {
    std::uint64_t sum = 0;
    for (const worker_rig& rig : rigs_) {
        sum += rig.drops.dropped(reason);
    }
    return sum;
}

std::uint64_t router::dropped_in_all() const {
    std::uint64_t sum = 0;
    for (std::size_t reason = 1; reason < drop_reason_count; ++reason) {
        sum += dropped(static_cast<drop_reason>(reason));
    }
    return sum;
}

} // namespace pantala::test
