// The web server and the load program, over the whole stack in virtual time.
#include "app/host/http_reader.hpp"
#include "app/host/http_server.hpp"
#include "app/host/tcp_load.hpp"
#include "tests/stack/socket/two_hosts.hpp"

#include <filesystem>
#include <fstream>
#include <string_view>

#include <gtest/gtest.h>

namespace pantala::app {
namespace {

using test::test_conn;
using test::two_hosts;

const endpoint server_at = *parse_endpoint("10.0.0.2:80");

struct served {
    explicit served(
        http_content content, std::uint64_t idle_ns = 60 * ns_per_s,
        const stack_settings& settings = {})
        : net(1, settings), server(
                                {.content = std::make_shared<http_content>(std::move(content)),
                                 .listen = *parse_endpoint("*:80"),
                                 .backlog = 128,
                                 .idle_ns = idle_ns}) {
        EXPECT_TRUE(server.start(net.at_right().native()).ok());
        EXPECT_EQ(0, net.at_left().native().connect(client, server_at));
    }
    // What comes back for these bytes, dates replaced.
    std::string ask(const std::string& text) {
        client.received.clear();
        client.send(text);
        net.advance(ns_per_s);
        constexpr std::string_view date = "\r\nDate: ";
        constexpr std::size_t date_bytes = 29; // RFC 9110 5.6.7
        std::string back = client.received;
        for (auto from = back.find(date); from != std::string::npos;
             from = back.find(date, from + 1)) {
            back.replace(from + date.size(), date_bytes, "D");
        }
        return back;
    }

