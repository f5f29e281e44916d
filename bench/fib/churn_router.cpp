#include "bench/fib/churn_router.hpp"

#include "stack/wire/arp.hpp"
#include "stack/wire/ethernet.hpp"
#include "stack/wire/ipv4.hpp"

#include <algorithm>
#include <cstring>
#include <thread>

#include <rte_cycles.h>
#include <rte_mbuf.h>

namespace pantala::bench {

namespace {

constexpr std::uint32_t link0 = 0x0a000001;     // 10.0.0.1/24: where frames come from
constexpr std::uint32_t link1 = 0x0a010001;     // 10.1.0.1/16: where they go
constexpr std::uint32_t peer_base = 0x0a010100; // 10.1.1.0 + index
constexpr std::uint32_t twin_base = 0x0a010200; // 10.1.2.0 + index
constexpr std::uint32_t far_base = 0xac100000;  // 172.16.0.0 + index: over the way
constexpr std::uint32_t far_twin = 0xac100100;  // 172.16.1.0 + index
constexpr std::uint32_t way_base = 0x0a010301;  // 10.1.3.1 or .2: the way's own gateways
constexpr unsigned recursive_max = 8;
constexpr unsigned frame_bytes = 60; // without FCS: 64 on the wire
constexpr unsigned ip_at = 14;
constexpr unsigned destination_at = ip_at + 16;
constexpr unsigned checksum_at = ip_at + 10;
constexpr unsigned index_at = ip_at + 28; // in the payload
constexpr std::uint64_t bucket_cycles = 64;

// Neighbours carry their address in their MAC: 02:00 and four bytes.
void write_mac(std::uint8_t* at, const std::uint8_t* address) {
    at[0] = 2;
    at[1] = 0;
    std::memcpy(at + 2, address, 4);
}

[[noreturn]] void fail(const error& why) {
    say("%s", why.text.c_str());
    std::exit(1);
}

template <class T>
T must(result<T> got) {
    if (!got) {
        fail(got.failure());
    }
    return std::move(got).value();
}
void must(const result<void>& got) {
    if (!got) {
        fail(got.failure());
    }
}

} // namespace

double forwarded::percentile(double share) const {
    std::uint64_t all = 0;
    for (const std::uint32_t count : rounds) {
        all += count;
    }
    const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(all));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < rounds.size(); ++i) {
        seen += rounds[i];
        if (seen > wanted) {
            return static_cast<double>((i + 1) * bucket_cycles);
        }
    }
    return static_cast<double>(longest);
}

churn_router::churn_router(unsigned peers)
    : recursive_(std::min(peers, recursive_max)),
      pool_(
          rte_pktmbuf_pool_create("churn", 8191, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY)),
      rib_(must(rib::make(log_))), replica_(must(rib_->join())),
      rig_(std::make_unique<worker_rig>(
          fabric_.endpoint(0), rig_parts{.lanes = lanes_, .sum = sum_, .pool = pool_}, 1)) {
    iface_id links[2];
    for (std::uint16_t p = 0; p < 2; ++p) {
        iface made;
        made.port = port_id{p};
        made.mac = {2, 1, 0, 0, 0, static_cast<std::uint8_t>(p)};
        links[p] = must(rib_->add_interface(made));
        must(rib_->set_up(links[p], true));
        must(rib_->add_address(links[p], p == 0 ? link0 : link1, p == 0 ? 24 : 16));
    }
    move_way(false);
    for (unsigned other = 0; other < 2; ++other) {
        hops_[other].resize(peers + 1);
        for (unsigned index = 1; index <= peers; ++index) {
            const bool far = index <= recursive_;
            const std::uint32_t base =
                far ? (other ? far_twin : far_base) : (other ? twin_base : peer_base);
            const route_target target{nexthop_kind::gateway, base + index, std::nullopt, 1};
            hops_[other][index] = must(rib_->hop({&target, 1}));
        }
    }
    rig_->tx[0].bind(discard, this, &rig_->drops);
    rig_->tx[1].bind(check, this, &rig_->drops);
    rig_->tx_count = 2;
    rig_->rx.emplace_back(port_id{0}, make, this);
    rig_->rx.emplace_back(port_id{1}, answer, this);
    stack_ = std::make_unique<stack>(rig_->services(), *replica_);
    fabric_.set_context(0, stack_.get());
    loop_ = std::make_unique<worker<stack>>(*rig_, *stack_);

    const std::uint8_t header[] = {0x45, 0, 0, frame_bytes - ip_at, 0, 1, 0, 0, 64, 17, 0, 0, 10,
                                   0,    0, 9};
    const std::uint8_t macs[] = {2, 1, 0, 0, 0, 0, 2, 0, 10, 0, 0, 9, 8, 0};
    std::memcpy(frame_.data(), macs, sizeof macs);
    std::memcpy(frame_.data() + ip_at, header, sizeof header);
    for (unsigned i = 0; i < sizeof header; i += 2) {
        frame_sum_ += static_cast<std::uint32_t>(header[i] << 8 | header[i + 1]);
    }
}

