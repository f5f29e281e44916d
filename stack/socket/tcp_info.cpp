#include "stack/socket/tcp_info.hpp"

#include "stack/tcp/congestion/tcp_pacing.hpp"
#include "stack/tcp/output/tcp_output.hpp"

#include <algorithm>
#include <array>

namespace pantala {
namespace {

std::uint8_t state_of(tcp::conn_state state) {
    static constexpr std::array<std::uint8_t, 10> states = {
        linux_state::close,       linux_state::syn_sent,  linux_state::syn_recv,
        linux_state::established, linux_state::fin_wait1, linux_state::fin_wait2,
        linux_state::close_wait,  linux_state::closing,   linux_state::last_ack,
        linux_state::time_wait};
    return states[static_cast<unsigned>(state)];
}

// TCP_CA_Open, Disorder, CWR, Recovery, Loss: the names are the same, and so is the order.
std::uint8_t ca_state_of(tcp::recovery_state state) {
    return static_cast<std::uint8_t>(state);
}
static_assert(static_cast<unsigned>(tcp::recovery_state::loss) == TCP_CA_Loss);

std::uint8_t options_of(const tcp::conn& c) {
    unsigned options = 0;
    options |= c.has(tcp::conn_flag::timestamps) ? TCPI_OPT_TIMESTAMPS : 0;
    options |= c.has(tcp::conn_flag::sack) ? TCPI_OPT_SACK : 0;
    options |= c.has(tcp::conn_flag::window_scale) ? TCPI_OPT_WSCALE : 0;
    options |= c.has(tcp::conn_flag::ecn) ? TCPI_OPT_ECN : 0;
    options |= c.fast_open >= tcp::fast_open_step::acked ? TCPI_OPT_SYN_DATA : 0;
    return static_cast<std::uint8_t>(options);
}

} // namespace

::tcp_info make_tcp_info(const tcp::host& host, const tcp::conn& c) {
    ::tcp_info info{};
    const std::uint32_t mss = std::max<std::uint32_t>(c.snd_mss, 1);
    info.tcpi_state = state_of(c.state);
    info.tcpi_ca_state = ca_state_of(c.recovery);
    info.tcpi_retransmits = c.rexmt_shift;
    info.tcpi_probes = c.keep_probes;
    info.tcpi_backoff = c.rexmt_shift;
    info.tcpi_options = options_of(c);
    info.tcpi_snd_wscale = c.snd_wscale & 15U;
    info.tcpi_rcv_wscale = c.rcv_wscale & 15U;
    info.tcpi_rto = c.rto_us;
    info.tcpi_ato = host.config.delacktime_ms * 1'000;
    info.tcpi_snd_mss = c.snd_mss;
    info.tcpi_rcv_mss = c.rcv_mss;
    info.tcpi_unacked = c.sent_count;
    info.tcpi_sacked = (c.sacked_bytes + mss - 1) / mss;
    info.tcpi_lost = (c.lost_bytes + mss - 1) / mss;
    info.tcpi_total_retrans = c.resent_segments;
    info.tcpi_retrans = (c.resent_bytes + mss - 1) / mss;
    info.tcpi_last_data_sent = host.now_ms() - c.last_sent_ms;
    info.tcpi_last_data_recv = host.now_ms() - c.last_heard_ms;
    info.tcpi_last_ack_recv = host.now_ms() - c.last_heard_ms;
    info.tcpi_pmtu = c.path_mtu;
    info.tcpi_rcv_ssthresh = c.rcv_limit;
    info.tcpi_rtt = c.srtt();
    info.tcpi_rttvar = c.rttvar_us >> 2;
    info.tcpi_snd_ssthresh = c.ssthresh / mss;
    info.tcpi_snd_cwnd = c.cwnd / mss;
    info.tcpi_advmss = tcp::mss_to_offer(host, c.key, c.path_mtu);
    info.tcpi_reordering = c.reordering;
    info.tcpi_rcv_space = c.rcv_limit;
    info.tcpi_bytes_acked = c.delivered;
    info.tcpi_bytes_received = c.rcv_nxt - c.irs; // modulo 2^32
    info.tcpi_notsent_bytes = c.unsent();
    info.tcpi_min_rtt = c.min_rtt_us;
    info.tcpi_delivered = static_cast<std::uint32_t>(c.delivered / mss);
    info.tcpi_bytes_sent = c.snd_nxt - c.iss; // modulo 2^32
    info.tcpi_snd_wnd = c.snd_wnd;
    info.tcpi_pacing_rate = tcp::pacing_rate(host, c);
    info.tcpi_max_pacing_rate = tcp::rate_of_gap(c.pace_gap_min_ns);
    return info;
}

} // namespace pantala
