// What each cause means and what to do, as the README has it.

export const CAUSES = {
  __proto__: null,
  refused: 'A SYN met a port without listener. Start the server, or correct the address.',
  unreachable: 'No connection came to be: SYNs went unanswered, or there is no route. Look at the address, at the path and its firewalls, and at whether the host is up.',
  backlog_overflow: 'The accept queue was full, or a handshake was reset. Raise the backlog, accept faster.',
  killed: 'Somebody ended it: ss -K, or a listener closed with connections it had not accepted. Look at who restarts the server.',
  out_of_resources: 'Memory or orphan limits. See net.ipv4.tcp_mem and tcp_max_orphans.',
  tcp_keepalive: 'TCP keepalive probes went unanswered. The peer or the path is gone.',
  connection_lost: 'Retransmissions or the user timeout ran out: the connection died of silence. The peer or the path is gone: look for packet loss, a firewall that drops, a host that died.',
  protocol_error: 'Wrong acknowledgment, sequence number, timestamp or flag. Look for a middlebox.',
  stale_connection: 'A segment for a connection this host does not know and did not just close. A restart, failover or expired NAT entry.',
  no_request: 'The client never sent payload. Health checks and port scans: nothing to do.',
  keepalive_race: 'The server closed an idle connection while the next request crossed the close. Let the side that sends requests close first: its idle timeout must be shorter than the server’s.',
  reset_on_reuse: 'The first request after a rest was reset, and nothing shows who forgot the connection. Look at both ends’ idle timeouts, and at what lies between: NAT and balancers forget flows.',
  never_read: 'The request lay unread until the server closed or died, for longer than a race explains. Look for a hang, a kill or overload at the server: no keep-alive setting helps.',
  early_close: 'The server had answered and closed while the client was still sending that request. Let the server read the whole request, or send smaller ones.',
  client_abort: 'The client closed or reset while an exchange was open. It gave up: look at its timeout and the response time.',
  awaiting_response: 'The server side ended the connection after it took a request, before any response byte. A crash or restart of the server, or its timeout.',
  response_cut: 'The reset came while the response was under way, or so soon behind it that its end may be lost. Let the server read the whole request and close in order, so that the response is not cut.',
  after_response: 'No request was open. An abrupt close of an idle connection; since_response says how long it idled.',
  unknown: 'None of these can be shown. It is never guessed.',
};
