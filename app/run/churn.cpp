#include "app/run/churn.hpp"

#include <algorithm>

namespace pantala::app {

namespace {

constexpr unsigned changes_a_turn = 8192;
constexpr double flap_seconds = 0.005;    // the spare link's time down, and up
constexpr std::size_t prefetch_ahead = 8; // as in churn_bench

// Workers that are behind are no failure: again later.
result<bool> outcome(const result<void>& done) {
    if (done) {
        return true;
    }
    return done.failure().code == EAGAIN ? result<bool>(false) : done.failure();
}

} // namespace

churn::churn(
    rib& routes, std::vector<member> members, std::uint64_t rate, std::optional<iface_id> spare)
    : routes_(routes), members_(std::move(members)), rate_(rate), spare_(spare) {}

double churn::elapsed() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
}

// False: the workers are behind; again later.
result<bool> churn::flip(member& one) {
    auto done = outcome(routes_.announce({one.prefix, one.changed ? one.usual : one.other}));
    if (done && *done) {
        one.changed = !one.changed;
    }
    return done;
}

// The lower half of the prefix comes, or goes.
result<bool> churn::halve(member& one) {
    const prefix4 half{one.prefix.address, static_cast<std::uint8_t>(one.prefix.length + 1)};
    auto done = outcome(one.halved ? routes_.withdraw(half) : routes_.announce({half, one.other}));
    if (done && *done) {
        one.halved = !one.halved;
        ++(one.halved ? announced_ : withdrawn_);
    }
    return done;
}

result<bool> churn::withdraw_oldest() {
    auto done = halve(members_[halves_.front()]);
    if (done && *done) {
        halves_.pop_front();
    }
    return done;
}

// A change to the next member in turn.
result<bool> churn::next() {
    member& one = members_[at_];
    const bool announces = made_ % 6 == 2 && one.may_halve && !one.halved;
    auto done = announces ? halve(one) : flip(one);
    if (done && *done) {
        if (announces) {
            halves_.push_back(at_);
        }
        at_ = at_ + 1 == members_.size() ? 0 : at_ + 1;
    }
    return done;
}

result<bool> churn::change() {
    routes_.prefetch(members_[(at_ + prefetch_ahead) % members_.size()].prefix);
    return made_ % 6 == 5 && halves_.size() > halves_kept ? withdraw_oldest() : next();
}

result<void> churn::flap(double seconds) {
    if (!spare_ || seconds < next_flap_) {
        return {};
    }
    auto done = outcome(routes_.set_up(*spare_, !spare_up_));
    if (!done) {
        return done.failure();
    }
    if (*done) {
        spare_up_ = !spare_up_;
        flaps_ += spare_up_ ? 1 : 0;
        next_flap_ = seconds + flap_seconds;
    }
    return {};
}

bool churn::due() const {
    return static_cast<double>(made_) < elapsed() * static_cast<double>(rate_);
}

result<void> churn::turn() {
    seconds_ = elapsed();
    if (auto done = flap(seconds_); !done) {
        return done;
    }
    const auto due = static_cast<std::uint64_t>(seconds_ * static_cast<double>(rate_));
    for (unsigned i = 0; i < changes_a_turn && made_ < due; ++i) {
        auto changed = change();
        if (!changed) {
            return changed.failure();
        }
        if (!*changed) {
            ++behind_;
            return {};
        }
        ++made_;
    }
    return {};
}

result<bool> churn::restore() {
    for (unsigned i = 0; i < changes_a_turn && restored_ < members_.size(); ++i) {
        member& one = members_[restored_];
        auto done = one.halved ? halve(one) : result<bool>(true);
        if (done && *done && one.changed) {
            done = flip(one);
        }
        if (!done || !*done) {
            return done;
        }
        ++restored_;
    }
    if (!spare_up_) {
        auto done = outcome(routes_.set_up(*spare_, true));
        if (!done || !*done) {
            return done;
        }
        spare_up_ = true;
    }
    return restored_ == members_.size();
}

nlohmann::json churn::report() const {
    return {
        {"changes", made_},
        {"announced", announced_},
        {"withdrawn", withdrawn_},
        {"replaced", made_ - announced_ - withdrawn_},
        {"link_flaps", flaps_},
        {"seconds", seconds_},
        {"per_second", seconds_ > 0 ? static_cast<double>(made_) / seconds_ : 0.0},
        {"routes", members_.size()},
        {"turns_workers_behind", behind_}};
}

} // namespace pantala::app
