#include "app/control/client.hpp"
#include "app/control/server.hpp"

#include <cstring>
#include <random>
#include <thread>

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

using namespace pantala;
using namespace pantala::app;

namespace {

// A job that counts to a number, a row a turn.
class counting_job final : public control_job {
  public:
    explicit counting_job(unsigned rows) : rows_(rows) {}
    result<std::optional<json>> turn(control_reply& reply) override {
        reply.row(std::string(1000, 'x'));
        return ++at_ == rows_ ? std::optional<json>{{{"rows", at_}}} : std::nullopt;
    }

  private:
    unsigned rows_;
    unsigned at_ = 0;
};

class control : public testing::Test {
  protected:
    void SetUp() override {
        std::string name = "/tmp/pantala_control_XXXXXX";
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        directory_ = name;
        path_ = directory_ + "/sub/control.sock";
        auto opened = control_server::open(path_);
        ASSERT_TRUE(opened) << opened.failure().text;
        server_ = std::move(*opened);
        server_->add("echo", [](control_request& request) -> result<job_pointer> {
            return answer(
                {{"words", request.words}, {"args", request.args}, {"body", request.body}});
        });
        server_->add("count", [](control_request& request) -> result<job_pointer> {
            return job_pointer(new counting_job(request.args.value("rows", 1U)));
        });
        server_->add("list", [](control_request&) -> result<job_pointer> {
            return answer_rows(json::array({1, 2, 3}));
        });
        server_->add("refuse", [](control_request&) -> result<job_pointer> {
            return error{EPERM, "not today"};
        });
    }
    void TearDown() override {
        server_.reset();
        EXPECT_NE(access(path_.c_str(), F_OK), 0) << "the socket is left behind";
        rmdir((directory_ + "/sub").c_str());
        rmdir(directory_.c_str());
    }

    // Turns the server until `done` says so; the bound only ends a test that has failed.
    template <class Done>
    void serve_until(Done&& done) {
        bool reached = false;
        for (unsigned i = 0; i < 2'000'000 && !reached; ++i) {
            server_->service(now_ms_);
            reached = done();
        }
        ASSERT_TRUE(reached);
    }

    // Runs `client` in a thread of its own while the server turns.
    template <class Client>
    void converse(Client&& client) {
        std::atomic<bool> over{false};
        std::thread peer([&] {
            client();
            over.store(true);
        });
        while (!over.load()) {
            server_->service(now_ms_);
            std::this_thread::yield();
        }
        peer.join();
    }

