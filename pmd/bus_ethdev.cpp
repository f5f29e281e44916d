// net_shmif as a DPDK virtual device: probe, configure, start, stop, close.
#include "pmd/port/bus_port.hpp"

#include <algorithm>
#include <cstdarg>
#include <cstring>
#include <random>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>

namespace pantala::bus {

namespace {

int log_type = -1;

std::uint64_t make_rearm(std::uint16_t port_id) {
    struct {
        std::uint16_t data_off = RTE_PKTMBUF_HEADROOM;
        std::uint16_t refcnt = 1;
        std::uint16_t nb_segs = 1;
        std::uint16_t port = 0;
    } fields;
    fields.port = port_id;
    std::uint64_t word;
    std::memcpy(&word, &fields, sizeof word);
    return word;
}

int device_configure(rte_eth_dev* device) {
    port& self = port_of(device);
    const rte_eth_conf& wanted = device->data->dev_conf;
    const std::uint64_t rx_offloads = wanted.rxmode.offloads;
    self.rss_hash = (rx_offloads & RTE_ETH_RX_OFFLOAD_RSS_HASH) != 0 ||
                    (wanted.rxmode.mq_mode & RTE_ETH_MQ_RX_RSS_FLAG) != 0;
    self.shape.scatter = (rx_offloads & RTE_ETH_RX_OFFLOAD_SCATTER) != 0;
    // ethdev has put what the application asks for there, and 1500 where it asked for nothing: then
    // the port's own argument counts.
    const std::uint16_t asked = device->data->mtu;
    self.mtu = asked == RTE_ETHER_MTU ? self.arguments.mtu : asked;
    device->data->mtu = self.mtu;
    self.rx.resize(device->data->nb_rx_queues);
    self.tx.resize(device->data->nb_tx_queues);
    return 0;
}

int rx_queue_setup(
    rte_eth_dev* device, std::uint16_t index, std::uint16_t, unsigned, const rte_eth_rxconf*,
    rte_mempool* pool) {
    port& self = port_of(device);
    auto queue = std::make_unique<rx_queue>();
    queue->port = &self.shape;
    queue->pool = pool;
    queue->index = index;
    queue->rearm = make_rearm(device->data->port_id);
    queue->room = std::min<std::uint32_t>(
        rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM, UINT16_MAX);
    device->data->rx_queues[index] = queue.get();
    self.rx[index] = std::move(queue);
    return 0;
}

int tx_queue_setup(
    rte_eth_dev* device, std::uint16_t index, std::uint16_t, unsigned, const rte_eth_txconf*) {
    port& self = port_of(device);
    auto queue = std::make_unique<tx_queue>();
    queue->port = &self.shape;
    queue->index = index;
    device->data->tx_queues[index] = queue.get();
    self.tx[index] = std::move(queue);
    return 0;
}

void rx_queue_release(rte_eth_dev* device, std::uint16_t index) {
    port& self = port_of(device);
    if (index < self.rx.size() && self.rx[index]) {
        drain_rx(*self.rx[index]);
        self.rx[index].reset();
        device->data->rx_queues[index] = nullptr;
    }
}

void tx_queue_release(rte_eth_dev* device, std::uint16_t index) {
    port& self = port_of(device);
    if (index < self.tx.size()) {
        self.tx[index].reset();
        device->data->tx_queues[index] = nullptr;
    }
}

void set_link(rte_eth_dev* device, bool up) {
    rte_eth_link link{};
    link.link_speed = RTE_ETH_SPEED_NUM_100G;
    link.link_duplex = RTE_ETH_LINK_FULL_DUPLEX;
    link.link_autoneg = RTE_ETH_LINK_FIXED;
    link.link_status = up ? RTE_ETH_LINK_UP : RTE_ETH_LINK_DOWN;
    rte_eth_linkstatus_set(device, &link);
}

int link_update(rte_eth_dev* device, int) {
    set_link(device, device->data->dev_started != 0 && !bus_lost(port_of(device)));
    return 0;
}

node_profile profile_of(const port& self, std::size_t rx_queues, std::size_t tx_queues) {
    node_profile profile;
    profile.mac = self.mac;
    profile.name = self.name;
    profile.mtu = self.mtu;
    profile.rx_queues = static_cast<std::uint16_t>(rx_queues);
    profile.tx_queues = static_cast<std::uint16_t>(tx_queues);
    profile.wants = static_cast<std::uint16_t>(
        (self.rss_hash || rx_queues > 1 ? wants_hash : 0) | (self.has_barrier ? 0 : wants_fence));
    return profile;
}

// Tells the bus about the port's queues and begins new logs.
int start_native(rte_eth_dev* device) {
    port& self = port_of(device);
    self.shape.rx_queues = static_cast<std::uint16_t>(self.rx.size());
    self.shape.tx_queues = static_cast<std::uint16_t>(self.tx.size());
    self.shape.frame_bytes_max = frame_limit(self);
    self.shape.fence = !self.has_barrier;
    self.shape.lossless = self.arguments.lossless;
    const std::uint32_t incarnation =
        self.node.begin_start(profile_of(self, self.rx.size(), self.tx.size()));
    for (const auto& queue : self.tx) {
        start_tx(*queue, incarnation);
    }
    for (const auto& queue : self.rx) {
        start_rx(*queue);
    }
    if (const int failed = start_interrupts(device); failed != 0) {
        return failed;
    }
    self.node.announce();
    return 0;
}

int start_netbsd(rte_eth_dev* device) {
    port& self = port_of(device);
    if (self.arguments.lossless) {
        log_line(RTE_LOG_WARNING, "%s: this format is always lossy", self.name.c_str());
    }
    if (!self.netbsd->bus.lock()) {
        return -ENODEV;
    }
    self.netbsd->cursor = self.netbsd->bus.attach();
    self.netbsd->bus.unlock();
    return start_interrupts(device);
}

int device_start(rte_eth_dev* device) {
    port& self = port_of(device);
    if (bus_lost(self)) {
        log_line(
            RTE_LOG_ERR, "%s: its bus '%s' went away; close the port and probe it again",
            self.name.c_str(), self.arguments.bus.c_str());
        return -ENODEV;
    }
    const int failed = self.netbsd ? start_netbsd(device) : start_native(device);
    if (failed == 0) {
        set_link(device, true);
    }
    return failed;
}

int device_stop(rte_eth_dev* device) {
    port& self = port_of(device);
    device->data->dev_started = 0;
    stop_interrupts(device);
    if (!self.netbsd) {
        self.node.stop();
    }
    set_link(device, false);
    return 0;
}

int device_close(rte_eth_dev* device) {
    auto* const data = static_cast<private_data*>(device->data->dev_private);
    port& self = *data->self;
    stop_interrupts(device);
    for (std::uint16_t i = 0; i < self.rx.size(); ++i) {
        rx_queue_release(device, i);
    }
    for (std::uint16_t i = 0; i < self.tx.size(); ++i) {
        tx_queue_release(device, i);
    }
    delete data->self; // leaves the bus
    data->self = nullptr;
    return 0;
}

int device_info(rte_eth_dev* device, rte_eth_dev_info* info) {
    describe_device(port_of(device), *info);
    return 0;
}

const eth_dev_ops& primary_ops() {
    static const eth_dev_ops table = [] {
        eth_dev_ops ops{};
        ops.dev_configure = device_configure;
        ops.dev_start = device_start;
        ops.dev_stop = device_stop;
        ops.dev_close = device_close;
        ops.dev_infos_get = device_info;
        ops.rx_queue_setup = rx_queue_setup;
        ops.tx_queue_setup = tx_queue_setup;
        ops.rx_queue_release = rx_queue_release;
        ops.tx_queue_release = tx_queue_release;
        ops.rx_queue_intr_enable = enable_interrupt;
        ops.rx_queue_intr_disable = disable_interrupt;
        ops.link_update = link_update;
        add_stats_ops(ops);
        add_settings_ops(ops);
        return ops;
    }();
    return table;
}

// Joins the native bus. The number of queues is told to it at start.
result<void> join_native(port& self) {
    geometry shape;
    shape.node_bytes = self.arguments.size;
    result<bus_file> file = open_or_create_bus(self.arguments.bus, shape);
    if (!file) {
        return file.failure();
    }
    self.has_barrier = register_for_barrier();
    result<bus_node> node = bus_node::join(*std::move(file), profile_of(self, 1, 1));
    if (!node) {
        return node.failure();
    }
    self.node = *std::move(node);
    self.shape.node = &self.node;
    return {};
}

result<void> join_netbsd(port& self) {
    result<netbsd_bus> bus = netbsd_bus::open(self.arguments.bus);
    if (!bus) {
        return bus.failure();
    }
    std::random_device random;
    self.netbsd = std::make_unique<netbsd_port>();
    self.netbsd->bus = *std::move(bus);
    self.netbsd->sender = std::uint64_t{random()} << 32 | random();
    self.shape.netbsd = self.netbsd.get();
    return {};
}

result<std::unique_ptr<port>> make_port(const char* name, const char* text) {
    result<port_arguments> arguments = parse_arguments(text);
    if (!arguments) {
        return arguments.failure();
    }
    auto self = std::make_unique<port>();
    self->arguments = *arguments;
    self->name = name;
    self->mac = arguments->mac;
    self->mtu = arguments->mtu;
    const result<void> joined =
        arguments->format == bus_format::netbsd ? join_netbsd(*self) : join_native(*self);
    if (!joined) {
        return joined.failure();
    }
    if (arguments->queues > queues_most(*self)) {
        return error{
            EINVAL, "bus '" + arguments->bus + "' allows " + std::to_string(queues_most(*self)) +
                        " queues a port; give queues= accordingly"};
    }
    if (arguments->mtu + (self->netbsd ? RTE_ETHER_HDR_LEN : frame_overhead) > frame_most(*self)) {
        return error{
            EINVAL, "bus '" + arguments->bus + "' carries frames of at most " +
                        std::to_string(frame_most(*self)) +
                        " bytes; give a smaller mtu= or make a bus with a larger size="};
    }
    return self;
}

bool install(rte_vdev_device* vdev, std::unique_ptr<port> self) {
    rte_eth_dev* const device = rte_eth_vdev_allocate(vdev, sizeof(private_data));
    if (device == nullptr) {
        return false;
    }
    auto* const addresses = static_cast<rte_ether_addr*>(
        rte_zmalloc("net_shmif", sizeof(rte_ether_addr) * (1 + filter_addresses_max), 0));
    if (addresses == nullptr) {
        rte_eth_dev_release_port(device);
        return false;
    }
    std::memcpy(addresses[0].addr_bytes, self->mac.data(), self->mac.size());
    std::uint64_t word = 0;
    std::memcpy(&word, self->mac.data(), self->mac.size());
    self->shape.filter.address[0].store(word, std::memory_order_relaxed);
    self->shape.port_id = device->data->port_id;
    device->data->mac_addrs = addresses;
    device->data->mtu = self->mtu;
    device->data->dev_flags = RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS;
    device->dev_ops = &primary_ops();
    device->rx_pkt_burst = self->netbsd ? rx_burst_netbsd : rx_burst_native;
    device->tx_pkt_burst = self->netbsd ? tx_burst_netbsd : tx_burst_native;
    set_link(device, false);
    auto* const data = static_cast<private_data*>(device->data->dev_private);
    data->self = self.release();
    data->pools = mempool_order_here();
    rte_eth_dev_probing_finish(device);
    return true;
}

int probe(rte_vdev_device* vdev) {
    const char* const name = rte_vdev_device_name(vdev);
    if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
        return probe_secondary(vdev);
    }
    result<std::unique_ptr<port>> self = make_port(name, rte_vdev_device_args(vdev));
    if (!self) {
        log_line(RTE_LOG_ERR, "%s: %s", name, self.failure().text.c_str());
        return self.failure().code > 0 ? -self.failure().code : -EINVAL;
    }
    if (!install(vdev, *std::move(self))) {
        log_line(RTE_LOG_ERR, "%s: no room for another port", name);
        return -ENOMEM;
    }
    return 0;
}

int remove_device(rte_vdev_device* vdev) {
    rte_eth_dev* const device = rte_eth_dev_allocated(rte_vdev_device_name(vdev));
    if (device == nullptr) {
        return 0; // closed already
    }
    if (rte_eal_process_type() == RTE_PROC_PRIMARY) {
        device_close(device);
    }
    return rte_eth_dev_release_port(device);
}

rte_vdev_driver shmif_driver = [] {
    rte_vdev_driver driver{};
    driver.probe = probe;
    driver.remove = remove_device;
    return driver;
}();

} // namespace

