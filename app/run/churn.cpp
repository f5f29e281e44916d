#include "app/run/churn.hpp"

#include <algorithm>

namespace pantala::app {

namespace {

constexpr unsigned changes_a_turn = 8192;

} // namespace

churn::churn(rib& routes, std::vector<member> members, std::uint64_t rate)
    : routes_(routes), members_(std::move(members)), rate_(rate) {}

double churn::elapsed() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
}

// False: the workers are behind; again later.
result<bool> churn::flip(member& one) {
    auto done = routes_.announce({one.prefix, one.changed ? one.usual : one.other});
    if (!done) {
        return done.failure().code == EAGAIN ? result<bool>(false) : done.failure();
    }
    one.changed = !one.changed;
    return true;
}

bool churn::due() const {
    return static_cast<double>(made_) < elapsed() * static_cast<double>(rate_);
}

result<void> churn::turn() {
    seconds_ = elapsed();
    const auto due = static_cast<std::uint64_t>(seconds_ * static_cast<double>(rate_));
    for (unsigned i = 0; i < changes_a_turn && made_ < due; ++i) {
        auto flipped = flip(members_[at_]);
        if (!flipped) {
            return flipped.failure();
        }
        if (!*flipped) {
            ++behind_;
            return {};
        }
        at_ = at_ + 1 == members_.size() ? 0 : at_ + 1;
        ++made_;
    }
    return {};
}

result<bool> churn::restore() {
    for (unsigned i = 0; i < changes_a_turn && restored_ < members_.size(); ++i) {
        if (members_[restored_].changed) {
            auto flipped = flip(members_[restored_]);
            if (!flipped || !*flipped) {
                return flipped;
            }
        }
        ++restored_;
    }
    return restored_ == members_.size();
}

nlohmann::json churn::report() const {
    return {
        {"changes", made_},
        {"seconds", seconds_},
        {"per_second", seconds_ > 0 ? static_cast<double>(made_) / seconds_ : 0.0},
        {"routes", members_.size()},
        {"turns_workers_behind", behind_}};
}

} // namespace pantala::app
