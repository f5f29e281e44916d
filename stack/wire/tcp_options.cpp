#include "stack/wire/tcp_options.hpp"

#include <cstddef>
#include <cstring>

namespace pantala::wire {

namespace {

std::uint16_t load16(const std::uint8_t* at) {
    return static_cast<std::uint16_t>(at[0] << 8 | at[1]);
}

std::uint32_t load32(const std::uint8_t* at) {
    std::uint32_t raw = 0;
    std::memcpy(&raw, at, 4);
    return be32::from_raw(raw).host();
}

void store32(std::uint8_t* at, std::uint32_t value) {
    const std::uint32_t raw = be32::from(value).raw();
    std::memcpy(at, &raw, 4);
}

// RFC 2018 section 3: kind, length, then 8 bytes a block.
void parse_sack(const std::uint8_t* option, unsigned length, tcp_options& result) {
    const unsigned body = length - 2;
    if (body == 0 || body % 8 != 0) {
        return;
    }
    result.sack_count = 0;
    for (unsigned at = 0; at < body && result.sack_count < tcp_sack_blocks_max; at += 8) {
        result.sack[result.sack_count++] = {
            tcp_seq{load32(option + 2 + at)}, tcp_seq{load32(option + 6 + at)}};
    }
}

// RFC 7413 4.1.1: no cookie asks for one; other lengths must be ignored.
void parse_fast_open(const std::uint8_t* option, unsigned length, tcp_options& result) {
    const unsigned bytes = length - 2;
    const bool cookie = bytes >= tcp_fast_open_bytes_min && bytes <= tcp_fast_open_bytes_max;
    if (bytes == 0 || (cookie && bytes % 2 == 0)) {
        result.fast_open = option + 2;
        result.fast_open_bytes = static_cast<std::uint8_t>(bytes);
    }
}

void parse_one(const std::uint8_t* option, unsigned length, tcp_options& result) {
    switch (option[0]) {
    case tcp_option_mss:
        if (length == 4) {
            result.has_mss = true;
            result.mss = load16(option + 2);
        }
        break;
    case tcp_option_window_scale:
        if (length == 3) {
            result.has_window_scale = true;
            result.window_scale = option[2];
        }
        break;
    case tcp_option_sack_permitted:
        result.sack_permitted = result.sack_permitted || length == 2;
        break;
    case tcp_option_sack:
        parse_sack(option, length, result);
        break;
    case tcp_option_timestamp:
        if (length == 10) {
            result.has_timestamp = true;
            result.ts_value = load32(option + 2);
            result.ts_echo = load32(option + 6);
        }
        break;
    case tcp_option_fast_open:
        parse_fast_open(option, length, result);
        break;
    default:
        break;
    }
}

// A growing list of options in a buffer that holds all that can be asked for.
class writer {
  public:
    explicit writer(std::span<std::uint8_t, tcp_options_bytes_max> out) : out_(out) {}

    unsigned size() const { return size_; }
    unsigned room() const { return tcp_options_bytes_max - size_; }
    void byte(std::uint8_t value) { out_[size_++] = value; }
    void word(std::uint32_t value) {
        store32(&out_[size_], value);
        size_ += 4;
    }
    void align() {
        while (size_ % 4 != 0) {
            byte(tcp_option_nop);
        }
    }
    void mss(std::uint16_t value) {
        word(static_cast<std::uint32_t>(tcp_option_mss) << 24 | 4U << 16 | value);
    }
    void window_scale(std::uint8_t shift) {
        word(
            static_cast<std::uint32_t>(tcp_option_nop) << 24 |
            static_cast<std::uint32_t>(tcp_option_window_scale) << 16 | 3U << 8 | shift);
    }
    void sack_permitted() {
        byte(tcp_option_sack_permitted);
        byte(2);
    }
    void timestamp(std::uint32_t value, std::uint32_t echo) {
        byte(tcp_option_timestamp);
        byte(10);
        word(value);
        word(echo);
    }