churn_router::~churn_router() {
    loop_.reset();
    stack_.reset();
    rib_->leave(*replica_);
}

std::uint16_t churn_router::index_of(const route& found) const {
    return static_cast<std::uint16_t>(found.targets.front().gateway & 0xff);
}

std::size_t churn_router::recursive_prefixes(const std::vector<route4>& routes) const {
    return static_cast<std::size_t>(
        std::count_if(routes.begin(), routes.end(), [this](const route4& each) {
            return each.hop <= recursive_;
        }));
}

void churn_router::move_way(bool other) {
    route way;
    way.prefix = {far_base, 16};
    way.protocol = route_protocol::ospf;
    way.targets = {{nexthop_kind::gateway, way_base + (other ? 1U : 0U), std::nullopt, 1}};
    must(rib_->replace(way));
}

// --- frames ---

void churn_router::write_frame(std::uint8_t* frame, const destination& to) const {
    std::memcpy(frame, frame_.data(), frame_.size());
    std::memcpy(frame + destination_at, &to.address, 4);
    const std::uint32_t host = to.address.host();
    std::uint32_t sum = frame_sum_ + (host >> 16) + (host & 0xffff);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    const be16 checksum = be16::from(static_cast<std::uint16_t>(~sum));
    std::memcpy(frame + checksum_at, &checksum, 2);
    std::memcpy(frame + index_at, &to.index, 2);
}

std::uint16_t churn_router::make(void* self, rte_mbuf** packets, std::uint16_t room) {
    auto& router = *static_cast<churn_router*>(self);
    if (router.destinations_.empty() || rte_pktmbuf_alloc_bulk(router.pool_, packets, room) != 0) {
        return 0;
    }
    for (std::uint16_t i = 0; i < room; ++i) {
        rte_mbuf* packet = packets[i];
        packet->data_len = frame_bytes;
        packet->pkt_len = frame_bytes;
        packet->port = 0;
        router.write_frame(
            rte_pktmbuf_mtod(packet, std::uint8_t*), router.destinations_[router.next_]);
        router.next_ = router.next_ + 1 == router.destinations_.size() ? 0 : router.next_ + 1;
    }
    router.counts_.received += router.counting_ ? room : 0;
    return room;
}

std::uint16_t churn_router::check(void* self, rte_mbuf** packets, std::uint16_t count) {
    auto& router = *static_cast<churn_router*>(self);
    for (std::uint16_t i = 0; i < count; ++i) {
        router.check_one(rte_pktmbuf_mtod(packets[i], const std::uint8_t*));
    }
    rte_pktmbuf_free_bulk(packets, count);
    return count;
}

