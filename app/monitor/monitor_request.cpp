// `monitor`: changes as they come, until the client goes away.
#include "app/questions.hpp"
#include "app/run/requests.hpp"

#include <chrono>

namespace pantala::app {

namespace {

class monitor_job final : public control_job {
  public:
    monitor_job(router& of, monitor_question asked)
        : router_(of), asked_(asked), at_(of.changes().watch()) {
        router_.look_for_changes();
    }
    ~monitor_job() override { router_.changes().unwatch(); }
    monitor_job(const monitor_job&) = delete;
    monitor_job& operator=(const monitor_job&) = delete;

    result<std::optional<json>> turn(control_reply& reply) override {
        if (!begun_) {
            begun_ = true;
            reply.row({{"event", "monitor"}, {"action", "begin"}});
        }
        const auto now = std::chrono::steady_clock::now();
        if (now - looked_ >= look_every) {
            looked_ = now;
            router_.look_for_changes();
        }
        std::uint64_t lost = 0;
        at_ = router_.changes().read(at_, lost, [&](const json& event) {
            if (reply.full()) {
                return false;
            }
            if (asked_.wants(event)) {
                reply.row(event);
            }
            return true;
        });
        if (lost != 0) {
            reply.row({{"event", "monitor"}, {"action", "lost"}, {"count", lost}});
        }
        return std::optional<json>{};
    }
    unsigned wait_ms() const override { return 1000; }

  private:
    // Neighbours, and what the links and the workers find out by themselves, are looked at.
    static constexpr std::chrono::milliseconds look_every{1000};

    router& router_;
    monitor_question asked_;
    std::uint64_t at_;
    bool begun_ = false;
    std::chrono::steady_clock::time_point looked_ = std::chrono::steady_clock::now();
};

} // namespace

void add_monitor_request(control_server& server, router& of) {
    server.add("monitor", [&of](control_request& request) -> result<job_pointer> {
        monitor_question asked;
        const auto text = views(request.words);
        if (auto good = parse_monitor(text, asked); !good) {
            return good.failure();
        }
        return job_pointer(new monitor_job(of, asked));
    });
}

} // namespace pantala::app
