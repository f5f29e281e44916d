#include "bench/fib/churn_worker.hpp"

#include "bench/fib/data.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <thread>

#include <rte_cycles.h>
#include <rte_mbuf.h>

namespace pantala::bench {

namespace {

constexpr unsigned frame_bytes = 60; // without FCS: 64 on the wire
constexpr unsigned ip_at = 14;
constexpr unsigned destination_at = ip_at + 16;
constexpr unsigned checksum_at = ip_at + 10;
constexpr unsigned index_at = ip_at + 28; // in the payload
constexpr std::uint64_t bucket_cycles = 64;
constexpr unsigned mbufs = 8191;

rte_mempool* make_pool(unsigned number) {
    static unsigned made = 0;
    const std::string name = "churn" + std::to_string(made++) + "_" + std::to_string(number);
    rte_mempool* pool = rte_pktmbuf_pool_create(
        name.c_str(), mbufs, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (pool == nullptr) {
        say("no memory for the worker's packets");
        std::exit(1);
    }
    return pool;
}

std::unique_ptr<route_replica> join(rib& routes) {
    auto made = routes.join();
    if (!made) {
        say("%s", made.failure().text.c_str());
        std::exit(1);
    }
    return std::move(*made);
}

} // namespace

double forwarded::percentile(double share) const {
    std::uint64_t all = 0;
    for (const std::uint32_t count : rounds) {
        all += count;
    }
    const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(all));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i + 1 < rounds.size(); ++i) {
        seen += rounds[i];
        if (seen > wanted) {
            return static_cast<double>((i + 1) * bucket_cycles);
        }
    }
    return static_cast<double>(longest);
}

void forwarded::add(const forwarded& other) {
    received += other.received;
    sent += other.sent;
    misrouted += other.misrouted;
    longest = std::max(longest, other.longest);
    for (std::size_t i = 0; i < rounds.size(); ++i) {
        rounds[i] += other.rounds[i];
    }
}

churn_worker::churn_worker(const churn_setting& setting, unsigned number, rib& routes)
    : setting_(setting), routes_(routes), pool_(make_pool(number)), replica_(join(routes)),
      rig_(std::make_unique<worker_rig>(
          setting.fabric.endpoint(number),
          rig_parts{.lanes = setting.lanes, .sum = setting.sum, .pool = pool_}, number + 1)) {
    rig_->tx[0].bind(discard, this, &rig_->drops);
    rig_->tx[1].bind(check<1>, this, &rig_->drops);
    rig_->tx[2].bind(check<2>, this, &rig_->drops);
    rig_->tx_count = 3;
    rig_->rx.emplace_back(port_id{0}, make, this);
    stack_ = std::make_unique<stack>(rig_->services(), *replica_);
    setting.fabric.set_context(number, stack_.get());
    loop_ = std::make_unique<worker<stack>>(*rig_, *stack_);
    next_ = setting.destinations->size() / setting.fabric.workers() * number;

    const std::uint8_t header[] = {0x45, 0, 0, frame_bytes - ip_at, 0, 1, 0, 0, 64, 17, 0, 0, 10,
                                   0,    0, 9};
    const std::uint8_t macs[] = {2, 1, 0, 0, 0, 0, 2, 0, 10, 0, 0, 9, 8, 0};
    std::memcpy(frame_.data(), macs, sizeof macs);
    std::memcpy(frame_.data() + ip_at, header, sizeof header);
    for (unsigned i = 0; i < sizeof header; i += 2) {
        frame_sum_ += static_cast<std::uint32_t>(header[i] << 8 | header[i + 1]);
    }
}

churn_worker::~churn_worker() {
    loop_.reset();
    stack_.reset();
    routes_.leave(*replica_);
    rig_.reset();
    rte_mempool_free(pool_);
}

// --- frames ---

