// The configuration's keys as data, and the one routine that applies them.
#include "app/changes.hpp"
#include "app/config/config.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <set>
#include <span>
#include <sstream>
#include <variant>

#include <fmt/format.h>
#include <toml++/toml.h>

namespace pantala::app {

namespace {

// Checks a text value; the sentence of the failure goes behind file, line and key.
using text_check = result<void> (*)(const std::string&);

template <class T>
struct text_key {
    std::string T::*member;
    text_check check = nullptr;
};
template <class T>
struct list_key {
    std::vector<std::string> T::*member;
    text_check check = nullptr; // of each element
};
template <class T>
struct number_key {
    std::uint32_t T::*member;
    std::uint32_t least;
    std::uint32_t most;
};
template <class T>
struct flag_key {
    bool T::*member;
};

template <class T>
struct key {
    const char* name;
    std::variant<text_key<T>, list_key<T>, number_key<T>, flag_key<T>> value;
    const char* meaning;
    bool required = false;
};

template <class T>
result<void> checked(result<T> outcome) {
    return outcome ? result<void>() : result<void>(outcome.failure());
}

result<void> one_of(const std::string& value, std::initializer_list<std::string_view> words) {
    if (std::find(words.begin(), words.end(), value) != words.end()) {
        return {};
    }
    return error{EINVAL, fmt::format("'{}' is not one of: {}", value, fmt::join(words, ", "))};
}

result<void> is_idle(const std::string& value) {
    return one_of(value, {"adaptive", "busy"});
}
result<void> is_dispatch(const std::string& value) {
    return one_of(value, {"direct", "deferred"});
}
result<void> is_kind(const std::string& value) {
    return one_of(value, {"unicast", "blackhole", "unreachable", "prohibit"});
}
result<void> is_dad(const std::string& value) {
    return one_of(value, {"optimistic", "strict", "off"});
}
result<void> is_ra(const std::string& value) {
    return one_of(value, {"off", "send", "accept"});
}
result<void> is_rpf(const std::string& value) {
    return one_of(value, {"off", "strict", "loose"});
}
result<void> is_mac(const std::string& value) {
    return checked(parse_mac(value));
}
result<void> is_address(const std::string& value) {
    neigh_change either;
    return set_address(value, either);
}
result<void> is_destination(const std::string& value) {
    route_change either;
    return set_destination(value, either);
}
result<void> is_interface_address(const std::string& value) {
    addr_change either;
    return set_address(value, either);
}
result<void> is_name(const std::string& value) {
    const bool good =
        !value.empty() && value.size() <= 31 && std::all_of(value.begin(), value.end(), [](char c) {
            return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
        });
    return good ? result<void>()
                : error{
                      EINVAL, fmt::format(
                                  "'{}' is no name: 1 to 31 letters, digits, '.', '-' "
                                  "or '_'",
                                  value)};
}

constexpr std::uint32_t any = std::numeric_limits<std::uint32_t>::max();

const key<engine_config> engine_keys[] = {
    {"workers", number_key<engine_config>{&engine_config::workers, 1, 64}, "how many workers"},
    {"idle", text_key<engine_config>{&engine_config::idle, is_idle},
     "adaptive: sleep when there is nothing to do; busy: never"},
    {"dispatch", text_key<engine_config>{&engine_config::dispatch, is_dispatch},
     "direct: a packet of another worker's flow goes to it; deferred: queued there in any case"},
    {"lcores", text_key<engine_config>{&engine_config::lcores},
     "EAL's --lcores, control's and one a worker; floating: all over the allowed CPUs; empty: a "
     "CPU for each worker"},
    {"memory_mib", number_key<engine_config>{&engine_config::memory_mib, 0, 1 << 20},
     "memory without hugepages, MiB; 0: by need"},
    {"mbufs", number_key<engine_config>{&engine_config::mbufs, 0, 1 << 24},
     "packet buffers; 0: by the number of ports and queues"},
    {"eal", list_key<engine_config>{&engine_config::eal}, "more options for EAL"},
};

const key<ip4_config> ip4_keys[] = {
    {"send_redirects", flag_key<ip4_config>{&ip4_config::send_redirects},
     "tell hosts of a gateway on their own link (ICMP redirect)"},
    {"errors_per_second", number_key<ip4_config>{&ip4_config::errors_per_second, 1, 1'000'000},
     "ICMP errors that a worker sends at most"},
};

const key<ip6_config> ip6_keys[] = {
    {"stable_secret", text_key<ip6_config>{&ip6_config::stable_secret},
     "what addresses of advertised prefixes are made from (RFC 7217); empty: the machine's "
     "identity"},
};

const key<control_config> control_keys[] = {
    {"socket", text_key<control_config>{&control_config::socket},
     "path of the control socket; empty: in the user's runtime directory"},
};

const key<port_config> port_keys[] = {
    {"name", text_key<port_config>{&port_config::name, is_name}, "its name", true},
    {"device", text_key<port_config>{&port_config::device},
     "bus:PATH[,ARGS], a PCI address, or a DPDK vdev with its arguments", true},
    {"queues", number_key<port_config>{&port_config::queues, 0, 64},
     "receive queues; 0: one a worker, or what the port has"},
    {"mtu", number_key<port_config>{&port_config::mtu, 68, 65535}, "bytes of IP"},
    {"mac", text_key<port_config>{&port_config::mac, is_mac}, "Ethernet address; else the port's"},
    {"rx_descriptors", number_key<port_config>{&port_config::rx_descriptors, 64, 32768},
     "a receive queue's length"},
    {"tx_descriptors", number_key<port_config>{&port_config::tx_descriptors, 64, 32768},
     "a transmit queue's length"},
    {"promiscuous", flag_key<port_config>{&port_config::promiscuous}, "take every frame"},
    {"lose_ppm", number_key<port_config>{&port_config::lose_ppm, 0, 1'000'000},
     "for tests: packets lost each way, in a million"},
    {"duplicate_ppm", number_key<port_config>{&port_config::duplicate_ppm, 0, 1'000'000},
     "for tests: packets doubled"},
    {"reorder_ppm", number_key<port_config>{&port_config::reorder_ppm, 0, 1'000'000},
     "for tests: packets overtaken by the next four"},
};

const key<link_config> link_keys[] = {
    {"name", text_key<link_config>{&link_config::name, is_name}, "the interface's name", true},
    {"port", text_key<link_config>{&link_config::port, is_name}, "the port that carries it", true},
    {"vlan", number_key<link_config>{&link_config::vlan, 1, 4094}, "802.1Q tag", true},
    {"mtu", number_key<link_config>{&link_config::mtu, 0, 65535}, "bytes of IP; 0: the port's"},
    {"up", flag_key<link_config>{&link_config::up}, "up from the start"},
};

const key<addr_config> addr_keys[] = {
    {"address", text_key<addr_config>{&addr_config::address, is_interface_address},
     "ADDRESS/LENGTH", true},
    {"dev", text_key<addr_config>{&addr_config::dev, is_name}, "interface", true},
    {"dad", text_key<addr_config>{&addr_config::dad, is_dad},
     "whether somebody else has it is asked meanwhile (optimistic), before it is used (strict), or "
     "not at all (off)"},
};

const key<iface_config> iface_keys[] = {
    {"dev", text_key<iface_config>{&iface_config::dev, is_name}, "interface", true},
    {"ra", text_key<iface_config>{&iface_config::ra, is_ra},
     "router advertisements (IPv6): send them, accept others' (addresses and a default route are "
     "made of them), or off"},
    {"ra_interval", number_key<iface_config>{&iface_config::ra_interval, 4, 1800},
     "seconds between those sent, at most"},
    {"ra_lifetime", number_key<iface_config>{&iface_config::ra_lifetime, 0, 9000},
     "seconds that hosts use this router by default; 0: not at all"},
    {"rpf", text_key<iface_config>{&iface_config::rpf, is_rpf},
     "reverse path check of sources: strict, loose or off"},
};

const key<neigh_config> neigh_keys[] = {
    {"address", text_key<neigh_config>{&neigh_config::address, is_address}, "IPv4 or IPv6 address",
     true},
    {"lladdr", text_key<neigh_config>{&neigh_config::lladdr, is_mac}, "Ethernet address", true},
    {"dev", text_key<neigh_config>{&neigh_config::dev, is_name}, "interface", true},
};

const key<route_config> route_keys[] = {
    {"to", text_key<route_config>{&route_config::to, is_destination}, "prefix or 'default'", true},
    {"kind", text_key<route_config>{&route_config::kind, is_kind},
     "unicast, or what to do instead of forwarding"},
    {"via", list_key<route_config>{&route_config::via, is_address},
     "gateway, or a list of them (ECMP)"},
    {"dev", text_key<route_config>{&route_config::dev, is_name},
     "interface; else that of the gateway's subnet"},
    {"mtu", number_key<route_config>{&route_config::mtu, 0, 65535}, "bytes of IP; 0: the link's"},
};

const key<table_config> table_keys[] = {
    {"file", text_key<table_config>{&table_config::file},
     "CIDR list, one a line, '.gz' or not; relative to this file", true},
    {"via", list_key<table_config>{&table_config::via, is_address},
     "gateways; prefixes without one of their own are spread over them by the skewed rule", true},
    {"limit", number_key<table_config>{&table_config::limit, 0, any}, "only so many; 0: all"},
};

class reader {
  public:
    explicit reader(const std::string& name) : name_(name) {}

