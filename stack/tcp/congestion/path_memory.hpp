// What connections leave to those that follow them to the same host (RFC 9040 section 5, temporal
// sharing): round-trip time, its variance, ssthresh, a congestion window. The host cache keeps it.
//
//   round trip   its RTO is that of the SYN where it is longer than the setting, and the estimate
//                stands until the connection has a measurement of its own, which takes its place
//   ssthresh     where slow start ends; not under the initial window
//   cwnd         a path that was found narrow begins with less than the initial window of RFC 6928,
//                though not with less than that of RFC 3390; none begins with more
#pragma once

namespace pantala::tcp {

class host;
struct conn;

// A connection begins.
void path_attach(host& h, conn& c);
// Its handshake is over, and its congestion control has begun.
void path_seed(host& h, conn& c);
// It is over. Once; later calls find nothing to do.
void path_release(host& h, conn& c);

} // namespace pantala::tcp
