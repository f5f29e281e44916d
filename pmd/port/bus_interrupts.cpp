// Receive interrupts: a queue that has nothing to do arms its lanes, and whoever writes to one
// rings. The bell's thread turns a ring into a write to the queue's eventfd, on which the
// application waits through rte_epoll_wait or in any other way. On a bus of NetBSD's format the
// ring is a write to the file, which the kernel notifies.
#include "pmd/port/bus_port.hpp"

#include <cerrno>

#include <sys/eventfd.h>
#include <unistd.h>

namespace pantala::bus {

namespace {

void signal_queue(const port& self, std::size_t queue) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(self.event_fds[queue], &one, sizeof one);
}

void on_ring(const port& self, std::uint64_t lanes) {
    const std::uint64_t armed = self.node.entry().armed.load(std::memory_order_relaxed);
    const std::uint32_t all_lanes = self.node.map().shape.lanes;
    for (std::size_t queue = 0; queue < self.event_fds.size(); ++queue) {
        const auto index = static_cast<std::uint32_t>(queue);
        if ((lanes_of(index, self.shape.rx_queues, all_lanes) & lanes & armed) != 0) {
            signal_queue(self, queue);
        }
    }
}

int fill_handle(port& self) {
    const int queues = static_cast<int>(self.event_fds.size());
    rte_intr_handle* const handle = self.interrupts;
    if (rte_intr_type_set(handle, RTE_INTR_HANDLE_VDEV) != 0 ||
        rte_intr_nb_efd_set(handle, queues) != 0 ||
        rte_intr_max_intr_set(handle, queues + 1) != 0 ||
        rte_intr_efd_counter_size_set(handle, sizeof(std::uint64_t)) != 0 ||
        rte_intr_vec_list_alloc(handle, nullptr, queues) != 0) {
        return -ENOMEM;
    }
    for (int i = 0; i < queues; ++i) {
        if (rte_intr_vec_list_index_set(handle, i, RTE_INTR_VEC_RXTX_OFFSET + i) != 0 ||
            rte_intr_efds_index_set(handle, i, self.event_fds[static_cast<std::size_t>(i)]) != 0) {
            return -ENOMEM;
        }
    }
    return 0;
}

} // namespace

int start_interrupts(rte_eth_dev* device) {
    port& self = port_of(device);
    stop_interrupts(device);
    if (device->data->dev_conf.intr_conf.rxq == 0) {
        return 0;
    }
    for (std::size_t i = 0; i < self.rx.size(); ++i) {
        const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (fd < 0) {
            return -errno;
        }
        self.event_fds.push_back(fd);
    }
    self.interrupts = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
    if (self.interrupts == nullptr) {
        return -ENOMEM;
    }
    if (const int failed = fill_handle(self); failed != 0) {
        return failed;
    }
    device->intr_handle = self.interrupts;
    if (self.netbsd) {
        return self.notice.start(self.netbsd->bus.descriptor_path(), self.event_fds[0]);
    }
    self.bell.start(self.node.entry(), [&self](std::uint64_t lanes) { on_ring(self, lanes); });
    return 0;
}

void stop_interrupts(rte_eth_dev* device) {
    port& self = port_of(device);
    self.bell.stop();
    self.notice.stop();
    if (self.interrupts != nullptr) {
        rte_intr_free_epoll_fd(self.interrupts);
        rte_intr_vec_list_free(self.interrupts);
        rte_intr_instance_free(self.interrupts);
        self.interrupts = nullptr;
        device->intr_handle = nullptr;
    }
    for (const int fd : self.event_fds) {
        close(fd);
    }
    self.event_fds.clear();
}

int enable_interrupt(rte_eth_dev* device, std::uint16_t queue) {
    port& self = port_of(device);
    if (queue >= self.event_fds.size()) {
        return -ENOTSUP; // not asked for at configuration (intr_conf.rxq)
    }
    if (self.netbsd) {
        const int failed = self.notice.arm();
        if (self.netbsd->bus.may_have(self.netbsd->cursor)) {
            signal_queue(self, queue);
        }
        return failed;
    }
    node_entry& entry = self.node.entry();
    entry.armed.fetch_or(
        lanes_of(queue, self.shape.rx_queues, self.node.map().shape.lanes),
        std::memory_order_relaxed);
    entry.arm_count.fetch_add(1, std::memory_order_seq_cst);
    if (self.has_barrier) {
        barrier_everywhere(); // with the writers' wake()
    }
    if (rx_pending(*self.rx[queue])) {
        signal_queue(self, queue);
    }
    return 0;
}

int disable_interrupt(rte_eth_dev* device, std::uint16_t queue) {
    port& self = port_of(device);
    if (queue >= self.event_fds.size()) {
        return -ENOTSUP;
    }
    if (self.netbsd) {
        self.notice.disarm();
    } else {
        self.node.entry().armed.fetch_and(
            ~lanes_of(queue, self.shape.rx_queues, self.node.map().shape.lanes),
            std::memory_order_relaxed);
    }
    std::uint64_t rings = 0;
    [[maybe_unused]] const ssize_t got = read(self.event_fds[queue], &rings, sizeof rings);
    return 0;
}

} // namespace pantala::bus