    void fast_open(const std::uint8_t* cookie, std::uint8_t bytes) {
        if (room() < (2U + bytes + 3) / 4 * 4) {
            return;
        }
        byte(tcp_option_fast_open);
        byte(static_cast<std::uint8_t>(2 + bytes));
        std::memcpy(&out_[size_], cookie, bytes);
        size_ += bytes;
        align();
    }

  private:
    std::span<std::uint8_t, tcp_options_bytes_max> out_;
    unsigned size_ = 0;
};

void sack_permitted_and_timestamp(writer& out, const tcp_options& options, tcp_option_order order) {
    if (options.sack_permitted) {
        if (!options.has_timestamp && order == tcp_option_order::linux_like) {
            out.byte(tcp_option_nop);
            out.byte(tcp_option_nop);
        }
        out.sack_permitted();
    }
    if (options.has_timestamp) {
        if (!options.sack_permitted) {
            out.byte(tcp_option_nop);
            out.byte(tcp_option_nop);
        }
        out.timestamp(options.ts_value, options.ts_echo);
    }
    out.align();
}

} // namespace

tcp_options parse_tcp_options(std::span<const std::uint8_t> bytes) {
    tcp_options result;
    parse_tcp_options(bytes, result);
    return result;
}

void parse_tcp_options(std::span<const std::uint8_t> bytes, tcp_options& result) {
    // What nearly every segment carries: NOP NOP timestamp and nothing else (RFC 7323 appendix A).
    if (bytes.size() == 12 && load32(bytes.data()) == 0x0101080a) {
        result.has_timestamp = true;
        result.ts_value = load32(bytes.data() + 4);
        result.ts_echo = load32(bytes.data() + 8);
        return;
    }
    std::size_t at = 0;
    while (at < bytes.size() && bytes[at] != tcp_option_end) {
        if (bytes[at] == tcp_option_nop) {
            ++at;
            continue;
        }
        if (bytes.size() - at < 2 || bytes[at + 1] < 2 || bytes[at + 1] > bytes.size() - at) {
            result.malformed = true;
            break;
        }
        parse_one(&bytes[at], bytes[at + 1], result);
        at += bytes[at + 1];
    }
}

unsigned write_tcp_syn_options(
    std::span<std::uint8_t, tcp_options_bytes_max> out, const tcp_options& options,
    tcp_option_order order) {
    writer list(out);
    if (options.has_mss) {
        list.mss(options.mss);
    }
    if (options.has_window_scale && order == tcp_option_order::freebsd_like) {
        list.window_scale(options.window_scale);
    }
    sack_permitted_and_timestamp(list, options, order);
    if (options.has_window_scale && order == tcp_option_order::linux_like) {
        list.window_scale(options.window_scale);
    }
    if (options.fast_open != nullptr) {
        list.fast_open(options.fast_open, options.fast_open_bytes);
    }
    return list.size();
}

unsigned
write_tcp_options(std::span<std::uint8_t, tcp_options_bytes_max> out, const tcp_options& options) {
    writer list(out);
    if (options.has_timestamp) {
        list.byte(tcp_option_nop);
        list.byte(tcp_option_nop);
        list.timestamp(options.ts_value, options.ts_echo);
    }
    const unsigned fits = list.room() < 12 ? 0 : (list.room() - 4) / 8;
    const unsigned count = options.sack_count < fits ? options.sack_count : fits;
    if (count > 0) {
        list.byte(tcp_option_nop);
        list.byte(tcp_option_nop);
        list.byte(tcp_option_sack);
        list.byte(static_cast<std::uint8_t>(2 + 8 * count));
        for (unsigned i = 0; i < count; ++i) {
            list.word(options.sack[i].left.value);
            list.word(options.sack[i].right.value);
        }
    }
    return list.size();
}

} // namespace pantala::wire
