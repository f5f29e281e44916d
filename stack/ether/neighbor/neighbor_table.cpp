#include "stack/ether/neighbor/neighbor_table.hpp"

#include "stack/ether/ether_output.hpp"

namespace pantala {

neighbor_table::neighbor_table(
    worker_services& worker, const link_table& links, const neighbor_handlers& handlers,
    unsigned capacity)
    : worker_(worker), links_(links), handlers_(handlers),
      map_(capacity, neighbor_secret::drawn(worker.random)), reports_(neighbor_reports_max),
      slots_(std::make_unique<slot[]>(neighbor_slots_max)) {
    for (std::uint32_t i = neighbor_slots_max; i-- > 0;) {
        slots_[i].next = free_slot_;
        free_slot_ = i;
    }
}

neighbor_table::~neighbor_table() {
    for (std::uint32_t i = 0; i < map_.capacity(); ++i) {
        if (map_.at(i).view != neighbor_view::unknown) {
            give_up(map_.at(i), drop_reason::neighbor_failed);
        }
    }
    for (rte_mbuf* packet : undeliverable) {
        worker_.drops.drop(packet, drop_reason::neighbor_failed);
    }
}

void neighbor_table::set_view(neighbor& entry, neighbor_view view) {
    waiting_entries_ -= entry.view == neighbor_view::waiting ? 1 : 0;
    waiting_entries_ += view == neighbor_view::waiting ? 1 : 0;
    entry.view = view;
    entry.told = false;
}

void neighbor_table::wait(const neighbor_key& key, rte_mbuf* packet, bool gateway) {
    neighbor* entry = map_.find(key);
    if (entry == nullptr) {
        entry = begin_waiting(key, gateway);
    }
    if (entry == nullptr) {
        return worker_.drops.drop(packet, drop_reason::neighbor_table);
    }
    entry->gateway = entry->gateway || gateway;
    switch (entry->view) {
    case neighbor_view::valid:
    case neighbor_view::stale:
        return deliver(*entry, packet);
    case neighbor_view::failed:
        if (undeliverable.full()) {
            return worker_.drops.drop(packet, drop_reason::neighbor_failed);
        }
        return undeliverable.push(packet);
    case neighbor_view::unknown:
    case neighbor_view::waiting:
        return enqueue(*entry, packet);
    }
}

neighbor* neighbor_table::begin_waiting(const neighbor_key& key, bool gateway) {
    const unsigned room = neighbors_waiting_max + (gateway ? neighbor_gateways_waiting_max : 0);
    const bool reports_left = reports_.left() > (gateway ? 0 : neighbor_reports_kept);
    if (waiting_entries_ >= room || !reports_left) {
        return nullptr;
    }
    neighbor_report* question = reports_.get();
    if (question == nullptr) {
        return nullptr;
    }
    neighbor* entry = map_.insert(key);
    if (entry == nullptr) {
        reports_.put(*question);
        return nullptr;
    }
    entry->queue_count = 0;
    entry->gateway = gateway;
    entry->view = neighbor_view::unknown;
    entry->out.kind = adjacency_kind::resolve;
    set_view(*entry, neighbor_view::waiting);
    question->event = neighbor_event::needed;
    question->key = key;
    question->gateway = gateway;
    send_report(*question);
    return entry;
}

void neighbor_table::send_report(neighbor_report& report) {
    report.handler = handlers_.report;
    report.on_reply = handlers_.report_replied;
    report.refused = false;
    report.router_gone = false;
    worker_.messages.send(0, report);
}

void neighbor_table::enqueue(neighbor& entry, rte_mbuf* packet) {
    // The latest packets are worth most (RFC 1122 2.3.2.2).
    if (entry.queue_count >= neighbor_queue_max || (free_slot_ == none && entry.queue_count > 0)) {
        worker_.drops.drop(dequeue(entry), drop_reason::neighbor_queue);
    }
    if (free_slot_ == none) {
        return worker_.drops.drop(packet, drop_reason::neighbor_queue);
    }
    const std::uint32_t index = free_slot_;
    free_slot_ = slots_[index].next;
    slots_[index] = {packet, none};
    if (entry.queue_count == 0) {
        entry.queue_first = index;
    } else {
        slots_[entry.queue_last].next = index;
    }
    entry.queue_last = index;
    ++entry.queue_count;
    ++slots_used_;
}

rte_mbuf* neighbor_table::dequeue(neighbor& entry) {
    const std::uint32_t index = entry.queue_first;
    rte_mbuf* packet = slots_[index].packet;
    entry.queue_first = slots_[index].next;
    --entry.queue_count;
    slots_[index].next = free_slot_;
    free_slot_ = index;
    --slots_used_;
    return packet;
}

void neighbor_table::release(neighbor& entry) {
    while (entry.queue_count > 0) {
        deliver(entry, dequeue(entry));
    }
}

void neighbor_table::deliver(const neighbor& entry, rte_mbuf* packet) {
    if (entry.out.kind != adjacency_kind::forward) {
        return worker_.drops.drop(packet, drop_reason::ether_down);
    }
    ether_send(worker_.tx, entry.out, packet);
}

void neighbor_table::give_up(neighbor& entry, drop_reason reason) {
    while (entry.queue_count > 0) {
        rte_mbuf* packet = dequeue(entry);
        if (reason == drop_reason::neighbor_failed && !undeliverable.full()) {
            undeliverable.push(packet);
        } else {
            worker_.drops.drop(packet, reason);
        }
    }
}

void neighbor_table::forget(neighbor& entry) {
    if (entry.untold) {
        drop_untold(entry);
    }
    set_view(entry, neighbor_view::unknown);
    entry.gateway = false;
    entry.untold = false;
    entry.out = {};
    map_.erase(entry);
}

bool neighbor_table::apply(const neighbor_update& update) {
    neighbor* entry = map_.find(update.key);
    const bool sends = update.view == neighbor_view::valid || update.view == neighbor_view::stale;
    if (entry == nullptr) {
        if (!sends || (entry = map_.insert(update.key)) == nullptr) {
            return false;
        }
        entry->queue_count = 0;
        entry->gateway = false;
        entry->view = neighbor_view::unknown;
        entry->out = {};
    }
    if (sends) {
        const adjacency before = entry->out;
        set_view(*entry, update.view);
        entry->out = make_adjacency(links_[update.key.iface], update.key.iface, update.mac);
        release(*entry);
        if (update.view == neighbor_view::stale && entry->gateway) {
            tell_used(*entry);
        }
        return before.kind != entry->out.kind || before.rewrite != entry->out.rewrite;
    }
    const bool led_to = entry->gateway; // of others no next hop has the address
    give_up(*entry, drop_reason::neighbor_failed);
    if (update.view == neighbor_view::failed) {
        entry->out.kind = adjacency_kind::resolve;
        set_view(*entry, neighbor_view::failed);
    } else {
        forget(*entry);
    }
    return led_to;
}

void neighbor_table::replied(neighbor_report& report) {
    if (report.refused) {
        neighbor* entry = map_.find(report.key);
        if (entry != nullptr && entry->view == neighbor_view::waiting) {
            give_up(*entry, drop_reason::neighbor_table);
            forget(*entry);
        }
    }
    reports_.put(report);
    tell_untold();
}

neighbor_report* neighbor_table::message(neighbor_event event, const neighbor_key& key) {
    if (reports_.left() <= neighbor_reports_kept && event != neighbor_event::conflicted) {
        const neighbor* about = map_.find(key);
        if (about == nullptr || !about->gateway) {
            return nullptr;
        }
    }
    neighbor_report* news = reports_.get();
    if (news != nullptr) {
        news->event = event;
        news->key = key;
        news->gateway = false;
    }
    return news;
}

bool neighbor_table::report(
    neighbor_event event, const neighbor_key& key, const wire::mac_address& mac) {
    neighbor_report* news = message(event, key);
    if (news == nullptr) {
        return false;
    }
    news->mac = mac;
    send_report(*news);
    return true;
}

bool neighbor_table::report_query(
    const neighbor_key& group, std::uint32_t response_ms, bool version1) {
    neighbor_report* news = message(neighbor_event::queried, group);
    if (news == nullptr) {
        return false;
    }
    news->value_ms = response_ms;
    news->version1 = version1;
    send_report(*news);
    return true;
}

bool neighbor_table::report_advertised(
    const neighbor_key& key, const std::optional<wire::mac_address>& mac,
    neighbor_advertisement what) {
    neighbor_report* news = message(neighbor_event::advertised, key);
    if (news == nullptr) {
        return false;
    }
    news->mac = mac.value_or(wire::mac_address{});
    news->advertisement = what;
    news->advertisement.has_mac = mac.has_value();
    send_report(*news);
    return true;
}

void neighbor_table::tell_used(neighbor& entry) {
    neighbor_report* news = message(neighbor_event::used, entry.key);
    entry.told = news != nullptr;
    if (news != nullptr) {
        news->gateway = entry.gateway;
        send_report(*news);
    } else if (entry.gateway && !entry.untold) {
        tell_later(entry);
    }
}

void neighbor_table::keep_fresh(neighbor& entry) {
    entry.gateway = true;
    if (entry.view == neighbor_view::stale && !entry.told) {
        tell_used(entry);
    }
}

void neighbor_table::tell_later(neighbor& entry) {
    const std::uint32_t index = map_.index_of(entry);
    entry.untold = true;
    entry.untold_next = none;
    (untold_first_ == none ? untold_first_ : map_.at(untold_last_).untold_next) = index;
    untold_last_ = index;
}

// Packets tell of hosts, but nobody else of a gateway.
void neighbor_table::tell_untold() {
    while (untold_first_ != none && reports_.left() > 0) {
        neighbor& entry = map_.at(untold_first_);
        untold_first_ = entry.untold_next;
        entry.untold = false;
        if (entry.view == neighbor_view::stale && !entry.told) {
            tell_used(entry);
        }
    }
}

// Cost: a look at those before it. Few gateways are forgotten, and fewer untold of.
void neighbor_table::drop_untold(const neighbor& gone) {
    const std::uint32_t index = map_.index_of(gone);
    std::uint32_t before = none;
    for (std::uint32_t at = untold_first_; at != index; at = map_.at(at).untold_next) {
        before = at;
    }
    (before == none ? untold_first_ : map_.at(before).untold_next) = gone.untold_next;
    untold_last_ = untold_last_ == index ? before : untold_last_;
}

void neighbor_table::iface_changed(iface_id id) {
    for (std::uint32_t i = 0; i < map_.capacity(); ++i) {
        neighbor& entry = map_.at(i);
        const bool sends = entry.view == neighbor_view::valid || entry.view == neighbor_view::stale;
        if (sends && entry.key.iface == id) {
            wire::mac_address mac;
            __builtin_memcpy(mac.bytes.data(), entry.out.rewrite.data(), mac.bytes.size());
            entry.out = make_adjacency(links_[id], id, mac);
        }
    }
}

} // namespace pantala
