// What packetdrill loads by --so_filename: its table of calls, filled with those of a virtual host.
// It is preloaded as well, because packetdrill closes descriptors and reads TCP_INFO for its code
// blocks by libc's own functions.
//
// --so_flags: "PERSONA LOCAL_ADDRESS MTU", PERSONA linux or freebsd. With linux the host heeds the
// sysctls of the network namespace that the script has set.
#include "tests/packetdrill/kernel_settings.hpp"
#include "tests/packetdrill/script_sockets.hpp"

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>

#include <dlfcn.h>
#include <rte_eal.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

namespace pantala::packetdrill {
namespace {

// The table of packetdrill's packetdrill.h: members in its order.
struct call_table {
    void* userdata;
    void (*free)(void*);
    int (*socket)(void*, int, int, int);
    int (*bind)(void*, int, const sockaddr*, socklen_t);
    int (*listen)(void*, int, int);
    int (*accept)(void*, int, sockaddr*, socklen_t*);
    int (*connect)(void*, int, const sockaddr*, socklen_t);
    ssize_t (*read)(void*, int, void*, size_t);
    ssize_t (*readv)(void*, int, const iovec*, int);
    ssize_t (*recv)(void*, int, void*, size_t, int);
    ssize_t (*recvfrom)(void*, int, void*, size_t, int, sockaddr*, socklen_t*);
    ssize_t (*recvmsg)(void*, int, msghdr*, int);
    ssize_t (*write)(void*, int, const void*, size_t);
    ssize_t (*writev)(void*, int, const iovec*, int);
    ssize_t (*send)(void*, int, const void*, size_t, int);
    ssize_t (*sendto)(void*, int, const void*, size_t, int, const sockaddr*, socklen_t);
    ssize_t (*sendmsg)(void*, int, const msghdr*, int);
    int (*fcntl)(void*, int, int, ...);
    int (*ioctl)(void*, int, unsigned long, ...);
    int (*close)(void*, int);
    int (*shutdown)(void*, int, int);
    int (*getsockopt)(void*, int, int, int, void*, socklen_t*);
    int (*setsockopt)(void*, int, int, int, const void*, socklen_t);
    int (*poll)(void*, pollfd*, nfds_t, int);
    int (*netdev_send)(void*, const void*, size_t);
    int (*netdev_receive)(void*, void*, size_t*, long long*);
    int (*usleep)(void*, useconds_t);
    int (*gettimeofday)(void*, timeval*, struct timezone*);
    int (*epoll_create)(void*, int);
    int (*epoll_ctl)(void*, int, int, int, epoll_event*);
    int (*epoll_wait)(void*, int, epoll_event*, int, int);
    int (*pipe)(void*, int*);
    int (*splice)(void*, int, loff_t*, int, loff_t*, size_t, unsigned);
};

std::string flags_given;
script_sockets* made = nullptr; // for the life of the process

void start_eal() {
    const char* arguments[] = {"packetdrill",    "--no-huge",          "--no-pci", "--no-shconf",
                               "--no-telemetry", "--iova-mode=va",     "-m",       "192",
                               "--lcores=0@(0)", "--log-level=*:error"};
    if (rte_eal_init(std::size(arguments), const_cast<char**>(arguments)) < 0) {
        std::fputs("EAL does not start\n", stderr);
        std::_Exit(1);
    }
}

// Made with the first socket: the script's commands have set the sysctls by then.
script_sockets& sockets() {
    if (made == nullptr) {
        const auto chosen = read_choice(flags_given);
        if (!chosen) {
            std::fprintf(
                stderr, "--so_flags: '%s' is not PERSONA ADDRESS MTU\n", flags_given.c_str());
            std::_Exit(1);
        }
        made = new script_sockets(*chosen);
    }
    return *made;
}

std::uint64_t early_us = 1'000'000; // the clock before there is a host

iovec piece(const void* bytes, size_t count) {
    return {const_cast<void*>(bytes), count};
}

int call_fcntl(void*, int number, int command, ...) {
    va_list more;
    va_start(more, command);
    const long value = va_arg(more, long);
    va_end(more);
    return sockets().fcntl(number, command, value);
}

int call_ioctl(void*, int number, unsigned long request, ...) {
    va_list more;
    va_start(more, request);
    int* value = va_arg(more, int*);
    va_end(more);
    return sockets().ioctl(number, request, value);
}

void fill(call_table& table) {
    table.free = [](void*) {}; // a call may still wait in it
    table.socket = [](void*, int domain, int type, int protocol) {
        return sockets().socket(domain, type, protocol);
    };
    table.bind = [](void*, int number, const sockaddr* address, socklen_t length) {
        return sockets().bind(number, address, length);
    };
    table.listen = [](void*, int number, int backlog) { return sockets().listen(number, backlog); };
    table.accept = [](void*, int number, sockaddr* address, socklen_t* length) {
        return sockets().accept(number, address, length);
    };
    table.connect = [](void*, int number, const sockaddr* address, socklen_t length) {
        return sockets().connect(number, address, length);
    };
    table.fcntl = call_fcntl;
    table.ioctl = call_ioctl;
    table.close = [](void*, int number) { return sockets().close(number); };
    table.shutdown = [](void*, int number, int how) { return sockets().shutdown(number, how); };
    table.getsockopt = [](void*, int number, int level, int name, void* value, socklen_t* length) {
        return sockets().get(number, level, name, value, length);
    };
    table.setsockopt = [](void*, int number, int level, int name, const void* value,
                          socklen_t length) {
        return sockets().set(number, level, name, value, length);
    };
    table.poll = [](void*, pollfd* these, nfds_t count, int timeout) {
        return sockets().poll(these, count, timeout);
    };
    table.epoll_create = [](void*, int) { return sockets().epoll_create(); };
    table.epoll_ctl = [](void*, int epoll, int operation, int number, epoll_event* event) {
        return sockets().epoll_ctl(epoll, operation, number, event);
    };
    table.epoll_wait = [](void*, int epoll, epoll_event* events, int most, int timeout) {
        return sockets().epoll_wait(epoll, events, most, timeout);
    };
    table.pipe = [](void*, int* ends) { return ::pipe(ends); };
    table.splice = [](void*, int, loff_t*, int, loff_t*, size_t, unsigned) -> int {
        errno = ENOSYS;
        return -1;
    };
}

void fill_transfer(call_table& table) {
    table.read = [](void*, int number, void* bytes, size_t count) {
        const iovec one = piece(bytes, count);
        return sockets().receive(number, {&one, 1}, 0);
    };
    table.readv = [](void*, int number, const iovec* pieces, int count) {
        return sockets().receive(number, {pieces, static_cast<size_t>(count)}, 0);
    };
    table.recv = [](void*, int number, void* bytes, size_t count, int flags) {
        const iovec one = piece(bytes, count);
        return sockets().receive(number, {&one, 1}, flags);
    };
    table.recvfrom = [](void*, int number, void* bytes, size_t count, int flags, sockaddr*,
                        socklen_t*) {
        const iovec one = piece(bytes, count);
        return sockets().receive(number, {&one, 1}, flags);
    };
    table.recvmsg = [](void*, int number, msghdr* message, int flags) {
        return sockets().receive(number, {message->msg_iov, message->msg_iovlen}, flags);
    };
    table.write = [](void*, int number, const void* bytes, size_t count) {
        const iovec one = piece(bytes, count);
        return sockets().send(number, {&one, 1}, 0);
    };
    table.writev = [](void*, int number, const iovec* pieces, int count) {
        return sockets().send(number, {pieces, static_cast<size_t>(count)}, 0);
    };
    table.send = [](void*, int number, const void* bytes, size_t count, int flags) {
        const iovec one = piece(bytes, count);
        return sockets().send(number, {&one, 1}, flags);
    };
    table.sendto = [](void*, int number, const void* bytes, size_t count, int flags,
                      const sockaddr* to, socklen_t length) {
        const iovec one = piece(bytes, count);
        return sockets().send(number, {&one, 1}, flags, to, length);
    };
    table.sendmsg = [](void*, int number, const msghdr* message, int flags) {
        return sockets().send(
            number, {message->msg_iov, message->msg_iovlen}, flags,
            static_cast<const sockaddr*>(message->msg_name), message->msg_namelen);
    };
}

void fill_time(call_table& table) {
    table.netdev_send = [](void*, const void* packet, size_t count) {
        return sockets().inject({static_cast<const std::uint8_t*>(packet), count});
    };
    table.netdev_receive = [](void*, void* to, size_t* count, long long* at_us) {
        return sockets().sniff(to, *count, *at_us);
    };
    table.usleep = [](void*, useconds_t us) {
        sockets().sleep(us);
        return 0;
    };
    table.gettimeofday = [](void*, timeval* to, struct timezone*) {
        const std::uint64_t now = made == nullptr ? ++early_us : made->clock_us();
        to->tv_sec = static_cast<time_t>(now / 1'000'000);
        to->tv_usec = static_cast<suseconds_t>(now % 1'000'000);
        return 0;
    };
}

template <class Function>
Function* of_libc(const char* name) {
    return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

bool is_ours(int number) {
    return number >= first_number && made != nullptr && made->owns(number);
}

} // namespace
} // namespace pantala::packetdrill

extern "C" {

__attribute__((visibility("default"))) void
packetdrill_interface_init(const char* flags, pantala::packetdrill::call_table* table) {
    using namespace pantala::packetdrill;
    flags_given = flags == nullptr ? "" : flags;
    start_eal();
    fill(*table);
    fill_transfer(*table);
    fill_time(*table);
}

__attribute__((visibility("default"))) int close(int number) {
    using namespace pantala::packetdrill;
    return is_ours(number) ? made->close(number) : of_libc<int(int)>("close")(number);
}

__attribute__((visibility("default"))) int
getsockopt(int number, int level, int name, void* value, socklen_t* length) noexcept {
    using namespace pantala::packetdrill;
    return is_ours(number) ? made->get(number, level, name, value, length)
                           : of_libc<int(int, int, int, void*, socklen_t*)>("getsockopt")(
                                 number, level, name, value, length);
}
}