// The neighbour that the frame goes to must be one of its destination's next hop.
void churn_router::check_one(const std::uint8_t* frame) {
    if (frame[12] == 8 && frame[13] == 6) {
        answer_arp(frame);
        return;
    }
    std::uint16_t index = 0;
    std::memcpy(&index, frame + index_at, 2);
    const std::uint8_t third = frame[4];
    const std::uint8_t fourth = frame[5];
    const bool right = index <= recursive_ ? third == 3 && (fourth == 1 || fourth == 2)
                                           : (third == 1 || third == 2) && fourth == index;
    if (counting_) {
        ++counts_.sent;
        counts_.misrouted += right ? 0 : 1;
    }
}

void churn_router::answer_arp(const std::uint8_t* frame) {
    std::array<std::uint8_t, 64> reply{};
    const std::uint8_t* arp = frame + 14;
    std::memcpy(reply.data(), frame + 6, 6); // to who asked
    write_mac(reply.data() + 6, arp + 24);
    std::memcpy(reply.data() + 12, frame + 12, 2 + 6); // type; hardware, protocol, lengths
    reply[21] = 2;                                     // reply
    write_mac(reply.data() + 22, arp + 24);
    std::memcpy(reply.data() + 28, arp + 24, 4);
    std::memcpy(reply.data() + 32, arp + 8, 6 + 4);
    if (arp[7] == 1) {
        answers_.push_back(reply);
    }
}

std::uint16_t churn_router::answer(void* self, rte_mbuf** packets, std::uint16_t room) {
    auto& router = *static_cast<churn_router*>(self);
    std::uint16_t count = 0;
    while (count < room && !router.answers_.empty()) {
        rte_mbuf* packet = rte_pktmbuf_alloc(router.pool_);
        if (packet == nullptr) {
            break;
        }
        packet->port = 1;
        std::memcpy(
            rte_pktmbuf_append(packet, frame_bytes), router.answers_.front().data(), frame_bytes);
        router.answers_.pop_front();
        packets[count++] = packet;
    }
    return count;
}

std::uint16_t churn_router::discard(void*, rte_mbuf** packets, std::uint16_t count) {
    rte_pktmbuf_free_bulk(packets, count);
    return count;
}

// --- the worker, and control's orders to it ---

void churn_router::take_orders() {
    switch (order_.load(std::memory_order_acquire)) { // partner: start_count, stop_count
    case order::begin:
        counts_ = forwarded{};
        counting_ = true;
        order_.store(order::none, std::memory_order_release);
        break;
    case order::end:
        counting_ = false;
        order_.store(order::done, std::memory_order_release);
        break;
    case order::none:
    case order::done:
        break;
    }
}

void churn_router::run() {
    std::uint64_t before = rte_rdtsc();
    while (!rig_->stop.load(std::memory_order_relaxed)) {
        take_orders(); // between rounds nothing is on its way
        loop_->round(rig_->clock.now());
        const std::uint64_t now = rte_rdtsc();
        if (counting_) {
            const std::uint64_t cycles = now - before;
            const std::size_t bucket = std::min(cycles / bucket_cycles, counts_.rounds.size() - 1);
            ++counts_.rounds[bucket];
            counts_.longest = std::max(counts_.longest, cycles);
        }
        before = now;
    }
}

void churn_router::start_count() {
    order_.store(order::begin, std::memory_order_release);
    while (order_.load(std::memory_order_acquire) != order::none) {
        std::this_thread::yield();
    }
}

forwarded churn_router::stop_count() {
    order_.store(order::end, std::memory_order_release);
    while (order_.load(std::memory_order_acquire) != order::done) {
        std::this_thread::yield();
    }
    return counts_;
}

void churn_router::resolve_neighbors() {
    constexpr unsigned tries = 100;
    for (unsigned i = 0; i < tries; ++i) {
        for (unsigned way = 0; way < 2; ++way) { // both ways get their neighbour
            move_way(way == 0);
            rib_->pump();
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
        start_count();
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        const forwarded counts = stop_count();
        if (counts.sent > 0 && counts.sent == counts.received) {
            return;
        }
    }
    say("the neighbours do not answer");
    std::exit(1);
}

} // namespace pantala::bench
