#include "stack/wire/ip6/nd_options.hpp"

#include <cstring>

namespace pantala::wire {
namespace {

template <class Option>
bool take(std::span<const std::uint8_t> bytes, Option& option) {
    if (bytes.size() != sizeof option) {
        return false; // a length that this kind of option does not have: passed over
    }
    std::memcpy(&option, bytes.data(), sizeof option);
    return true;
}

// False: the message must be dropped.
bool take_link_address(std::span<const std::uint8_t> bytes, std::optional<mac_address>& into) {
    nd_link_address_option option;
    if (!take(bytes, option)) {
        return true;
    }
    into = option.address;
    return !option.address.is_group() && !option.address.is_zero();
}

void take_prefix(std::span<const std::uint8_t> bytes, nd_options& into) {
    nd_prefix_option option;
    if (into.prefix_count < nd_prefixes_max && take(bytes, option) && option.prefix_length <= 128) {
        into.prefixes[into.prefix_count++] = option;
    }
}

bool take_option(std::span<const std::uint8_t> bytes, nd_options& into) {
    switch (static_cast<nd_option_type>(bytes[0])) {
    case nd_option_type::source_link_address:
        return take_link_address(bytes, into.source);
    case nd_option_type::target_link_address:
        return take_link_address(bytes, into.target);
    case nd_option_type::prefix_information:
        take_prefix(bytes, into);
        return true;
    case nd_option_type::mtu:
        if (nd_mtu_option option; take(bytes, option)) {
            into.mtu = option.mtu.host();
        }
        return true;
    case nd_option_type::redirected_header:
        return true;
    case nd_option_type::nonce:
        std::memcpy(into.nonce.emplace().data(), bytes.data() + 2, 6);
        return true;
    }
    return true;
}

} // namespace

std::optional<nd_options> parse_nd_options(std::span<const std::uint8_t> bytes) {
    nd_options options;
    for (unsigned i = 0; i < nd_options_max && !bytes.empty(); ++i) {
        const std::size_t length = bytes.size() < 8 ? 0 : bytes[1] * std::size_t{8};
        if (length == 0 || length > bytes.size()) {
            return std::nullopt;
        }
        if (!take_option(bytes.first(length), options)) {
            return std::nullopt;
        }
        bytes = bytes.subspan(length);
    }
    return bytes.empty() ? std::optional(options) : std::nullopt;
}

} // namespace pantala::wire
