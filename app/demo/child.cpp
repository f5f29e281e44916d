#include "app/demo/child.hpp"

#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace pantala::app {

using namespace std::chrono_literals;

namespace {

// In the child, between fork and exec: only what is safe there.
[[noreturn]] void become(const char* log, char* const* argv, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    if (getppid() != parent) {
        _exit(127);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    setpgid(0, 0); // a terminal's SIGINT is the parent's to hear; it stops us in order
    const int in = open("/dev/null", O_RDONLY);
    const int out = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0) {
        _exit(127);
    }
    execv("/proc/self/exe", argv);
    _exit(127);
}

} // namespace

result<child> child::start(
    const std::string& name, const std::string& directory,
    const std::vector<std::string>& arguments) {
    child made;
    made.name_ = name;
    made.socket_ = fmt::format("{}/{}.sock", directory, name);
    made.log_ = fmt::format("{}/{}.log", directory, name);
    std::vector<std::string> line = {"pantala", "--socket", made.socket_};
    line.insert(line.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    argv.reserve(line.size() + 1);
    for (std::string& word : line) {
        argv.push_back(word.data());
    }
    argv.push_back(nullptr);
    const pid_t parent = getpid();
    made.pid_ = fork();
    if (made.pid_ == 0) {
        become(made.log_.c_str(), argv.data(), parent);
    }
    if (made.pid_ < 0) {
        return error{errno, fmt::format("cannot start the {}: {}", name, std::strerror(errno))};
    }
    return made;
}

child::child(child&& other) noexcept
    : name_(std::move(other.name_)), socket_(std::move(other.socket_)), log_(std::move(other.log_)),
      pid_(std::exchange(other.pid_, -1)), client_(std::move(other.client_)) {}

child::~child() {
    if (pid_ < 0) {
        return;
    }
    if (client_) {
        static_cast<void>(ask("stop"));
    }
    for (unsigned tries = 0; tries < 100; ++tries) {
        if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
            return;
        }
        if (tries == 30 || (tries == 0 && !client_)) {
            kill(pid_, SIGTERM);
        }
        std::this_thread::sleep_for(50ms);
    }
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
}

std::string child::last_output() const {
    std::ifstream file(log_);
    std::string text((std::istreambuf_iterator<char>(file)), {});
    constexpr std::size_t most = 1500;
    return text.size() > most ? text.substr(text.size() - most) : text;
}

std::optional<error> child::ended() {
    int status = 0;
    if (pid_ < 0 || waitpid(pid_, &status, WNOHANG) != pid_) {
        return std::nullopt;
    }
    pid_ = -1;
    const std::string how = WIFSIGNALED(status)
                                ? fmt::format("was killed by signal {}", WTERMSIG(status))
                                : fmt::format("ended with status {}", WEXITSTATUS(status));
    return error{ECHILD, fmt::format("the {} {}; it said:\n{}", name_, how, last_output())};
}

result<void> child::await_ready(const std::function<bool()>& waiting) {
    while (!client_) {
        if (auto gone = ended()) {
            return *gone;
        }
        if (auto reached = control_client::connect(socket_)) {
            client_.emplace(std::move(*reached));
            break;
        }
        if (!waiting()) {
            return error{EINTR, "interrupted"};
        }
        std::this_thread::sleep_for(20ms);
    }
    // The socket may be there before the rest: an answer is the sign.
    const auto answered = ask("ready");
    return answered ? result<void>() : answered.failure();
}

result<json> child::ask(const char* name, json args) {
    control_request request;
    request.name = name;
    request.args = std::move(args);
    auto done = client_->call(std::move(request));
    if (!done) {
        for (unsigned tries = 0; tries < 20; ++tries) { // a socket closes a moment before its owner
            if (auto gone = ended()) {
                return *gone;
            }
            std::this_thread::sleep_for(10ms);
        }
        return error{done.failure().code, fmt::format("{}: {}", name_, done.failure().text)};
    }
    return done;
}

double child::cpu_seconds() const {
    std::ifstream file(fmt::format("/proc/{}/stat", pid_));
    std::string text;
    std::getline(file, text);
    const auto name_end = text.rfind(')');
    unsigned long user = 0;
    unsigned long system = 0;
    if (name_end == std::string::npos ||
        std::sscanf(
            text.c_str() + name_end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
            &user, &system) != 2) {
        return 0;
    }
    return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

} // namespace pantala::app
