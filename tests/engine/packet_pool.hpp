// A small pool of mbufs for one test, which must have all of them back at its end.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include <gtest/gtest.h>
#include <rte_mbuf.h>

namespace pantala {

class packet_pool {
  public:
    explicit packet_pool(unsigned count = 1023) {
        static std::atomic<int> made{0};
        pool_ = rte_pktmbuf_pool_create(
            ("test_pool" + std::to_string(made++)).c_str(), count, 0, 0, 256 + RTE_PKTMBUF_HEADROOM,
            SOCKET_ID_ANY);
        EXPECT_NE(pool_, nullptr);
    }
    ~packet_pool() {
        EXPECT_EQ(rte_mempool_in_use_count(pool_), 0u) << "an mbuf leaked";
        rte_mempool_free(pool_);
    }
    packet_pool(const packet_pool&) = delete;
    packet_pool& operator=(const packet_pool&) = delete;

    rte_mbuf* packet(std::span<const std::uint8_t> bytes) {
        rte_mbuf* made = rte_pktmbuf_alloc(pool_);
        if (made != nullptr) {
            std::memcpy(
                rte_pktmbuf_append(made, static_cast<std::uint16_t>(bytes.size())), bytes.data(),
                bytes.size());
        }
        return made;
    }
    unsigned in_use() const { return rte_mempool_in_use_count(pool_); }
    rte_mempool* get() const { return pool_; }

  private:
    rte_mempool* pool_;
};

// A 42-byte frame: Ethernet, IPv4, UDP, with a number where the UDP length and checksum would be.
inline std::array<std::uint8_t, 42> udp_frame(std::uint16_t flow, std::uint32_t number) {
    std::array<std::uint8_t, 42> frame{};
    frame[12] = 0x08;
    frame[14] = 0x45;
    frame[23] = 17;
    const std::uint8_t addresses[] = {10, 0, 0, 1, 10, 0, 0, 2};
    std::memcpy(&frame[26], addresses, sizeof addresses);
    frame[34] = static_cast<std::uint8_t>(flow >> 8);
    frame[35] = static_cast<std::uint8_t>(flow);
    std::memcpy(&frame[38], &number, sizeof number);
    return frame;
}
inline std::uint16_t flow_of(const rte_mbuf* packet) {
    const auto* bytes = rte_pktmbuf_mtod(packet, const std::uint8_t*);
    return static_cast<std::uint16_t>(bytes[34] << 8 | bytes[35]);
}
inline std::uint32_t number_of(const rte_mbuf* packet) {
    std::uint32_t number = 0;
    std::memcpy(&number, rte_pktmbuf_mtod(packet, const std::uint8_t*) + 38, sizeof number);
    return number;
}

} // namespace pantala
