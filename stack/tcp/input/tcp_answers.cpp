#include "stack/tcp/input/tcp_answers.hpp"

#include "stack/tcp/tcp_host.hpp"

#include <algorithm>

namespace pantala::tcp {

bool answer_due(std::uint32_t& last_ms, std::uint32_t interval_ms, std::uint32_t now_ms) {
    if (last_ms != 0 && now_ms - last_ms < interval_ms) {
        return false;
    }
    last_ms = std::max(now_ms, 1U);
    return true;
}

bool may_challenge(host& h, std::uint32_t& last_ms, std::uint16_t account) {
    const answer_rates rates = {
        h.config.challenge_acks_per_peer, h.config.challenge_acks_per_second};
    if (answer_due(last_ms, h.config.invalid_interval_ms, h.now_ms()) &&
        h.challenges.take(account, rates, h.now_ms(), h.random)) {
        h.stats.challenge_acks.add(1);
        return true;
    }
    h.stats.challenge_limited.add(1);
    return false;
}

} // namespace pantala::tcp