    error at(const toml::node& where, std::string_view text) const {
        return at(where.source().begin.line, text);
    }
    error at(std::uint32_t line, std::string_view text) const {
        return {EINVAL, fmt::format("{}:{}: {}", name_, line, text)};
    }

    template <class T>
    result<void>
    table(std::string_view section, std::span<const key<T>> keys, toml::table& table, T& into) {
        std::set<std::string_view> seen;
        for (auto&& [name, node] : table) {
            const std::string_view word = name.str();
            const auto found = std::find_if(
                keys.begin(), keys.end(), [&](const auto& k) { return word == k.name; });
            if (found == keys.end()) {
                return at(name.source().begin.line, unknown(section, name.str(), keys));
            }
            seen.insert(found->name);
            if (auto good = value(*found, node, into); !good) {
                return at(
                    node, fmt::format("{}.{}: {}", section, found->name, good.failure().text));
            }
        }
        for (const auto& k : keys) {
            if (k.required && !seen.contains(k.name)) {
                return at(table, fmt::format("[{}] lacks '{}' ({})", section, k.name, k.meaning));
            }
        }
        return {};
    }

    template <class T>
    result<void>
    section(std::string_view name, std::span<const key<T>> keys, toml::node& node, T& into) {
        toml::table* found = node.as_table();
        return found != nullptr ? table(name, keys, *found, into)
                                : at(node, fmt::format("'{0}' must be a table: [{0}]", name));
    }