    int raw() {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strcpy(address.sun_path, path_.c_str());
        const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        return fd;
    }
    static void put(int fd, std::string_view text) {
        ASSERT_EQ(
            send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
    }

    std::string directory_;
    std::string path_;
    std::unique_ptr<control_server> server_;
    std::uint64_t now_ms_ = 1000;
};

TEST_F(control, carries_words_args_and_a_body) {
    converse([&] {
        auto client = control_client::connect(path_);
        ASSERT_TRUE(client);
        control_request request;
        request.name = "echo";
        request.words = {"add", "10.0.0.0/8"};
        request.args = {{"x", 5}};
        request.body = std::string("raw\nbytes\0here", 14);
        const auto done = client->call(request);
        ASSERT_TRUE(done) << done.failure().text;
        EXPECT_EQ((*done)["words"], json({"add", "10.0.0.0/8"}));
        EXPECT_EQ((*done)["args"]["x"], 5);
        EXPECT_EQ((*done)["body"], request.body);
    });
}

TEST_F(control, without_a_file_to_take_a_client_with_it_sleeps_and_takes_it_later) {
    const int fd = raw();
    put(fd, "{\"id\":1,\"do\":\"list\"}\n");
    rlimit before{};
    getrlimit(RLIMIT_NOFILE, &before);
    const int lowest = dup(0); // every number below is taken
    close(lowest);
    rlimit none = before;
    none.rlim_cur = static_cast<rlim_t>(lowest);
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    unsigned woken = 0;
    for (unsigned turn = 0; turn < 20; ++turn) {
        std::vector<pollfd> fds;
        server_->service(now_ms_++);
        server_->watch(fds);
        woken += poll(fds.data(), fds.size(), 0) > 0;
    }
    EXPECT_EQ(server_->clients(), 0U);
    EXPECT_EQ(woken, 0U) << "poll() tells of a client that cannot be taken, again and again";
    EXPECT_LE(server_->wait_ms(), 100U);
    EXPECT_GT(server_->wait_ms(), 0U);
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    now_ms_ += 1000;
    std::string got;
    serve_until([&] {
        char chunk[4096];
        const ssize_t count = recv(fd, chunk, sizeof chunk, MSG_DONTWAIT);
        got.append(chunk, count > 0 ? static_cast<std::size_t>(count) : 0);
        return got.find("done") != std::string::npos;
    });
    close(fd);
}

TEST_F(control, who_is_one_too_many_is_told) {
    std::vector<int> held;
    for (unsigned i = 0; i < clients_max; ++i) {
        held.push_back(raw());
        server_->service(now_ms_);
    }
    ASSERT_EQ(server_->clients(), clients_max);
    converse([&] {
        auto client = control_client::connect(path_);
        ASSERT_TRUE(client);
        const auto told = client->wait();
        ASSERT_FALSE(told);
        EXPECT_EQ(told.failure().code, EBUSY);
        EXPECT_NE(told.failure().text.find("try again"), std::string::npos);
    });
    for (const int fd : held) {
        close(fd);
    }
}

TEST_F(control, the_job_of_one_that_has_gone_is_called_off) {
    server_->add("wait", [](control_request&) -> result<job_pointer> {
        struct waiting final : control_job {
            result<std::optional<json>> turn(control_reply&) override {
                return std::optional<json>{};
            }
            unsigned wait_ms() const override { return 1000; }
        };
        return job_pointer(new waiting);
    });
    const int fd = raw();
    put(fd, "{\"id\":1,\"do\":\"wait\"}\n");
    for (unsigned i = 0; i < 10; ++i) {
        server_->service(now_ms_);
    }
    ASSERT_EQ(server_->clients(), 1U);
    shutdown(fd, SHUT_WR); // says no more, but waits for its answer
    for (unsigned i = 0; i < 10; ++i) {
        server_->service(now_ms_);
    }
    EXPECT_EQ(server_->clients(), 1U);
    close(fd);
    server_->service(now_ms_);
    EXPECT_EQ(server_->clients(), 0U);
}

TEST_F(control, streams_rows_and_carries_errors) {
    converse([&] {
        auto client = control_client::connect(path_);
        ASSERT_TRUE(client);
        std::vector<int> rows;
        control_request list;
        list.name = "list";
        ASSERT_TRUE(client->call(list, [&](const json& row) { rows.push_back(row); }));
        EXPECT_EQ(rows, (std::vector<int>{1, 2, 3}));
        control_request refuse;
        refuse.name = "refuse";
        const auto refused = client->call(refuse);
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.failure().code, EPERM);
        EXPECT_EQ(refused.failure().text, "not today");
        control_request unknown;
        unknown.name = "nothing";
        EXPECT_FALSE(client->call(unknown));
        EXPECT_TRUE(client->call(list)) << "an error does not end the conversation";
    });
}

TEST_F(control, a_long_answer_reaches_a_slow_reader_whole) {
    converse([&] {
        auto client = control_client::connect(path_);
        ASSERT_TRUE(client);
        control_request request;
        request.name = "count";
        request.args = {{"rows", 5000}};
        unsigned rows = 0;
        const auto done = client->call(request, [&](const json&) { ++rows; });
        ASSERT_TRUE(done);
        EXPECT_EQ(rows, 5000U);
    });
}

TEST_F(control, one_that_does_not_read_is_bounded_and_then_closed) {
    const int stuck = raw();
    put(stuck, R"({"do":"count","args":{"rows":1000000}})"
               "\n");
    serve_until([&] { return server_->clients() == 1; });
    for (unsigned i = 0; i < 10'000; ++i) {
        server_->service(now_ms_);
    }
    EXPECT_EQ(server_->clients(), 1U);
    // Another one is served meanwhile.
    converse([&] {
        auto client = control_client::connect(path_);
        control_request list;
        list.name = "list";
        EXPECT_TRUE(client->call(list));
    });
    now_ms_ += stuck_client_ms + 1;
    serve_until([&] { return server_->clients() == 0; });
    close(stuck);
}

TEST_F(control, half_a_request_is_closed_in_time_and_an_idle_client_is_not) {
    const int half = raw();
    const int idle = raw();
    put(half, R"({"do":"ec)");
    serve_until([&] { return server_->clients() == 2; });
    server_->service(now_ms_);
    now_ms_ += stuck_client_ms + 1;
    serve_until([&] { return server_->clients() == 1; });
    put(idle, "{\"do\":\"list\"}\n");
    char text[256];
    ssize_t got = 0;
    serve_until([&] { return (got = recv(idle, text, sizeof text, MSG_DONTWAIT)) > 0; });
    EXPECT_NE(std::string(text, static_cast<std::size_t>(got)).find("row"), std::string::npos);
    close(half);
    close(idle);
}

TEST_F(control, too_many_clients_are_turned_away) {
    std::vector<int> fds;
    for (unsigned i = 0; i < clients_max + 5; ++i) {
        fds.push_back(raw());
        server_->service(now_ms_);
    }
    EXPECT_EQ(server_->clients(), clients_max);
    for (const int fd : fds) {
        close(fd);
    }
    serve_until([&] { return server_->clients() == 0; });
}

TEST_F(control, its_socket_is_for_the_owner_alone) {
    struct stat there {};
    ASSERT_EQ(stat(path_.c_str(), &there), 0);
    EXPECT_EQ(there.st_mode & 0777, 0600U);
    ASSERT_EQ(stat((directory_ + "/sub").c_str(), &there), 0);
    EXPECT_EQ(there.st_mode & 0777, 0700U);
}

TEST_F(control, a_second_server_on_the_path_is_refused) {
    const auto second = control_server::open(path_);
    ASSERT_FALSE(second);
    EXPECT_NE(second.failure().text.find("--socket"), std::string::npos);
}

TEST_F(control, what_a_dead_server_left_is_replaced_and_other_files_are_not) {
    const std::string dead = directory_ + "/dead.sock";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, dead.c_str());
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    close(fd);
    EXPECT_TRUE(control_server::open(dead)); // and removes it at its end
    const std::string file = directory_ + "/file";
    fclose(fopen(file.c_str(), "w"));
    EXPECT_FALSE(control_server::open(file));
    EXPECT_EQ(unlink(file.c_str()), 0);
}

