// The names of interfaces: what operators say, and what the RIB and the ports have behind it.
#pragma once

#include "engine/base/result.hpp"
#include "engine/ids.hpp"
#include "stack/route/nexthop.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

namespace pantala::app {

struct link {
    std::string name;
    std::string port_name; // of the port that carries it
    port_id port{};
    std::optional<std::uint16_t> vlan;
    iface_id id{};
};

class link_names {
  public:
    void add(link made) { links_.push_back(std::move(made)); }
    void remove(iface_id id) {
        std::erase_if(links_, [&](const link& one) { return one.id == id; });
    }
    const std::vector<link>& all() const { return links_; }

    result<link> find(std::string_view name) const {
        std::string known;
        for (const link& one : links_) {
            if (one.name == name) {
                return one;
            }
            known += (known.empty() ? "" : ", ") + one.name;
        }
        return error{
            ENODEV,
            fmt::format("no interface '{}'; there are: {}", name, known.empty() ? "none" : known)};
    }
    std::string name_of(iface_id id) const {
        for (const link& one : links_) {
            if (one.id == id) {
                return one.name;
            }
        }
        return fmt::format("if{}", id.value);
    }

  private:
    std::vector<link> links_;
};

} // namespace pantala::app