void churn_worker::write_frame(std::uint8_t* frame, const destination& to) const {
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

std::uint16_t churn_worker::make(void* self, rte_mbuf** packets, std::uint16_t room) {
    auto& mine = *static_cast<churn_worker*>(self);
    const std::vector<destination>& to = *mine.setting_.destinations;
    if (rte_pktmbuf_alloc_bulk(mine.pool_, packets, room) != 0) {
        return 0;
    }
    for (std::uint16_t i = 0; i < room; ++i) {
        rte_mbuf* packet = packets[i];
        packet->data_len = frame_bytes;
        packet->pkt_len = frame_bytes;
        packet->port = 0;
        mine.write_frame(rte_pktmbuf_mtod(packet, std::uint8_t*), to[mine.next_]);
        mine.next_ = mine.next_ + 1 == to.size() ? 0 : mine.next_ + 1;
    }
    mine.counts_.received += mine.counting_ ? room : 0;
    return room;
}

template <unsigned Port>
std::uint16_t churn_worker::check(void* self, rte_mbuf** packets, std::uint16_t count) {
    auto& mine = *static_cast<churn_worker*>(self);
    std::uint16_t wrong = 0;
    std::uint16_t own = 0; // its announcements of a link that came up
    for (std::uint16_t i = 0; i < count; ++i) {
        const auto* frame = rte_pktmbuf_mtod(packets[i], const std::uint8_t*);
        if (frame[12] == 8 && frame[13] == 6) [[unlikely]] {
            ++own;
        } else {
            wrong = static_cast<std::uint16_t>(wrong + !mine.right(frame, Port));
        }
    }
    if (mine.counting_) {
        mine.counts_.sent += static_cast<std::uint16_t>(count - own);
        mine.counts_.misrouted += wrong;
    }
    rte_pktmbuf_free_bulk(packets, count);
    return count;
}

// The neighbour that the frame goes to must be one of its destination's next hop. 02:00:10:n:..
bool churn_worker::right(const std::uint8_t* frame, unsigned port) {
    std::uint16_t index = 0;
    std::memcpy(&index, frame + index_at, 2);
    const std::uint8_t third = frame[4];
    const std::uint8_t fourth = frame[5];
    if (index > setting_.recursive) {
        return port == 1 && frame[3] == port && (third == 1 || third == 2) && fourth == index;
    }
    by_way_[port - 1] = true;
    return frame[3] == port && third == 3 && fourth == 1;
}

std::uint16_t churn_worker::discard(void*, rte_mbuf** packets, std::uint16_t count) {
    rte_pktmbuf_free_bulk(packets, count);
    return count;
}

// --- the worker, and control's orders to it ---

void churn_worker::take_orders() {
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

void churn_worker::count_round(std::uint64_t cycles) {
    const std::size_t bucket = std::min(cycles / bucket_cycles, counts_.rounds.size() - 1);
    ++counts_.rounds[bucket];
    counts_.longest = std::max(counts_.longest, cycles);
}

void churn_worker::run() {
    std::uint64_t before = rte_rdtsc();
    std::uint64_t generation = replica_->generation();
    while (!rig_->stop.load(std::memory_order_relaxed)) {
        take_orders(); // between rounds nothing is on its way
        loop_->round(rig_->clock.now());
        const std::uint64_t now = rte_rdtsc();
        if (counting_) {
            count_round(now - before);
        }
        for (unsigned way = 0; way < 2; ++way) {
            if (by_way_[way]) {
                last_by_[way].store(now, std::memory_order_release);
                by_way_[way] = false;
            }
        }
        if (replica_->generation() != generation) {
            generation = replica_->generation();
            changed_at_.store(now, std::memory_order_release);
        }
        before = now;
        if (setting_.shares_cpu) {
            std::this_thread::yield();
            before = rte_rdtsc(); // others' time is not this round's
        }
    }
}

void churn_worker::start_count() {
    order_.store(order::begin, std::memory_order_release);
    while (order_.load(std::memory_order_acquire) != order::none) {
        std::this_thread::yield();
    }
}

forwarded churn_worker::stop_count() {
    order_.store(order::end, std::memory_order_release);
    while (order_.load(std::memory_order_acquire) != order::done) {
        std::this_thread::yield();
    }
    return counts_;
}

} // namespace pantala::bench
