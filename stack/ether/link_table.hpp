// Which interface a frame belongs to: the interfaces of a worker, found by id, or by port and VLAN.
// Owner: one worker. Changed between bursts by the route log.
#pragma once

#include "engine/base/check.hpp"
#include "engine/ids.hpp"
#include "stack/route/interface.hpp"
#include "stack/wire/address.hpp"
#include "stack/wire/ethernet.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

namespace pantala {

// Of an address in the low 48 bits, as the host loads it; bit 48 is the next byte's group bit.
inline constexpr std::uint64_t mac_mask = 0x0000'ffff'ffff'ffff;
inline constexpr std::uint64_t mac_and_group_mask = 0x0001'ffff'ffff'ffff;
inline constexpr std::uint64_t mac_match_nothing = ~std::uint64_t{0};

inline std::uint64_t mac_bits(const std::array<std::uint8_t, 6>& mac) {
    std::uint64_t bits = 0;
    __builtin_memcpy(&bits, mac.data(), mac.size());
    return bits;
}

class link_table {
  public:
    // What the fast path asks of a port: the untagged interface. `match` equals the first eight
    // bytes of a frame under mac_and_group_mask if it is to us and from a station; it is
    // mac_match_nothing unless such an interface is there and up.
    struct port_link {
        std::uint64_t match = mac_match_nothing;
        iface_id untagged{};
        std::uint8_t table = 0;
        bool checks_sources = false; // some interface on the port does (source_check.hpp)
    };

    link_table();

    void set(iface_id id, const iface& record);

    const iface& operator[](iface_id id) const { return records_[id.value]; }
    bool valid(iface_id id) const { return id.value < ifaces_max && records_[id.value].present; }
    const port_link& port(port_id id) const { return ports_[id.value]; }

    // The interface of a VLAN (or of vlan_none) on a port, up or not.
    std::optional<iface_id> find(port_id port, std::uint16_t vlan) const;

    // The interface of a routing table that has this usable address of ours, if any.
    std::optional<iface_id> owner_of(be32 address, unsigned table) const;
    // Is it a broadcast address of any interface of the table (RFC 1812 5.3.5)?
    bool is_broadcast(be32 address, unsigned table) const;
    // An address of ours to speak with on `id`: on the link of `towards`, else the first one, else
    // any interface's of the same table; zero if we have none.
    be32 source_for(iface_id id, be32 towards) const;
    // Is any interface in another table than the main one?
    bool several_tables() const { return several_tables_; }

    unsigned end() const { return end_; } // ids at or above were never present

  private:
    static constexpr std::uint16_t none = 0xffff;
    static constexpr std::size_t vlans =
        4096; // the slot of vlan_none is 0: no VLAN has that number

    std::uint16_t& slot(port_id port, std::uint16_t vlan) const {
        return by_vlan_[port.value * vlans + (vlan == vlan_none ? 0 : vlan & (vlans - 1))];
    }
    bool is_in(unsigned id, unsigned table) const {
        return records_[id].present && records_[id].table == table;
    }
    void refresh_port(port_id port);

    std::array<port_link, ports_max> ports_{};
    std::array<iface, ifaces_max> records_{};
    std::unique_ptr<std::uint16_t[]> by_vlan_;
    unsigned end_ = 0;
    bool several_tables_ = false;
};

} // namespace pantala
