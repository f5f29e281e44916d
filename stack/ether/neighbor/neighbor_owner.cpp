#include "stack/ether/neighbor/neighbor_owner.hpp"

#include <algorithm>

namespace pantala {
namespace {

constexpr unsigned updates_max = 512; // under way
constexpr std::uint64_t forever = ~std::uint64_t{0};

// States with a timer, in the order in which expire serves them.
constexpr neighbor_state timed_states[] = {neighbor_state::incomplete, neighbor_state::probe,
                                           neighbor_state::delay,      neighbor_state::failed,
                                           neighbor_state::reachable,  neighbor_state::stale};

neighbor_view view_of(neighbor_state state) {
    switch (state) {
    case neighbor_state::reachable:
    case neighbor_state::delay:
    case neighbor_state::probe:
    case neighbor_state::permanent:
        return neighbor_view::valid;
    case neighbor_state::stale:
        return neighbor_view::stale;
    case neighbor_state::failed:
        return neighbor_view::failed;
    case neighbor_state::unknown:
    case neighbor_state::incomplete:
        break;
    }
    return neighbor_view::unknown;
}

} // namespace

const char* name_of(neighbor_state state) {
    constexpr const char* names[neighbor_states] = {
        "unknown", "incomplete", "reachable", "stale", "delay", "probe", "failed", "permanent"};
    return names[static_cast<std::size_t>(state)];
}

neighbor_owner::neighbor_owner(
    netmsg_endpoint& messages, const neighbor_handlers& handlers, neighbor_solicitor solicitor,
    const neighbor_settings& settings, random_source& random)
    : messages_(messages), handlers_(handlers), solicitor_(solicitor), settings_(settings),
      random_(random), map_(settings.capacity, neighbor_secret::drawn(random)),
      updates_(updates_max) {
    paces_[0].base_ns = settings.reachable_ns;
    paces_[0].reachable_ns = draw(settings.reachable_ns);
}

void neighbor_owner::on_report(neighbor_report& report, instant now) {
    switch (report.event) {
    case neighbor_event::needed:
        return needed(report, now);
    case neighbor_event::used:
        return used(report, now);
    case neighbor_event::seen:
    case neighbor_event::seen_asking:
    case neighbor_event::answered:
        return heard(report, now);
    case neighbor_event::advertised:
        return advertised(report, now);
    case neighbor_event::conflicted: // link_duties
    case neighbor_event::queried:
    case neighbor_event::router_asked:
    case neighbor_event::router_heard:
        return;
    }
}

void neighbor_owner::needed(neighbor_report& report, instant now) {
    neighbor_record* record = map_.find(report.key);
    if (record != nullptr) {
        record->gateway = record->gateway || report.gateway;
        // Known: the asker has not heard of it (its table was full then), or hears of it just now.
        if (record->state != neighbor_state::incomplete) {
            publish(*record);
        }
        return;
    }
    const unsigned waiting = counts_[static_cast<std::size_t>(neighbor_state::incomplete)];
    if (waiting >= settings_.incomplete_max && !report.gateway) {
        report.refused = true;
        return;
    }
    record = create(report.key, now, report.gateway);
    if (record == nullptr) {
        report.refused = true;
        return;
    }
    record->tries = 0;
    enter(*record, neighbor_state::incomplete, now);
    request(*record);
}

void neighbor_owner::used(const neighbor_report& report, instant now) {
    neighbor_record* record = map_.find(report.key);
    if (record == nullptr) {
        return;
    }
    record->gateway = record->gateway || report.gateway;
    if (record->state == neighbor_state::stale) {
        enter(*record, neighbor_state::delay, now);
        publish(*record);
    }
}

void neighbor_owner::heard(const neighbor_report& report, instant now) {
    neighbor_record* record = map_.find(report.key);
    if (record == nullptr) {
        if (report.event == neighbor_event::seen_asking &&
            (record = create(report.key, now)) != nullptr) {
            record->mac = report.mac;
            enter(*record, neighbor_state::stale, now);
            publish(*record);
        }
        return;
    }
    if (record->state == neighbor_state::permanent) {
        return;
    }
    const bool unresolved =
        record->state == neighbor_state::incomplete || record->state == neighbor_state::failed;
    const bool moved = unresolved || record->mac != report.mac;
    if (report.event == neighbor_event::answered) {
        record->mac = report.mac;
        enter(*record, neighbor_state::reachable, now);
        publish(*record);
    } else if (moved) {
        // It spoke, but not to us: its address is news, that it hears us is not known.
        record->mac = report.mac;
        enter(*record, neighbor_state::stale, now);
        publish(*record);
    }
}

// RFC 4861 7.2.5.
void neighbor_owner::advertised(neighbor_report& report, instant now) {
    neighbor_record* record = map_.find(report.key);
    if (record == nullptr || record->state == neighbor_state::permanent) {
        return;
    }
    const neighbor_advertisement& what = report.advertisement;
    const bool unresolved =
        record->state == neighbor_state::incomplete || record->state == neighbor_state::failed;
    if (unresolved && !what.has_mac) {
        return;
    }
    const bool other = what.has_mac && record->mac != report.mac;
    if (!unresolved && other && !what.override_known) {
        if (record->state == neighbor_state::reachable) {
            enter(*record, neighbor_state::stale, now);
            publish(*record);
        }
        return;
    }
    report.router_gone = (record->router || record->gateway) && !what.router;
    record->router = what.router;
    if (other || unresolved) {
        record->mac = report.mac;
    }
    if (what.solicited) {
        enter(*record, neighbor_state::reachable, now);
        publish(*record);
    } else if (other || unresolved) {
        enter(*record, neighbor_state::stale, now);
        publish(*record);
    }
}

neighbor_record* neighbor_owner::create(const neighbor_key& key, instant now, bool gateway) {
    const unsigned kept = std::min(settings_.gateways_kept, map_.capacity() / 2);
    const unsigned room = map_.capacity() - (gateway ? 0 : kept);
    if (map_.size() >= room && !make_room(now, gateway)) {
        return nullptr;
    }
    neighbor_record* record = map_.insert(key);
    PANTALA_ASSERT(record != nullptr);
    record->state = neighbor_state::unknown;
    record->mac = {};
    record->router = false;
    record->gateway = gateway;
    return record;
}

// A scan evicts nothing that lives: only what nobody used for a while makes room for a host. For a
// gateway any host does that is not in use.
bool neighbor_owner::make_room(instant now, bool gateway) {
    neighbor_record* stale = oldest_host(neighbor_state::stale);
    if (!gateway) {
        return stale != nullptr && now - stale->since >= settings_.recycle_ns && forget(*stale);
    }
    neighbor_record* gone = oldest_host(neighbor_state::failed);
    gone = gone != nullptr ? gone : stale;
    gone = gone != nullptr ? gone : oldest_host(neighbor_state::incomplete);
    return gone != nullptr && forget(*gone);
}

// Which has been in this state for the longest; nullptr: none among the first `looked_at_max`.
neighbor_record* neighbor_owner::oldest_host(neighbor_state state) {
    constexpr unsigned looked_at_max = 256; // gateways that stand before it
    neighbor_record* oldest = nullptr;
    for (std::uint8_t i = 0; i < paces_used_; ++i) {
        unsigned looked_at = 0;
        for (neighbor_record& record : list_of(paces_[i], state)) {
            if (!record.gateway) {
                oldest = oldest == nullptr || record.since < oldest->since ? &record : oldest;
                break;
            }
            if (++looked_at == looked_at_max) {
                break;
            }
        }
    }
    return oldest;
}

void neighbor_owner::enter(neighbor_record& record, neighbor_state state, instant now) {
    if (record.state != neighbor_state::unknown) {
        state_list::remove(record);
        --counts_[static_cast<std::size_t>(record.state)];
    }
    record.state = state;
    record.since = now;
    if (state != neighbor_state::unknown) {
        record.pace = pace_of(record.key.iface);
        list_of(paces_[record.pace], state).push_back(record);
        ++counts_[static_cast<std::size_t>(state)];
    }
}

void neighbor_owner::request(neighbor_record& record) {
    ++record.tries;
    const bool unicast = record.state == neighbor_state::probe;
    solicitor_.solicit(solicitor_.context, record.key, unicast ? &record.mac : nullptr);
}

std::uint64_t neighbor_owner::length_ns(neighbor_state state, const pace& of) const {
    switch (state) {
    case neighbor_state::incomplete:
    case neighbor_state::probe:
        return of.retry_ns != 0 ? of.retry_ns : settings_.retry_ns;
    case neighbor_state::reachable:
        return of.reachable_ns;
    case neighbor_state::stale:
        return settings_.stale_ns;
    case neighbor_state::delay:
        return settings_.delay_ns;
    case neighbor_state::failed:
        return settings_.failed_ns;
    case neighbor_state::unknown:
    case neighbor_state::permanent:
        break;
    }
    return forever;
}

// RFC 4861 6.3.2: MIN_RANDOM_FACTOR to MAX_RANDOM_FACTOR of the base, so that not all who heard of
// it look after their neighbours in step.
std::uint64_t neighbor_owner::draw(std::uint64_t base_ns) {
    constexpr std::uint32_t parts = 1024;
    return settings_.reachable_spread ? base_ns / 2 + base_ns / parts * random_.below(parts + 1)
                                      : base_ns;
}

void neighbor_owner::draw_all(instant now) {
    for (std::uint8_t i = 0; i < paces_used_; ++i) {
        paces_[i].reachable_ns = draw(paces_[i].base_ns);
    }
    draw_at_ = now + reachable_drawn_ns;
}

void neighbor_owner::expire(instant now, unsigned budget) {
    if (now >= draw_at_) [[unlikely]] {
        draw_all(now);
    }
    for (std::uint8_t i = 0; i < paces_used_; ++i) {
        for (const neighbor_state state : timed_states) {
            state_list& list = list_of(paces_[i], state);
            const std::uint64_t length = length_ns(state, paces_[i]);
            while (budget > 0 && !list.empty() && list.front().since + length <= now) {
                if (!due(list.front(), now)) {
                    break; // messages are all under way: they are back within a round or two
                }
                --budget;
            }
        }
    }
}

instant neighbor_owner::next_deadline() const {
    instant earliest = instant::never();
    for (std::uint8_t i = 0; i < paces_used_; ++i) {
        for (const neighbor_state state : timed_states) {
            auto& list = list_of(const_cast<pace&>(paces_[i]), state);
            if (!list.empty()) {
                earliest = std::min(earliest, list.front().since + length_ns(state, paces_[i]));
            }
        }
    }
    return earliest;
}

// False: nothing was done, for want of a message.
bool neighbor_owner::due(neighbor_record& record, instant now) {
    switch (record.state) {
    case neighbor_state::incomplete:
    case neighbor_state::probe:
        if (record.tries >= settings_.tries) {
            enter(record, neighbor_state::failed, now);
            publish(record);
        } else {
            enter(record, record.state, now);
            request(record);
        }
        return true;
    case neighbor_state::reachable:
        enter(record, neighbor_state::stale, now);
        publish(record);
        return true;
    case neighbor_state::delay:
        record.tries = 0;
        enter(record, neighbor_state::probe, now);
        request(record);
        return true;
    case neighbor_state::stale:
    case neighbor_state::failed:
        return forget(record);
    case neighbor_state::unknown:
    case neighbor_state::permanent:
        break;
    }
    return true;
}

std::uint8_t neighbor_owner::pace_of(iface_id id) const {
    for (std::uint8_t i = 1; i < paces_used_; ++i) {
        if (paces_[i].taken && paces_[i].iface == id) {
            return i;
        }
    }
    return 0;
}

void neighbor_owner::set_times(iface_id id, std::uint64_t reachable_ns, std::uint64_t retry_ns) {
    std::uint8_t at = pace_of(id);
    const bool wanted = reachable_ns != 0 || retry_ns != 0;
    for (std::uint8_t i = 1; i < paces_max && at == 0 && wanted; ++i) {
        at = paces_[i].taken ? at : i;
    }
    if (at == 0) {
        return; // everybody's, or there are no more
    }
    const auto bounded = [](std::uint64_t said, std::uint64_t least, std::uint64_t most) {
        return said == 0 ? 0 : std::clamp(said, least, most);
    };
    pace& of = paces_[at];
    of.taken = wanted; // those on its lists end by its times all the same
    of.iface = id;
    const std::uint64_t base_ns = reachable_ns != 0
                                      ? bounded(reachable_ns, reachable_least_ns, reachable_most_ns)
                                      : settings_.reachable_ns;
    if (base_ns != of.base_ns) {
        of.base_ns = base_ns;
        of.reachable_ns = draw(base_ns);
    }
    of.retry_ns = bounded(retry_ns, retry_least_ns, retry_most_ns);
    paces_used_ = std::max(paces_used_, static_cast<std::uint8_t>(at + 1));
}

neighbor_state neighbor_owner::check_gateway(const neighbor_key& key, instant now) {
    neighbor_record* record = map_.find(key);
    if (record == nullptr) {
        neighbor_report question;
        question.key = key;
        question.gateway = true;
        needed(question, now);
        return neighbor_state::unknown;
    }
    record->gateway = true;
    const neighbor_state state = record->state;
    if (state == neighbor_state::stale) { // ask before somebody needs it
        enter(*record, neighbor_state::delay, now);
        publish(*record);
    }
    return state;
}

// The latest state goes out when a message is free; states in between may be skipped.
void neighbor_owner::publish(neighbor_record& record) {
    neighbor_update* update = updates_.get();
    const bool waits = static_cast<list_hook<dirty_list_tag>&>(record).on_list();
    if (update == nullptr) {
        if (!waits) {
            dirty_.push_back(record);
        }
        return;
    }
    if (waits) {
        decltype(dirty_)::remove(record);
    }
    update->view = view_of(record.state);
    update->key = record.key;
    update->mac = record.mac;
    update->visit = handlers_.visit;
    update->on_reply = handlers_.update_replied;
    messages_.send_chain(*update);
}

// False: no message is free to say so, the record stays.
bool neighbor_owner::forget(neighbor_record& record) {
    neighbor_update* update = updates_.get();
    if (update == nullptr) {
        return false;
    }
    if (static_cast<list_hook<dirty_list_tag>&>(record).on_list()) {
        decltype(dirty_)::remove(record);
    }
    update->view = neighbor_view::unknown;
    update->key = record.key;
    update->visit = handlers_.visit;
    update->on_reply = handlers_.update_replied;
    messages_.send_chain(*update);
    enter(record, neighbor_state::unknown, record.since);
    map_.erase(record);
    return true;
}

void neighbor_owner::on_update_replied(neighbor_update& update) {
    updates_.put(update);
    if (!dirty_.empty()) {
        publish(dirty_.front());
    }
}

bool neighbor_owner::set_permanent(
    const neighbor_key& key, const wire::mac_address& mac, instant now) {
    neighbor_record* record = map_.find(key);
    if (record == nullptr && (record = create(key, now)) == nullptr) {
        return false;
    }
    record->mac = mac;
    enter(*record, neighbor_state::permanent, now);
    publish(*record);
    return true;
}

bool neighbor_owner::remove(const neighbor_key& key) {
    neighbor_record* record = map_.find(key);
    return record != nullptr && forget(*record);
}

void neighbor_owner::flush(iface_id id, flush_of which) {
    for (std::uint32_t i = 0; i < map_.capacity(); ++i) {
        neighbor_record& record = map_.at(i);
        const bool kept = record.state == neighbor_state::permanent && which != flush_of::all;
        if (record.state == neighbor_state::unknown || kept || record.key.iface != id) {
            continue;
        }
        if (!forget(record)) {
            // Out of messages: it ends by its own timer, long before anybody sends there again.
            enter(record, neighbor_state::failed, record.since);
            publish(record);
        }
    }
}

std::optional<neighbor_owner::row> neighbor_owner::list(std::uint32_t& cursor, instant now) {
    for (; cursor < map_.capacity(); ++cursor) {
        const neighbor_record& record = map_.at(cursor);
        if (record.state != neighbor_state::unknown) {
            ++cursor;
            return row{record.key, record.mac, record.state, now - record.since};
        }
    }
    return std::nullopt;
}

} // namespace pantala