    two_hosts net;
    http_server server;
    test_conn client;
};

std::string answer(const std::string& status, const std::string& body, bool with_body = true) {
    return "HTTP/1.1 " + status + "\r\nServer: pantala\r\n" +
           (status[0] == '4' && status[2] == '5' ? "Allow: GET, HEAD\r\n" : "") +
           "Content-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\nDate: D\r\n\r\n" + (with_body ? body : "");
}

const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

TEST(HttpServer, AnswersOneAfterAnother) {
    served web(http_content::fixed(5));
    EXPECT_EQ(answer("200 OK", "ppppp"), web.ask(get));
    EXPECT_EQ(answer("200 OK", "ppppp"), web.ask(get));
    EXPECT_EQ(2u, web.server.requests());
    EXPECT_FALSE(web.client.at_end());
}

// From the second time on in a second an answer is lent as a whole; large bodies are from the
// first.
TEST(HttpServer, AnswersTheSameAgainAndAgain) {
    for (const std::size_t bytes : {5U, 1'000U, 9'000U, 32'000U, 40'000U}) {
        served web(http_content::fixed(bytes));
        const std::string wanted = answer("200 OK", std::string(bytes, 'p'));
        const std::string head = answer("200 OK", std::string(bytes, 'p'), false);
        for (unsigned i = 0; i < 12; ++i) {
            EXPECT_TRUE(wanted == web.ask(get)) << bytes << ", " << i;
            EXPECT_TRUE(head == web.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")) << bytes;
            if (i % 4 == 3) {
                web.net.advance(ns_per_s);
            }
        }
    }
}

TEST(HttpServer, AnswersPipelinedRequestsInOrder) {
    served web(http_content::fixed(5));
    std::string all;
    for (int i = 0; i < 500; ++i) {
        all += i % 2 == 0 ? get : "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n";
    }
    std::string wanted;
    for (int i = 0; i < 500; ++i) {
        wanted += answer("200 OK", "ppppp", i % 2 == 0);
    }
    EXPECT_EQ(wanted, web.ask(all));
}

TEST(HttpServer, TakesARequestByteByByte) {
    served web(http_content::fixed(1));
    web.client.set_no_delay(true);
    std::string back;
    for (const char byte : get) {
        back += web.ask({byte});
    }
    EXPECT_EQ(answer("200 OK", "p"), back);
}

TEST(HttpServer, ALargeBodyArrivesWhole) {
    served web(http_content::fixed(3'000'000));
    web.ask(get);
    web.net.advance(2 * ns_per_s);
    EXPECT_TRUE(web.client.received.ends_with(std::string(3'000'000, 'p')));
}

TEST(HttpServer, ClosesWhenAskedTo) {
    served web(http_content::fixed(2));
    EXPECT_EQ(
        answer("200 OK", "pp"), web.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    EXPECT_TRUE(web.client.at_end());
    EXPECT_EQ(0, web.client.error());
}

TEST(HttpServer, ClosesBehindHttp10) {
    served web(http_content::fixed(2));
    EXPECT_EQ(answer("200 OK", "pp"), web.ask("GET / HTTP/1.0\r\n\r\n"));
    EXPECT_TRUE(web.client.at_end());
}

TEST(HttpServer, RefusesWhatItCannotDo) {
    for (const std::string& wrong :
         {std::string("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
          std::string("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n")}) {
        served web(http_content::fixed(2));
        EXPECT_EQ(answer("405 Method Not Allowed", "method not allowed\n"), web.ask(wrong));
        EXPECT_TRUE(web.client.at_end());
    }
}

TEST(HttpServer, NonsenseIsABadRequest) {
    for (const std::string& wrong :
         {std::string("nonsense\r\n\r\n"), std::string(10, '\0'), std::string("GET /\r\n\r\nx"),
          "GET / HTTP/1.1\r\nA: " + std::string(http_head_bytes_max + 100, 'a') + "\r\n\r\n",
          std::string("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), std::string("GET / HTTP/1.1\r\n\r\n"),
          std::string("GET / HTTP/1.1\r\nHosts: a\r\nHos: t\r\n\r\n"),
          std::string("GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n"),
          std::string("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
          std::string(
              "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")}) {
        served web(http_content::fixed(2));
        EXPECT_EQ(answer("400 Bad Request", "bad request\n"), web.ask(wrong)) << wrong;
        EXPECT_TRUE(web.client.at_end());
        EXPECT_EQ(0, web.client.error());
    }
}

TEST(HttpServer, ALongTargetIsNotFound) {
    const std::filesystem::path root =
        std::filesystem::path(testing::TempDir()) / ("none" + std::to_string(getpid()));
    std::filesystem::create_directories(root);
    const auto content = http_content::files(root.string());
    std::filesystem::remove_all(root);
    ASSERT_TRUE(content.ok());
    served web(*content);
    EXPECT_EQ(
        answer("404 Not Found", "not found\n"),
        web.ask(
            "GET /" + std::string(http_target_bytes_max, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n"));
}

TEST(HttpServer, AnIdleConnectionEnds) {
    served web(http_content::fixed(2), 5 * ns_per_s);
    web.ask("GET / HT");
    web.net.advance(5 * ns_per_s, 10 * ns_per_ms);
    EXPECT_EQ(ECONNRESET, web.client.error());
    EXPECT_EQ(0u, web.net.at_right().tcp.conns.used());
}

TEST(HttpServer, APeerThatNeverReadsHoldsOneAnswer) {
    served web(http_content::fixed(100'000));
    struct deaf : tcp_socket {
        deaf() : tcp_socket([](tcp_socket&, std::uint8_t) {}) {}
    } client;
    ASSERT_EQ(0, web.net.at_left().native().connect(client, server_at));
    web.net.carry();
    for (int i = 0; i < 2'000; ++i) {
        client.write(std::as_bytes(std::span(get)));
        web.net.advance(ns_per_ms);
    }
    EXPECT_LT(web.server.requests(), 100u);
    client.abort();
}

// Slow is not idle: as long as the peer takes some of its answer now and then it is served.
void serve_slow_reader(const stack_settings& settings) {
    constexpr std::size_t body = 2'000'000;
    served web(http_content::fixed(body), 5 * ns_per_s, settings);
    struct slow_reader : tcp_socket {
        slow_reader() : tcp_socket([](tcp_socket&, std::uint8_t) {}) {}
    } reader;
    ASSERT_EQ(0, web.net.at_left().native().connect(reader, server_at));
    web.net.advance(ns_per_s, 10 * ns_per_ms);
    ASSERT_EQ(get.size(), reader.write(std::as_bytes(std::span(get))));
    std::size_t taken = 0;
    for (unsigned seconds = 0; seconds < 60 && taken < body; seconds += 3) {
        for (unsigned i = 0; i < 200; ++i) {
            const std::size_t here = reader.peek().size();
            reader.consume(here);
            taken += here;
        }
        web.net.advance(3 * ns_per_s, 10 * ns_per_ms);
    }
    EXPECT_GT(taken, body);
    web.net.advance(10 * ns_per_s, 10 * ns_per_ms);
    EXPECT_TRUE(reader.at_end()); // idle since
}

TEST(HttpServer, APeerThatReadsSlowlyGetsItsAnswer) {
    serve_slow_reader({});
}

TEST(HttpServer, APeerThatReadsSlowlyGetsItsAnswerPaced) {
    stack_settings settings;
    settings.host.tcp.pacing = true;
    serve_slow_reader(settings);
}

// There the server learns from TCP alone that it is taken.
TEST(HttpServer, APeerThatReadsSlowlyGetsItsAnswerOutOfTheSendBuffer) {
    stack_settings settings;
    settings.host.tcp.snd_buffer = 4'000'000;
    serve_slow_reader(settings);
}

TEST(HttpContent, ServesFilesBelowADirectoryOnly) {
    const std::filesystem::path root =
        std::filesystem::path(testing::TempDir()) / ("web" + std::to_string(getpid()));
    std::filesystem::create_directories(root / "sub");
    std::filesystem::create_directories(root / ".git");
    std::ofstream(root / "index.html") << "top";
    std::ofstream(root / "sub/a.txt") << "text";
    std::ofstream(root / ".git/config") << "secret";
    std::filesystem::create_symlink("/etc/passwd", root / "link");
    const auto content = http_content::files(root.string());
    ASSERT_TRUE(content.ok());
    ASSERT_NE(nullptr, content->find("/"));
    EXPECT_EQ("top", content->find("/")->body);
    EXPECT_EQ("top", content->find("/index.html?x=1")->body);
    EXPECT_EQ("text", content->find("/sub/a.txt")->body);
    for (const char* nothing :
         {"", "/sub", "/sub/", "/link", "/.git/config", "/../etc/passwd", "/sub/../index.html"}) {
        EXPECT_EQ(nullptr, content->find(nothing)) << nothing;
    }
    std::filesystem::remove_all(root);
    EXPECT_FALSE(http_content::files(root.string()).ok());
}

// ---------------------------------------------------------------------------------------------

TEST(HttpReader, FindsEachEndHoweverItIsCut) {
    const std::string stream = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: x\r\n\r\nabcde"
                               "HTTP/1.1 404 Not Found\r\nX: y\r\ncontent-length:0\r\n\r\n"
                               "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nz"
                               "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nz"
                               "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHTTP/1.1 200";
    for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
        http_reader reader;
        http_head_memory known;
        std::vector<unsigned> seen;
        for (std::size_t at = 0; at < stream.size();) {
            std::size_t used = 0;
            const auto said = reader.read(
                std::as_bytes(std::span(stream).subspan(at, std::min(piece, stream.size() - at))),
                used, known);
            ASSERT_NE(http_reader::outcome::bad, said) << piece << " at " << at;
            ASSERT_TRUE(used > 0);
            at += used;
            if (said == http_reader::outcome::answer) {
                seen.push_back(reader.status());
            }
        }
        EXPECT_EQ((std::vector<unsigned>{200, 404, 200, 200, 200}), seen) << piece;
        EXPECT_TRUE(reader.between_answers());
    }
}

// A head that was understood before stands for itself alone.
TEST(HttpReader, KnowsAgainWhatIsTheSame) {
    http_head_memory known;
    const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
    EXPECT_EQ(0U, known.bytes_if_before(head));
    known.keep(head, {200, 3});
    EXPECT_EQ(head.size(), known.bytes_if_before(head + "abc"));
    EXPECT_EQ(0U, known.bytes_if_before(head.substr(0, head.size() - 1)));
    EXPECT_EQ(0U, known.bytes_if_before("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"));
    known.keep("HTTP/1.1 200 OK\r\nX: " + std::string(1'000, 'x') + "\r\n\r\n", {200, 0});
    EXPECT_EQ(3U, known.meaning().body_bytes); // too long to be kept
}

TEST(HttpReader, GivesUpOnNonsense) {
    for (const std::string& wrong :
         {std::string("HTTP/1.1 200 OK\r\n\r\n"), std::string("HTTP/1.1 2x0 OK\r\n\r\n"),
          std::string("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
          std::string("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n"),
          std::string("\r\n\r\n"), std::string(http_answer_head_max, 'a')}) {
        http_reader reader;
        http_head_memory known;
        std::size_t used = 0;
        EXPECT_EQ(
            http_reader::outcome::bad, reader.read(std::as_bytes(std::span(wrong)), used, known));
    }
}

// ---------------------------------------------------------------------------------------------

load_settings load_of(const char* request, const char* last) {
    load_settings settings;
    settings.target = server_at;
    settings.connections = 8;
    settings.request = request;
    settings.last_request = last;
    settings.warmup_ns = 10 * ns_per_ms;
    settings.duration_ns = 50 * ns_per_ms;
    return settings;
}

TEST(TcpLoad, CountsAnswersAndConnections) {
    two_hosts net;
    http_server server(
        {.content = std::make_shared<http_content>(http_content::fixed(10)),
         .listen = *parse_endpoint("*:80"),
         .backlog = 128});
    ASSERT_TRUE(server.start(net.at_right().native()).ok());
    load_settings settings =
        load_of(get.c_str(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    settings.requests_a_conn = 3;
    settings.pipeline = 2;
    tcp_load load(settings, net.at_left().native());
    net.play(300 * ns_per_ms, 100 * ns_per_us, [&] { return load.finished(); });
    EXPECT_TRUE(load.finished());
    EXPECT_GT(load.counts().requests.read(), 100u);
    EXPECT_GT(load.counts().opened.read(), load.counts().requests.read() / 3 - 8);
    EXPECT_EQ(load.counts().requests.read(), load.counts().latency_ns.total());
    EXPECT_EQ(0u, load.counts().failed.read());
    EXPECT_EQ(0u, load.counts().bad.read());
}

TEST(TcpLoad, CountsFailures) {
    two_hosts net;
    tcp_load load(load_of("GET /", "GET /"), net.at_left().native());
    net.play(300 * ns_per_ms, 100 * ns_per_us, [&] { return load.finished(); });
    EXPECT_TRUE(load.finished());
    EXPECT_GT(load.counts().failed.read(), 8u);
    EXPECT_EQ(0u, load.counts().requests.read());
}

} // namespace
} // namespace pantala::app