    template <class T>
    result<void> sections(
        std::string_view name, std::span<const key<T>> keys, toml::node& node,
        std::vector<T>& into) {
        toml::array* found = node.as_array();
        if (found == nullptr) {
            return at(node, fmt::format("'{0}' must be a list of tables: [[{0}]]", name));
        }
        for (toml::node& element : *found) {
            T record;
            record.line = element.source().begin.line;
            if (auto good = section(name, keys, element, record); !good) {
                return good;
            }
            into.push_back(std::move(record));
        }
        return {};
    }

  private:
    template <class T>
    static std::string
    unknown(std::string_view section, std::string_view name, std::span<const key<T>> keys) {
        std::string known;
        for (const auto& k : keys) {
            known += fmt::format("{}{}", known.empty() ? "" : ", ", k.name);
        }
        return fmt::format("unknown key '{}' in [{}]; known are: {}", name, section, known);
    }

    template <class T>
    result<void> value(const key<T>& k, toml::node& node, T& into) {
        return std::visit([&](const auto& kind) { return set(kind, node, into); }, k.value);
    }
    template <class T>
    result<void> set(const text_key<T>& kind, toml::node& node, T& into) {
        const auto text = node.value_exact<std::string>();
        if (!text) {
            return error{EINVAL, "must be a string"};
        }
        into.*kind.member = *text;
        return kind.check != nullptr ? kind.check(*text) : result<void>();
    }
    template <class T>
    result<void> set(const list_key<T>& kind, toml::node& node, T& into) {
        std::vector<std::string>& list = into.*kind.member;
        if (const auto text = node.value_exact<std::string>()) {
            list.push_back(*text);
        } else if (toml::array* array = node.as_array()) {
            for (toml::node& element : *array) {
                const auto one = element.value_exact<std::string>();
                if (!one) {
                    return error{EINVAL, "must be a list of strings"};
                }
                list.push_back(*one);
            }
        } else {
            return error{EINVAL, "must be a string or a list of strings"};
        }
        for (const std::string& element : list) {
            if (auto good = kind.check ? kind.check(element) : result<void>(); !good) {
                return good;
            }
        }
        return {};
    }
    template <class T>
    result<void> set(const number_key<T>& kind, toml::node& node, T& into) {
        const auto number = node.value_exact<std::int64_t>();
        if (!number || *number < kind.least || *number > kind.most) {
            return error{
                EINVAL, fmt::format("must be a whole number from {} to {}", kind.least, kind.most)};
        }
        into.*kind.member = static_cast<std::uint32_t>(*number);
        return {};
    }
    template <class T>
    result<void> set(const flag_key<T>& kind, toml::node& node, T& into) {
        const auto flag = node.value_exact<bool>();
        if (!flag) {
            return error{EINVAL, "must be true or false"};
        }
        into.*kind.member = *flag;
        return {};
    }

