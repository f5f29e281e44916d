// One trial: a stream of probes sent at a rate for a time, and what arrived of it; and the search
// for the highest rate without loss (RFC 2544 26.1). The two ends may be in this process or behind
// control sockets. Control code.
#pragma once

#include "engine/base/result.hpp"

#include <cstdint>
#include <functional>
#include <vector>

#include <nlohmann/json.hpp>

namespace pantala::app {

struct send_order {
    std::uint8_t stream = 0;
    std::uint64_t rate = 0;                // packets a second; 0: as fast as possible
    double seconds = 1;                    //
    std::uint64_t packets = 0;             // at most; 0: by time alone
    std::vector<std::uint16_t> sizes = {}; // of the frames, in turn; empty: as the sender was told
};

struct sender_state {
    bool busy = false;
    std::uint64_t sent = 0;
    std::uint64_t port_full = 0; // bursts that the port did not take whole
    double seconds = 0;          // that the sending took; 0 while busy
};

struct sink_state {
    std::uint64_t received = 0;
    std::uint64_t bytes = 0;
    std::uint64_t duplicate = 0;
    std::uint64_t reordered = 0;
    std::uint64_t late = 0;
    std::uint64_t misrouted = 0;
    std::uint64_t corrupt = 0;
    std::uint64_t foreign = 0;
    std::uint64_t missed = 0; // by the port itself
    double p50_us = 0;
    double p90_us = 0;
    double p99_us = 0;
    double p999_us = 0;
    double max_us = 0;
};

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(send_order, stream, rate, seconds, packets, sizes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(sender_state, busy, sent, port_full, seconds)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(
    sink_state, received, bytes, duplicate, reordered, late, misrouted, corrupt, foreign, missed,
    p50_us, p90_us, p99_us, p999_us, max_us)

// The two ends, wherever they are.
struct trial_ends {
    std::function<result<void>(std::uint8_t stream)> begin; // the sink forgets and listens
    std::function<result<void>(const send_order&)> send;    // returns at once
    std::function<result<sender_state>()> sender;
    std::function<result<sink_state>()> sink;
    std::function<result<void>()> cancel{}; // the sender stops before its time; may be none
};

struct trial_report {
    send_order order;
    sender_state sender;
    sink_state sink;
    bool interrupted = false; // it was ended early: this is what was sent until then

    std::uint64_t lost() const {
        const std::uint64_t arrived = sink.received + sink.late;
        return sender.sent > arrived ? sender.sent - arrived : 0;
    }
    // Something was sent, and all of it arrived where it should.
    bool clean() const {
        return sender.sent != 0 && lost() == 0 && sink.misrouted == 0 && sink.corrupt == 0;
    }
    double sent_rate() const;     // packets a second
    double received_rate() const; // over the time of sending
};

nlohmann::json to_json(const trial_report& report);

// What a long trial tells meanwhile, once a second: the states and the seconds since it began.
// Returning false ends the trial early.
using trial_watch =
    std::function<bool(double seconds, const sender_state& sender, const sink_state& sink)>;

// Runs one trial and waits until its last packet is in, or none has come for `quiet_ms`. A trial
// ends early, and is reported as interrupted, when the watch or `stopped` (asked all the time) says
// so.
class trial_runner {
  public:
    explicit trial_runner(trial_ends ends, std::function<bool()> stopped = {})
        : ends_(std::move(ends)), stopped_(std::move(stopped)) {}
    result<trial_report> run(send_order order, const trial_watch& watch = {});

    static constexpr unsigned quiet_ms = 300;

  private:
    result<bool> wait_sent(const trial_watch& watch);
    result<void> end_sending();
    result<void> wait_received();

    trial_ends ends_;
    std::function<bool()> stopped_;
    std::uint8_t stream_ = 0;
};

struct search_options {
    double seconds = 1;                    // a trial's
    double resolution = 0.03;              // stop when the bracket is this narrow
    std::uint64_t highest = 0;             // packets a second; 0: what the sender reaches
    unsigned trials = 14;                  // at most
    std::vector<std::uint16_t> sizes = {}; // of the frames, in turn; empty: as the sender was told
};

struct search_report {
    trial_report best; // the highest rate that lost nothing
    unsigned trials = 0;
    bool interrupted = false; // there may be a higher one
};

// Binary search between the highest rate that lost nothing and the lowest that did. `seen` is told
// of every whole trial, `during` of those that take long. An interrupted trial ends the search. An
// error if no rate was without loss; EINTR: none was found before the interruption.
result<search_report> search_throughput(
    trial_runner& runner, const search_options& options,
    const std::function<void(const trial_report&)>& seen = {}, const trial_watch& during = {});

nlohmann::json to_json(const search_report& report);

} // namespace pantala::app
