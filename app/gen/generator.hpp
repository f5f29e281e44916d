// The generator and the sink of one process: ports, lcores and the two hot ends. Control code.
#pragma once

#include "app/eal/devices.hpp"
#include "app/gen/arp_station.hpp"
#include "app/gen/lcore_job.hpp"
#include "app/gen/receiver.hpp"
#include "app/gen/table/flows.hpp"
#include "app/gen/transmitter.hpp"
#include "app/gen/trial.hpp"
#include "engine/base/result.hpp"
#include "engine/setup/launch.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pantala::app {

struct generator_options {
    std::string tx;            // device; empty: this process does not send
    std::string rx;            // device; empty: this process does not receive. May be that of tx
    flow_request flows;        //
    mac_address next{};        // the router's Ethernet address
    std::uint32_t next_ip = 0; // or its IPv4 address, whose Ethernet address ARP is to find
    std::uint32_t from = 0xc6120001; // 198.18.0.1 (RFC 2544 C.2.2)
    std::vector<std::uint16_t> sizes = {64};
    mac_address gateway_base{2, 0x70, 0, 0, 0, 0}; // the sink's gateway i has this plus i
    std::uint32_t gateway_ip = 0; // the sink answers ARP for gateway i at this plus i; 0: for none
    bool routed = false;
    bool float_lcores = true; // over all CPUs; false: EAL's options place them, or one a CPU
    std::vector<std::string> eal;
    std::string program = "pantala";
    setup_watch watch{}; // of what takes long before anything is sent; may end it
};

mac_address gateway_mac(const mac_address& base, unsigned number);

class generator {
  public:
    // Starts EAL (once a process), the ports and the lcores.
    static result<std::unique_ptr<generator>> open(const generator_options& options);
    ~generator();
    generator(const generator&) = delete;
    generator& operator=(const generator&) = delete;

    result<void> begin(std::uint8_t stream);
    result<void> send(const send_order& order);
    void cancel();
    result<sender_state> sender() const;
    result<sink_state> sink() const;
    trial_ends ends();
    const flow_set& flows() const { return flows_; }
    const mac_address& next() const { return next_; } // that probes are sent to
    double setup_seconds() const { return setup_seconds_; }

  private:
    generator() = default;
    result<void> start(const generator_options& options);
    result<void> start_ports(const generator_options& options);
    result<void> start_port(std::uint16_t port, bool receives);
    result<void> find_ports(const generator_options& options);
    result<void> make_pool();
    result<void> configure_port(std::uint16_t port);
    result<void> find_next(const generator_options& options);
    std::vector<arp_station::owned> gateways_answered(const generator_options& options) const;
    void start_receiver(const generator_options& options, unsigned lcore);
    void start_transmitter(const generator_options& options, unsigned lcore);
    void start_lcores(const generator_options& options);

    std::unique_ptr<eal_session> eal_;
    flow_set flows_;
    double setup_seconds_ = 0;
    std::optional<device> tx_device_;
    std::optional<device> rx_device_;
    std::optional<std::uint16_t> tx_port_;
    std::optional<std::uint16_t> rx_port_;
    std::vector<std::uint16_t> started_;
    rte_mempool* pool_ = nullptr;
    std::uint32_t longest_ = 0;    // frame that is sent
    std::uint32_t frame_most_ = 0; // bytes of a frame that the ports carry and a buffer holds
    mac_address next_{};
    std::unique_ptr<arp_station> tx_station_;
    std::unique_ptr<arp_station> rx_station_; // of a port that only receives
    arp_inbox inbox_;                         // of a port that does both
    std::unique_ptr<transmitter> transmitter_;
    std::unique_ptr<receiver> receiver_;
    lcore_job transmitter_job_;
    lcore_job receiver_job_;
    std::uint64_t missed_before_ = 0;
};

} // namespace pantala::app