port& port_of(rte_eth_dev* device) {
    return *static_cast<private_data*>(device->data->dev_private)->self;
}

std::uint32_t frame_limit(const port& self) {
    constexpr std::uint32_t second_tag = 4;
    return std::min(self.mtu + frame_overhead + second_tag, frame_most(self));
}

std::uint32_t frame_most(const port& self) {
    return self.netbsd ? netbsd_frame_max : self.node.map().shape.frame_bytes_max();
}

std::uint32_t queues_most(const port& self) {
    if (self.netbsd) {
        return 1;
    }
    const geometry& shape = self.node.map().shape;
    return std::min(shape.lanes, shape.tx_queues_max());
}

bool bus_lost(const port& self) {
    return self.netbsd ? self.netbsd->bus.lost() : self.node.file().truncated();
}

void log_line(std::uint32_t level, const char* format, ...) {
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    rte_log(level, static_cast<std::uint32_t>(log_type), "net_shmif: %s\n", line);
}

RTE_INIT(register_log) {
    log_type = rte_log_register_type_and_pick_level("pmd.net.shmif", RTE_LOG_NOTICE);
}
RTE_PMD_REGISTER_VDEV(net_shmif, shmif_driver);
RTE_PMD_REGISTER_PARAM_STRING(
    net_shmif, "bus=<path> queues=<n> mac=<xx:xx:xx:xx:xx:xx> "
               "size=<bytes> flow=lossy|lossless "
               "format=native|netbsd mtu=<n>");

} // namespace pantala::bus