    const std::string& name_;
};

template <class T, std::size_t n>
std::span<const key<T>> all_keys(const key<T> (&keys)[n]) {
    return keys;
}

// The one list of sections: `visit(name, keys, member of config)` for each.
template <class Visit>
result<void> each_section(Visit&& visit) {
    const auto all = [&](auto&&... one) {
        result<void> good;
        ((good = one(), good.ok()) && ...);
        return good;
    };
    return all(
        [&] { return visit("engine", all_keys(engine_keys), &config::engine); },
        [&] { return visit("ip4", all_keys(ip4_keys), &config::ip4); },
        [&] { return visit("ip6", all_keys(ip6_keys), &config::ip6); },
        [&] { return visit("control", all_keys(control_keys), &config::control); },
        [&] { return visit("port", all_keys(port_keys), &config::ports); },
        [&] { return visit("link", all_keys(link_keys), &config::links); },
        [&] { return visit("addr", all_keys(addr_keys), &config::addrs); },
        [&] { return visit("iface", all_keys(iface_keys), &config::ifaces); },
        [&] { return visit("neigh", all_keys(neigh_keys), &config::neighs); },
        [&] { return visit("route", all_keys(route_keys), &config::routes); },
        [&] { return visit("table", all_keys(table_keys), &config::tables); });
}

result<void> read_sections(reader& in, toml::table& root, config& into) {
    std::set<std::string_view> known;
    auto good = each_section(
        [&]<class T>(
            const char* name, std::span<const key<T>> keys, auto config::*member) -> result<void> {
            known.insert(name);
            toml::node* node = root.get(name);
            if (node == nullptr) {
                return {};
            }
            if constexpr (std::is_same_v<decltype(member), T config::*>) {
                return in.section(name, keys, *node, into.*member);
            } else {
                return in.sections(name, keys, *node, into.*member);
            }
        });
    if (!good) {
        return good;
    }
    for (auto&& [name, node] : root) {
        if (!known.contains(name.str())) {
            return in.at(
                name.source().begin.line,
                fmt::format(
                    "unknown section '{}'; known are: {}", name.str(), fmt::join(known, ", ")));
        }
    }
    return {};
}

template <class T>
std::string describe(const key<T>& k) {
    static const T fresh{};
    return std::visit(
        [&](const auto& kind) -> std::string {
            using K = std::decay_t<decltype(kind)>;
            if constexpr (std::is_same_v<K, text_key<T>>) {
                const std::string& text = fresh.*kind.member;
                return text.empty() ? "string" : fmt::format("string, \"{}\"", text);
            } else if constexpr (std::is_same_v<K, list_key<T>>) {
                return "strings";
            } else if constexpr (std::is_same_v<K, number_key<T>>) {
                return fmt::format("{}..{}, {}", kind.least, kind.most, fresh.*kind.member);
            } else {
                return fmt::format("flag, {}", fresh.*kind.member);
            }
        },
        k.value);
}

} // namespace

result<config> parse_config(std::string_view text, const std::string& name) {
    config into;
    into.file = name;
    reader in(name);
    try {
        toml::table root = toml::parse(text, name);
        if (auto good = read_sections(in, root, into); !good) {
            return good.failure();
        }
    } catch (const toml::parse_error& wrong) {
        return in.at(wrong.source().begin.line, wrong.description());
    }
    return into;
}

result<config> read_config(const std::string& path) {
    std::ifstream file(path);
    std::stringstream text;
    if (!file || !(text << file.rdbuf())) {
        return error{ENOENT, fmt::format("cannot read the configuration {}", path)};
    }
    return parse_config(text.str(), path);
}

std::string config_reference() {
    std::string text;
    const auto good = each_section(
        [&]<class T>(
            const char* name, std::span<const key<T>> keys, auto config::*member) -> result<void> {
            const bool one = std::is_same_v<decltype(member), T config::*>;
            text += fmt::format(one ? "[{}]\n" : "[[{}]]\n", name);
            for (const auto& k : keys) {
                text += fmt::format(
                    "  {:<15} {}{}\n  {:<15}   {}\n", k.name, describe(k),
                    k.required ? " (required)" : "", "", k.meaning);
            }
            return {};
        });
    PANTALA_ASSERT(good.ok());
    return text;
}

std::string toml_string(std::string_view text) {
    std::string quoted = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            quoted += '\\';
            quoted += c;
        } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
            quoted += c;
        }
    }
    return quoted + '"';
}

} // namespace pantala::app
