// Answers that a stranger can provoke (challenge ACKs, RFC 5961; resets), so limited that nobody
// learns from the limit. Where one counter serves all flows, whoever has a flow of his own draws
// what is left of it and so counts what others drew: whether a connection exists, and its numbers
// (CVE-2016-5696). Hence, in this order:
//
//   connection  one answer in `invalid_interval_ms`, a stamp in its record
//   peer        so many in a second, by the keyed account of the memory ledger
//   all         ten times that, as a bound of the work
//
// The last two last for a random number of answers, between a half and one and a half times the
// setting (as Linux's since 4.7), in seconds that begin with the first answer asked for: what one
// connection adds, two in a second, is lost in that. Owner: the worker.
#pragma once

#include "engine/random.hpp"

#include <cstdint>
#include <vector>

namespace pantala::tcp {

class host;

struct answer_rates {
    std::uint32_t peer; // in a second, on average
    std::uint32_t all;
};

class answer_budget {
  public:
    explicit answer_budget(std::uint32_t accounts) : peers_(accounts) {}

    // True: one answer to this account's peers is granted.
    bool take(
        std::uint16_t account, const answer_rates& rates, std::uint32_t now_ms,
        random_source& random) {
        share& peer = peers_[account];
        refill(peer, rates.peer, now_ms, random);
        refill(all_, rates.all, now_ms, random);
        if (peer.left == 0 || all_.left == 0) {
            return false;
        }
        --peer.left;
        --all_.left;
        return true;
    }

  private:
    struct share {
        std::uint32_t since_ms = 0;
        std::uint32_t left = 0;
        bool begun = false;
    };

    static void
    refill(share& one, std::uint32_t rate, std::uint32_t now_ms, random_source& random) {
        if (!one.begun || now_ms - one.since_ms >= 1'000) {
            one = {now_ms, (rate + 1) / 2 + random.below(rate), true};
        }
    }

    std::vector<share> peers_;
    share all_;
};

// Has `interval_ms` passed since the answer noted in `last_ms` (0: there was none)? Then this one
// is noted.
bool answer_due(std::uint32_t& last_ms, std::uint32_t interval_ms, std::uint32_t now_ms);

// May a challenge ACK leave for a connection of any form, whose last one is noted in `last_ms`, to
// a peer of this account? Counts what is not sent.
bool may_challenge(host& h, std::uint32_t& last_ms, std::uint16_t account);

} // namespace pantala::tcp