TEST(control_protocol, refuses_what_is_out_of_bounds) {
    std::string deep(40, '[');
    const std::string cases[] = {
        "",
        "null",
        "[]",
        "{",
        "{}",
        R"({"do":5})",
        R"({"do":"x","id":-1})",
        R"({"do":"x","body":-1})",
        R"({"do":"x","body":1048577})",
        R"({"do":"x","body":1e99})",
        R"({"do":"x","words":"y"})",
        R"({"do":"x","words":[1]})",
        R"({"do":"x","args":[]})",
        R"({"do":"x","extra":1})",
        R"({"do":"x","args":{"a":)" + deep + std::string(40, ']') + "}}",
        "{\"do\":\"" + std::string(request_line_max, 'a') + "\"}",
        "\xff\xfe{\"do\":\"x\"}",
    };
    for (const std::string& line : cases) {
        EXPECT_FALSE(parse_request(line)) << line.substr(0, 80);
    }
    EXPECT_TRUE(parse_request(R"({"do":"x","words":["[[[[[[[[[[[[[[[[[[[[[["]})"));
}

TEST(control_protocol, reads_what_it_writes) {
    control_request request;
    request.id = 7;
    request.name = "a.b";
    request.words = {"x", "y\"z\n"};
    request.args = {{"k", json::array({1, nullptr})}};
    const std::string line = format_request(request);
    const auto again = parse_request(std::string_view(line).substr(0, line.size() - 1));
    ASSERT_TRUE(again);
    EXPECT_EQ(again->id, 7U);
    EXPECT_EQ(again->words, request.words);
    EXPECT_EQ(again->args, request.args);
}

// Random damage to good requests: the server answers or closes, and serves others afterwards.
TEST_F(control, survives_garbage) {
    std::mt19937 random(20);
    const std::string good = R"({"id":3,"do":"echo","words":["a","b"],"args":{"x":[1,{"y":2}]},)"
                             R"("body":4})"
                             "\nbody"
                             R"({"do":"count","args":{"rows":3}})"
                             "\n";
    for (unsigned round = 0; round < 2000; ++round) {
        std::string text = good;
        const unsigned hits = 1 + random() % 8;
        for (unsigned i = 0; i < hits; ++i) {
            switch (random() % 3) {
            case 0:
                text[random() % text.size()] = static_cast<char>(random());
                break;
            case 1:
                text.erase(random() % text.size(), 1 + random() % 4);
                break;
            default:
                text.insert(random() % text.size(), 1 + random() % 4, static_cast<char>(random()));
            }
            if (text.empty()) {
                text = "{";
            }
        }
        const int fd = raw();
        put(fd, text);
        shutdown(fd, SHUT_WR);
        serve_until([&] {
            char reply[4096];
            const ssize_t got = recv(fd, reply, sizeof reply, MSG_DONTWAIT);
            return got == 0 || (got < 0 && errno != EAGAIN);
        });
        close(fd);
    }
    serve_until([&] { return server_->clients() == 0; });
    converse([&] {
        auto client = control_client::connect(path_);
        control_request list;
        list.name = "list";
        EXPECT_TRUE(client->call(list));
    });
}

} // namespace
