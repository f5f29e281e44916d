// Reads a configuration: applies the keys of schema.hpp to a TOML file, and describes them.
#include "app/config/schema.hpp"

#include <algorithm>
#include <fstream>
#include <set>
#include <span>
#include <sstream>
#include <type_traits>
#include <variant>

#include <fmt/format.h>
#include <toml++/toml.h>

namespace pantala::app {

namespace {

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

// Whether the keys of a section agree with each other.
template <class T>
result<void> fits_together(const T& section) {
    if constexpr (std::is_same_v<T, tcp_config>) {
        return check_tcp(section);
    } else if constexpr (std::is_same_v<T, hostcache_config>) {
        return check_hostcache(section);
    } else {
        return {};
    }
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
                auto read = in.section(name, keys, *node, into.*member);
                const auto fits = read ? fits_together(into.*member) : result<void>();
                return !read || fits
                           ? std::move(read)
                           : in.at(*node, fmt::format("{}.{}", name, fits.failure().text));
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

error at_line(const config& from, std::uint32_t line, const error& failure) {
    if (line == 0) {
        return failure;
    }
    return {failure.code, fmt::format("{}:{}: {}", from.file, line, failure.text)};
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
