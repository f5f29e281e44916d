#include "tests/stack/tcp/soak.hpp"

#include "tests/stack/tcp/tcp_pair.hpp"

#include <algorithm>
#include <string>

namespace pantala::sim {

namespace {

constexpr std::uint64_t patience_s = 20'000;

template <class T, std::size_t N>
T one_of(random_source& random, const T (&choices)[N]) {
    return choices[random.below(N)];
}

link_settings draw_link(random_source& random) {
    link_settings link;
    link.delay_ns =
        one_of<std::uint64_t>(random, {10, 200, 1'000, 10'000, 50'000, 150'000}) * ns_per_us;
    link.jitter_ns = random.one_in(2) ? 0 : link.delay_ns * (1 + random.below(100)) / 50;
    link.bits_per_second =
        one_of<std::uint64_t>(random, {0, 0, 1'000'000, 20'000'000, 1'000'000'000});
    link.queue_packets = one_of<std::uint32_t>(random, {10, 50, 1'000});
    link.mark_packets = random.one_in(3) ? 5 : 0;
    link.loss_ppm = one_of<std::uint32_t>(random, {0, 0, 1'000, 10'000, 50'000, 150'000});
    link.duplicate_ppm = one_of<std::uint32_t>(random, {0, 0, 10'000, 50'000});
    link.corrupt_ppm = one_of<std::uint32_t>(random, {0, 0, 1'000, 30'000});
    return link;
}

tcp::settings draw_settings(random_source& random) {
    tcp::settings config;
    config.timestamps = !random.one_in(4);
    config.sack = !random.one_in(4);
    config.window_scale = !random.one_in(4);
    config.ecn_request = random.one_in(3);
    config.ecn_accept = !random.one_in(4);
    config.auto_tune = !random.one_in(3);
    config.rcv_buffer = one_of<std::uint32_t>(random, {1'000, 5'000, 30'000, 128'000, 1'000'000});
    config.rcv_buffer_max = std::max(config.rcv_buffer, 1'000'000U);
    config.snd_buffer = one_of<std::uint32_t>(random, {1'000, 10'000, 100'000, 1'000'000});
    config.delacktime_ms = one_of<std::uint32_t>(random, {1, 40, 200});
    config.congestion = static_cast<tcp::congestion_kind>(random.below(3));
    config.initial_window_segments = one_of<std::uint32_t>(random, {1, 3, 10});
    config.ooo_segments_max = one_of<std::uint16_t>(random, {4, 64, 512});
    return config;
}

stream_settings draw_stream(random_source& random) {
    stream_settings stream;
    stream.send_bytes = one_of<std::uint32_t>(random, {0, 1, 100, 5'000, 60'000, 300'000});
    stream.send_bytes = stream.send_bytes < 2
                            ? stream.send_bytes
                            : 1 + random.below(static_cast<std::uint32_t>(stream.send_bytes));
    stream.piece_max = one_of<std::uint32_t>(random, {100, 1'500, 20'000});
    stream.read_max = one_of<std::uint32_t>(random, {1'000, 10'000, 1'000'000});
    stream.lazy_ppm = one_of<std::uint32_t>(random, {0, 0, 500'000, 900'000});
    stream.close_at_once = random.one_in(2);
    return stream;
}

pair_settings draw(std::uint64_t seed) {
    random_source random(seed);
    pair_settings how;
    how.seed = seed;
    how.forth = draw_link(random);
    how.back = random.one_in(2) ? how.forth : draw_link(random);
    how.client = draw_settings(random);
    how.server = draw_settings(random);
    how.client_stream = draw_stream(random);
    how.server_stream = draw_stream(random);
    how.client_stream.send_seed = how.server_stream.expect_seed = seed * 2;
    how.server_stream.send_seed = how.client_stream.expect_seed = seed * 2 + 1;
    how.client_stream.expect_bytes = how.server_stream.send_bytes;
    how.server_stream.expect_bytes = how.client_stream.send_bytes;
    how.mtu = one_of<std::uint16_t>(random, {576, 1'280, 1'500, 1'500, 9'000});
    how.v6 = random.one_in(3);
    how.sizes.syn_entries = random.one_in(4) ? 0 : 64; // 0: every handshake by cookie
    how.mtu = how.v6 ? std::max<std::uint16_t>(how.mtu, 1'280) : how.mtu;
    // Hardly room for what is under way; three quarters of the pool where it is 0.
    how.sizes.buffers = random.one_in(4) ? one_of<std::uint32_t>(random, {20, 60, 200}) : 0;
    how.client.pacing = random.one_in(3);
    how.server.pacing = random.one_in(3);
    for (link_settings* link : {&how.forth, &how.back}) { // what the hosts cannot know
        link->mtu = random.one_in(8) ? 1'320 : 0;
    }
    for (tcp::settings* config : {&how.client, &how.server}) {
        config->mtu_probing = static_cast<tcp::mtu_probing>(random.below(3));
        config->mtu_raise_ms = random.one_in(2) ? 1'000 : config->mtu_raise_ms;
    }
    return how;
}

std::string describe(const link_settings& link) {
    return std::to_string(link.delay_ns / ns_per_us) + "us+" +
           std::to_string(link.jitter_ns / ns_per_us) + " " +
           std::to_string(link.bits_per_second / 1'000'000) + "Mb/s loss " +
           std::to_string(link.loss_ppm) + " dup " + std::to_string(link.duplicate_ppm) + " bad " +
           std::to_string(link.corrupt_ppm) +
           (link.mtu == 0 ? "" : " carries " + std::to_string(link.mtu));
}

std::string describe(const pair_settings& how) {
    return "forth " + describe(how.forth) + "; back " + describe(how.back) + "; " +
           std::to_string(how.client_stream.send_bytes) + " bytes forth, " +
           std::to_string(how.server_stream.send_bytes) + " back; mtu " + std::to_string(how.mtu) +
           (how.v6 ? " v6" : " v4") + (how.sizes.syn_entries == 0 ? " cookies" : "") +
           (how.sizes.buffers == 0 ? "" : " buffers " + std::to_string(how.sizes.buffers));
}

std::string fault_of(const char* who, const std::optional<stream>& end) {
    const std::string name = std::string(who) + ": ";
    if (!end) {
        return name + "never there; ";
    }
    if (!end->fault().empty()) {
        return name + end->fault() + "; ";
    }
    if (end->error() != tcp::conn_error::none) {
        return name + "error " + std::to_string(static_cast<int>(end->error())) + " after " +
               std::to_string(end->received()) + " bytes in, " + std::to_string(end->sent()) +
               " out; ";
    }
    return end->complete() || end->let_go()
               ? ""
               : name + "stuck after " + std::to_string(end->received()) + " bytes in, " +
                     std::to_string(end->sent()) + " out; ";
}

} // namespace

soak_result soak(std::uint64_t seed, std::FILE* trace) {
    const pair_settings how = draw(seed);
    soak_result result;
    result.world = describe(how);
    {
        tcp_pair pair(how);
        pair.net.trace = trace;
        const instant begin = pair.net.now();
        pair.connect();
        const bool ended = pair.run_to_end(patience_s);
        result.virtual_ms = (pair.net.now() - begin) / ns_per_ms;
        result.packets = pair.net.packets_sent();
        result.failure = fault_of("client", pair.client_end) + fault_of("server", pair.server_end);
        if (!ended) {
            result.failure += "does not end; ";
        }
        result.failure += pair.leftovers();
    }
    if (packets_out() != 0) {
        result.failure += std::to_string(packets_out()) + " mbufs leaked";
    }
    return result;
}

} // namespace pantala::sim
