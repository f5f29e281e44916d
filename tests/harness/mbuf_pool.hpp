// A pool of mbufs for one test, which must have all of them back at its end.
#pragma once

#include "tests/harness/packets.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>

#include <gtest/gtest.h>
#include <rte_mbuf.h>

namespace pantala::test {

class mbuf_pool {
  public:
    static constexpr std::uint16_t room = 2048; // data bytes of an mbuf

    explicit mbuf_pool(unsigned count = 4095) {
        static std::atomic<int> made{0};
        pool_ = rte_pktmbuf_pool_create(
            ("harness" + std::to_string(made++)).c_str(), count, 0, 0, room + RTE_PKTMBUF_HEADROOM,
            SOCKET_ID_ANY);
        EXPECT_NE(pool_, nullptr);
    }
    ~mbuf_pool() {
        EXPECT_EQ(in_use(), 0u) << "an mbuf leaked";
        rte_mempool_free(pool_);
    }
    mbuf_pool(const mbuf_pool&) = delete;
    mbuf_pool& operator=(const mbuf_pool&) = delete;

    rte_mempool* get() const { return pool_; }
    unsigned in_use() const { return rte_mempool_in_use_count(pool_); }

    // A packet of these bytes, in segments of at most `segment` bytes.
    rte_mbuf* packet(const bytes& content, std::size_t segment = room) {
        rte_mbuf* head = rte_pktmbuf_alloc(pool_);
        EXPECT_NE(head, nullptr) << "the test holds too many mbufs";
        for (std::size_t at = 0; at < content.size();) {
            const std::size_t part = std::min(segment, content.size() - at);
            rte_mbuf* last = at == 0 ? head : rte_pktmbuf_alloc(pool_);
            std::memcpy(
                rte_pktmbuf_append(last, static_cast<std::uint16_t>(part)), content.data() + at,
                part);
            if (last != head) {
                rte_pktmbuf_chain(head, last);
            }
            at += part;
        }
        return head;
    }

    // The bytes of a packet, which is freed. Its lengths must agree with each other.
    static bytes take(rte_mbuf* packet) {
        bytes content(packet->pkt_len);
        std::uint32_t sum = 0;
        unsigned segments = 0;
        for (const rte_mbuf* at = packet; at != nullptr; at = at->next, ++segments) {
            sum += at->data_len;
        }
        EXPECT_EQ(sum, packet->pkt_len);
        EXPECT_EQ(segments, packet->nb_segs);
        if (const void* found = rte_pktmbuf_read(packet, 0, packet->pkt_len, content.data());
            found != content.data() && found != nullptr) {
            std::memcpy(content.data(), found, content.size());
        }
        rte_pktmbuf_free(packet);
        return content;
    }

  private:
    rte_mempool* pool_;
};

} // namespace pantala::test
