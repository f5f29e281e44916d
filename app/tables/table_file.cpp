#include "app/tables/table_file.hpp"

#include "stack/route/feed/prefix_file.hpp"

#include <exception>
#include <system_error>
#include <thread>

#include <fmt/format.h>

namespace pantala::app {

namespace {

std::atomic<unsigned> readers{0};

} // namespace

result<table_contents>
read_table(const std::string& path, std::uint64_t limit, const std::atomic<bool>* stop) {
    const auto table = read_prefix_file(path, {.ip4_limit = limit, .stop = stop});
    if (!table) {
        return table.failure();
    }
    table_contents contents;
    contents.from_mrt = table->from_mrt;
    contents.routes.reserve(table->ip4.size());
    for (const file_route4& one : table->ip4) {
        contents.routes.push_back({{one.prefix.address, one.prefix.length}, one.gateway});
    }
    contents.routes6.reserve(table->ip6.size());
    for (const file_route6& one : table->ip6) {
        contents.routes6.push_back({one.prefix, one.gateway});
    }
    return contents;
}

struct table_reading::work {
    std::atomic<bool> stop{false};
    std::atomic<bool> done{false}; // released by the thread after `contents`, acquired by done()
    result<table_contents> contents = error{};

    void read(const std::string& path, std::uint64_t limit) {
        try {
            contents = read_table(path, limit, &stop);
        } catch (const std::exception& failure) { // no memory
            contents = error{ENOMEM, fmt::format("{}: {}", path, failure.what())};
        }
        done.store(true, std::memory_order_release);
    }
};

result<table_reading> table_reading::start(const std::string& path, std::uint64_t limit) {
    if (readers.fetch_add(1, std::memory_order_relaxed) >= under_way_max) {
        readers.fetch_sub(1, std::memory_order_relaxed);
        return error{EBUSY, fmt::format("{} files are being read already", under_way_max)};
    }
    auto shared = std::make_shared<work>();
    try {
        std::thread([shared, path, limit]() mutable {
            shared->read(path, limit);
            shared.reset();
            readers.fetch_sub(1, std::memory_order_relaxed);
        }).detach();
    } catch (const std::system_error& failure) {
        readers.fetch_sub(1, std::memory_order_relaxed);
        return error{EAGAIN, fmt::format("{}: no thread to read it: {}", path, failure.what())};
    }
    return table_reading(std::move(shared));
}

table_reading::~table_reading() {
    if (work_) {
        work_->stop.store(true, std::memory_order_relaxed);
    }
}

bool table_reading::done() const {
    return work_->done.load(std::memory_order_acquire);
}

result<table_contents> table_reading::take() {
    return std::move(work_->contents);
}

unsigned table_reading::under_way() {
    return readers.load(std::memory_order_relaxed);
}

} // namespace pantala::app
