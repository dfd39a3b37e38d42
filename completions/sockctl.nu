module completions {

  def "nu-complete sockctl generate" [] {
    [ "man" "complete-bash" "complete-zsh" "complete-fish" "complete-nushell" ]
  }

  # Talk, serve, authenticate, test and explain sockets from the shell
  export extern sockctl [
    --generate: string@"nu-complete sockctl generate" # Write the man page, or completions for a shell, to stdout
    --help(-h)                # Print help
    --version(-V)             # Print version
  ]

  def "nu-complete sockctl serve on_full" [] {
    [ "wait" "reject" ]
  }

  def "nu-complete sockctl serve opt" [] {
    [ "SO_DEBUG" "SO_REUSEADDR" "SO_TYPE" "SO_ERROR" "SO_DONTROUTE" "SO_BROADCAST" "SO_SNDBUF" "SO_RCVBUF" "SO_KEEPALIVE" "SO_OOBINLINE" "SO_NO_CHECK" "SO_PRIORITY" "SO_LINGER" "SO_BSDCOMPAT" "SO_REUSEPORT" "SO_PASSCRED" "SO_PEERCRED" "SO_RCVLOWAT" "SO_SNDLOWAT" "SO_RCVTIMEO" "SO_SNDTIMEO" "SO_BINDTODEVICE" "SO_ATTACH_FILTER" "SO_DETACH_FILTER" "SO_PEERNAME" "SO_TIMESTAMP" "SO_ACCEPTCONN" "SO_PEERSEC" "SO_SNDBUFFORCE" "SO_RCVBUFFORCE" "SO_PASSSEC" "SO_TIMESTAMPNS" "SO_MARK" "SO_TIMESTAMPING" "SO_PROTOCOL" "SO_DOMAIN" "SO_RXQ_OVFL" "SO_WIFI_STATUS" "SO_PEEK_OFF" "SO_NOFCS" "SO_LOCK_FILTER" "SO_SELECT_ERR_QUEUE" "SO_BUSY_POLL" "SO_MAX_PACING_RATE" "SO_BPF_EXTENSIONS" "SO_INCOMING_CPU" "SO_ATTACH_BPF" "SO_ATTACH_REUSEPORT_CBPF" "SO_ATTACH_REUSEPORT_EBPF" "SO_CNX_ADVICE" "SO_MEMINFO" "SO_INCOMING_NAPI_ID" "SO_COOKIE" "SO_PEERGROUPS" "SO_ZEROCOPY" "SO_TXTIME" "SO_BINDTOIFINDEX" "SO_TIMESTAMP_NEW" "SO_TIMESTAMPNS_NEW" "SO_TIMESTAMPING_NEW" "SO_RCVTIMEO_NEW" "SO_SNDTIMEO_NEW" "SO_DETACH_REUSEPORT_BPF" "SO_PREFER_BUSY_POLL" "SO_BUSY_POLL_BUDGET" "SO_NETNS_COOKIE" "SO_BUF_LOCK" "SO_RESERVE_MEM" "SO_TXREHASH" "SO_RCVMARK" "SO_PASSPIDFD" "SO_RCVPRIORITY" "SO_PASSRIGHTS" "SO_INQ" "IP_TOS" "IP_TTL" "IP_HDRINCL" "IP_OPTIONS" "IP_ROUTER_ALERT" "IP_RECVOPTS" "IP_RETOPTS" "IP_PKTINFO" "IP_PKTOPTIONS" "IP_MTU_DISCOVER" "IP_RECVERR" "IP_RECVTTL" "IP_RECVTOS" "IP_MTU" "IP_FREEBIND" "IP_IPSEC_POLICY" "IP_XFRM_POLICY" "IP_PASSSEC" "IP_TRANSPARENT" "IP_RECVORIGDSTADDR" "IP_MINTTL" "IP_NODEFRAG" "IP_CHECKSUM" "IP_BIND_ADDRESS_NO_PORT" "IP_RECVFRAGSIZE" "IP_RECVERR_RFC4884" "IP_MULTICAST_IF" "IP_MULTICAST_TTL" "IP_MULTICAST_LOOP" "IP_ADD_MEMBERSHIP" "IP_DROP_MEMBERSHIP" "IP_UNBLOCK_SOURCE" "IP_BLOCK_SOURCE" "IP_ADD_SOURCE_MEMBERSHIP" "IP_DROP_SOURCE_MEMBERSHIP" "IP_MSFILTER" "MCAST_JOIN_GROUP" "MCAST_BLOCK_SOURCE" "MCAST_UNBLOCK_SOURCE" "MCAST_LEAVE_GROUP" "MCAST_JOIN_SOURCE_GROUP" "MCAST_LEAVE_SOURCE_GROUP" "MCAST_MSFILTER" "IP_MULTICAST_ALL" "IP_UNICAST_IF" "IP_LOCAL_PORT_RANGE" "IP_PROTOCOL" "SO_ORIGINAL_DST" "IPV6_ADDRFORM" "IPV6_2292PKTINFO" "IPV6_2292HOPOPTS" "IPV6_2292DSTOPTS" "IPV6_2292RTHDR" "IPV6_2292PKTOPTIONS" "IPV6_CHECKSUM" "IPV6_2292HOPLIMIT" "IPV6_NEXTHOP" "IPV6_AUTHHDR" "IPV6_FLOWINFO" "IPV6_UNICAST_HOPS" "IPV6_MULTICAST_IF" "IPV6_MULTICAST_HOPS" "IPV6_MULTICAST_LOOP" "IPV6_ADD_MEMBERSHIP" "IPV6_DROP_MEMBERSHIP" "IPV6_ROUTER_ALERT" "IPV6_MTU_DISCOVER" "IPV6_MTU" "IPV6_RECVERR" "IPV6_V6ONLY" "IPV6_JOIN_ANYCAST" "IPV6_LEAVE_ANYCAST" "IPV6_MULTICAST_ALL" "IPV6_ROUTER_ALERT_ISOLATE" "IPV6_RECVERR_RFC4884" "IPV6_FLOWLABEL_MGR" "IPV6_FLOWINFO_SEND" "IPV6_IPSEC_POLICY" "IPV6_XFRM_POLICY" "IPV6_HDRINCL" "IPV6_RECVPKTINFO" "IPV6_PKTINFO" "IPV6_RECVHOPLIMIT" "IPV6_HOPLIMIT" "IPV6_RECVHOPOPTS" "IPV6_HOPOPTS" "IPV6_RTHDRDSTOPTS" "IPV6_RECVRTHDR" "IPV6_RTHDR" "IPV6_RECVDSTOPTS" "IPV6_DSTOPTS" "IPV6_RECVPATHMTU" "IPV6_PATHMTU" "IPV6_DONTFRAG" "IPV6_RECVTCLASS" "IPV6_TCLASS" "IPV6_AUTOFLOWLABEL" "IPV6_ADDR_PREFERENCES" "IPV6_MINHOPCOUNT" "IPV6_RECVORIGDSTADDR" "IPV6_TRANSPARENT" "IPV6_UNICAST_IF" "IPV6_RECVFRAGSIZE" "IPV6_FREEBIND" "IP6T_SO_ORIGINAL_DST" "TCP_NODELAY" "TCP_MAXSEG" "TCP_CORK" "TCP_KEEPIDLE" "TCP_KEEPINTVL" "TCP_KEEPCNT" "TCP_SYNCNT" "TCP_LINGER2" "TCP_DEFER_ACCEPT" "TCP_WINDOW_CLAMP" "TCP_INFO" "TCP_QUICKACK" "TCP_CONGESTION" "TCP_MD5SIG" "TCP_THIN_LINEAR_TIMEOUTS" "TCP_THIN_DUPACK" "TCP_USER_TIMEOUT" "TCP_REPAIR" "TCP_REPAIR_QUEUE" "TCP_QUEUE_SEQ" "TCP_REPAIR_OPTIONS" "TCP_FASTOPEN" "TCP_TIMESTAMP" "TCP_NOTSENT_LOWAT" "TCP_CC_INFO" "TCP_SAVE_SYN" "TCP_SAVED_SYN" "TCP_REPAIR_WINDOW" "TCP_FASTOPEN_CONNECT" "TCP_ULP" "TCP_MD5SIG_EXT" "TCP_FASTOPEN_KEY" "TCP_FASTOPEN_NO_COOKIE" "TCP_INQ" "TCP_TX_DELAY" "TCP_AO_ADD_KEY" "TCP_AO_DEL_KEY" "TCP_AO_INFO" "TCP_AO_REPAIR" "TCP_IS_MPTCP" "TCP_RTO_MAX_MS" "TCP_RTO_MIN_US" "TCP_DELACK_MAX_US" "UDP_CORK" "UDP_ENCAP" "UDP_NO_CHECK6_TX" "UDP_NO_CHECK6_RX" "UDP_SEGMENT" "UDP_GRO" ]
  }

  def "nu-complete sockctl serve color" [] {
    [ "auto" "always" "never" ]
  }

  # Serve many clients at once: a conversation with you, a chat room, an echo, a fixed reply
  export extern "sockctl serve" [
    --room                    # A chat room, with you as the member `server`
    --echo                    # Return what comes
    --discard                 # Swallow what comes
    --reply: string           # Send TEXT, then end our side
    --sh: string              # Run COMMAND with /bin/sh; the client is its stdin and stdout
    --once                    # Serve the first connection that is let in, then exit with its status
    --max-conns(-m): string   # Connections at a time
    --on-full: string@"nu-complete sockctl serve on_full" # What becomes of a connection too many
    --per-ip: string          # Connections from one address at a time; an IPv6 /64 is one
    --allow: string           # Let in only these: a CIDR, an address, or @FILE with one a line; may be given several times
    --deny: string            # Never let these in, whatever is allowed; may be given several times
    --accept-proxy: string    # Believe PROXY headers (v1, v2) from these, and require them; may be given several times
    --grace: string           # How long stopping may take; 0: at once
    --backlog: string         # Connections the kernel queues before they are accepted
    --reuse-port              # Share the port with other servers that do so too (`SO_REUSEPORT`)
    --mode: string            # Who may use a UNIX path, in octal (0660); otherwise the umask decides
    --systemd                 # Take the listening socket from the service manager (systemd socket activation)
    --port-file: path         # Write the port to FILE once it listens
    --timestamps              # Show the local time before each line
    --bell                    # Ring when a line is for you: private, or with your name in it, or in a talk of two
    --history: path           # Keep the prompt's history in FILE
    --ipv4(-4)                # IPv4 only
    --ipv6(-6)                # IPv6 only
    --numeric(-n)             # Never look a name up in the DNS
    --opt(-o): string@"nu-complete sockctl serve opt" # Set a socket option (see `sockctl opts`); may be given several times
    --timeout(-w): string     # Bound on connecting, on a handshake and on each reply; 0: none
    --idle-timeout(-i): string # End a connection that is silent in both directions for this long; 0: never
    --deadline: string        # End the whole run after this long; 0: never
    --hex(-x): path           # Dump both directions in hex to FILE (`-`: stderr)
    --raw                     # Show strangers' text as it came, control characters and all
    --verbose(-v)             # Say more: connection detail
    --quiet(-q)               # Say nothing but errors
    --trace                   # Show every socket call as it is made
    --json                    # Write events and results as JSON, one object a line
    --color: string@"nu-complete sockctl serve color" # Colour what is shown
    --help(-h)                # Print help (see more with '--help')
    ...address: string        # Where to listen: HOST:PORT, [IPV6]:PORT, *:PORT, unix:PATH, unix:@NAME, PORT, or HOST PORT
  ]

  def "nu-complete sockctl connect opt" [] {
    [ "SO_DEBUG" "SO_REUSEADDR" "SO_TYPE" "SO_ERROR" "SO_DONTROUTE" "SO_BROADCAST" "SO_SNDBUF" "SO_RCVBUF" "SO_KEEPALIVE" "SO_OOBINLINE" "SO_NO_CHECK" "SO_PRIORITY" "SO_LINGER" "SO_BSDCOMPAT" "SO_REUSEPORT" "SO_PASSCRED" "SO_PEERCRED" "SO_RCVLOWAT" "SO_SNDLOWAT" "SO_RCVTIMEO" "SO_SNDTIMEO" "SO_BINDTODEVICE" "SO_ATTACH_FILTER" "SO_DETACH_FILTER" "SO_PEERNAME" "SO_TIMESTAMP" "SO_ACCEPTCONN" "SO_PEERSEC" "SO_SNDBUFFORCE" "SO_RCVBUFFORCE" "SO_PASSSEC" "SO_TIMESTAMPNS" "SO_MARK" "SO_TIMESTAMPING" "SO_PROTOCOL" "SO_DOMAIN" "SO_RXQ_OVFL" "SO_WIFI_STATUS" "SO_PEEK_OFF" "SO_NOFCS" "SO_LOCK_FILTER" "SO_SELECT_ERR_QUEUE" "SO_BUSY_POLL" "SO_MAX_PACING_RATE" "SO_BPF_EXTENSIONS" "SO_INCOMING_CPU" "SO_ATTACH_BPF" "SO_ATTACH_REUSEPORT_CBPF" "SO_ATTACH_REUSEPORT_EBPF" "SO_CNX_ADVICE" "SO_MEMINFO" "SO_INCOMING_NAPI_ID" "SO_COOKIE" "SO_PEERGROUPS" "SO_ZEROCOPY" "SO_TXTIME" "SO_BINDTOIFINDEX" "SO_TIMESTAMP_NEW" "SO_TIMESTAMPNS_NEW" "SO_TIMESTAMPING_NEW" "SO_RCVTIMEO_NEW" "SO_SNDTIMEO_NEW" "SO_DETACH_REUSEPORT_BPF" "SO_PREFER_BUSY_POLL" "SO_BUSY_POLL_BUDGET" "SO_NETNS_COOKIE" "SO_BUF_LOCK" "SO_RESERVE_MEM" "SO_TXREHASH" "SO_RCVMARK" "SO_PASSPIDFD" "SO_RCVPRIORITY" "SO_PASSRIGHTS" "SO_INQ" "IP_TOS" "IP_TTL" "IP_HDRINCL" "IP_OPTIONS" "IP_ROUTER_ALERT" "IP_RECVOPTS" "IP_RETOPTS" "IP_PKTINFO" "IP_PKTOPTIONS" "IP_MTU_DISCOVER" "IP_RECVERR" "IP_RECVTTL" "IP_RECVTOS" "IP_MTU" "IP_FREEBIND" "IP_IPSEC_POLICY" "IP_XFRM_POLICY" "IP_PASSSEC" "IP_TRANSPARENT" "IP_RECVORIGDSTADDR" "IP_MINTTL" "IP_NODEFRAG" "IP_CHECKSUM" "IP_BIND_ADDRESS_NO_PORT" "IP_RECVFRAGSIZE" "IP_RECVERR_RFC4884" "IP_MULTICAST_IF" "IP_MULTICAST_TTL" "IP_MULTICAST_LOOP" "IP_ADD_MEMBERSHIP" "IP_DROP_MEMBERSHIP" "IP_UNBLOCK_SOURCE" "IP_BLOCK_SOURCE" "IP_ADD_SOURCE_MEMBERSHIP" "IP_DROP_SOURCE_MEMBERSHIP" "IP_MSFILTER" "MCAST_JOIN_GROUP" "MCAST_BLOCK_SOURCE" "MCAST_UNBLOCK_SOURCE" "MCAST_LEAVE_GROUP" "MCAST_JOIN_SOURCE_GROUP" "MCAST_LEAVE_SOURCE_GROUP" "MCAST_MSFILTER" "IP_MULTICAST_ALL" "IP_UNICAST_IF" "IP_LOCAL_PORT_RANGE" "IP_PROTOCOL" "SO_ORIGINAL_DST" "IPV6_ADDRFORM" "IPV6_2292PKTINFO" "IPV6_2292HOPOPTS" "IPV6_2292DSTOPTS" "IPV6_2292RTHDR" "IPV6_2292PKTOPTIONS" "IPV6_CHECKSUM" "IPV6_2292HOPLIMIT" "IPV6_NEXTHOP" "IPV6_AUTHHDR" "IPV6_FLOWINFO" "IPV6_UNICAST_HOPS" "IPV6_MULTICAST_IF" "IPV6_MULTICAST_HOPS" "IPV6_MULTICAST_LOOP" "IPV6_ADD_MEMBERSHIP" "IPV6_DROP_MEMBERSHIP" "IPV6_ROUTER_ALERT" "IPV6_MTU_DISCOVER" "IPV6_MTU" "IPV6_RECVERR" "IPV6_V6ONLY" "IPV6_JOIN_ANYCAST" "IPV6_LEAVE_ANYCAST" "IPV6_MULTICAST_ALL" "IPV6_ROUTER_ALERT_ISOLATE" "IPV6_RECVERR_RFC4884" "IPV6_FLOWLABEL_MGR" "IPV6_FLOWINFO_SEND" "IPV6_IPSEC_POLICY" "IPV6_XFRM_POLICY" "IPV6_HDRINCL" "IPV6_RECVPKTINFO" "IPV6_PKTINFO" "IPV6_RECVHOPLIMIT" "IPV6_HOPLIMIT" "IPV6_RECVHOPOPTS" "IPV6_HOPOPTS" "IPV6_RTHDRDSTOPTS" "IPV6_RECVRTHDR" "IPV6_RTHDR" "IPV6_RECVDSTOPTS" "IPV6_DSTOPTS" "IPV6_RECVPATHMTU" "IPV6_PATHMTU" "IPV6_DONTFRAG" "IPV6_RECVTCLASS" "IPV6_TCLASS" "IPV6_AUTOFLOWLABEL" "IPV6_ADDR_PREFERENCES" "IPV6_MINHOPCOUNT" "IPV6_RECVORIGDSTADDR" "IPV6_TRANSPARENT" "IPV6_UNICAST_IF" "IPV6_RECVFRAGSIZE" "IPV6_FREEBIND" "IP6T_SO_ORIGINAL_DST" "TCP_NODELAY" "TCP_MAXSEG" "TCP_CORK" "TCP_KEEPIDLE" "TCP_KEEPINTVL" "TCP_KEEPCNT" "TCP_SYNCNT" "TCP_LINGER2" "TCP_DEFER_ACCEPT" "TCP_WINDOW_CLAMP" "TCP_INFO" "TCP_QUICKACK" "TCP_CONGESTION" "TCP_MD5SIG" "TCP_THIN_LINEAR_TIMEOUTS" "TCP_THIN_DUPACK" "TCP_USER_TIMEOUT" "TCP_REPAIR" "TCP_REPAIR_QUEUE" "TCP_QUEUE_SEQ" "TCP_REPAIR_OPTIONS" "TCP_FASTOPEN" "TCP_TIMESTAMP" "TCP_NOTSENT_LOWAT" "TCP_CC_INFO" "TCP_SAVE_SYN" "TCP_SAVED_SYN" "TCP_REPAIR_WINDOW" "TCP_FASTOPEN_CONNECT" "TCP_ULP" "TCP_MD5SIG_EXT" "TCP_FASTOPEN_KEY" "TCP_FASTOPEN_NO_COOKIE" "TCP_INQ" "TCP_TX_DELAY" "TCP_AO_ADD_KEY" "TCP_AO_DEL_KEY" "TCP_AO_INFO" "TCP_AO_REPAIR" "TCP_IS_MPTCP" "TCP_RTO_MAX_MS" "TCP_RTO_MIN_US" "TCP_DELACK_MAX_US" "UDP_CORK" "UDP_ENCAP" "UDP_NO_CHECK6_TX" "UDP_NO_CHECK6_RX" "UDP_SEGMENT" "UDP_GRO" ]
  }

  def "nu-complete sockctl connect color" [] {
    [ "auto" "always" "never" ]
  }

  # Connect and talk: a prompt at a terminal, a byte-exact pipe elsewhere
  export extern "sockctl connect" [
    --check(-z)               # Connect, report, close; PORT may be a list (22,80,8000-8100)
    --crlf(-C)                # Send a CR before each newline, where it is missing
    --no-newline              # At the prompt, send lines without a newline
    --send-only               # Only send: what comes is dropped
    --recv-only               # Only receive: stdin is not read
    --max-bytes: string       # End after SIZE bytes have come
    --no-half-close           # Do not pass the end of stdin on to the peer
    --linger: string          # How long to wait for the peer's end after ours [default: 1s at the prompt, else no limit]
    --wait: string            # Keep trying to connect for this long: refused, unreachable, no such name
    --send: string            # Send TEXT (escapes, or @FILE); steps are done in the order given
    --expect: string          # Wait until REGEX, over bytes, matches what comes; else exit with 8
    --expect-eof              # Wait until the peer ends; else exit with 8
    --progress                # Show how much was moved, on stderr if that is a terminal
    --tcp-info                # At the end, tell how the TCP connection fared: round trips, retransmits, window, rate
    --source(-s): string      # Connect from this address
    --proxy: string           # Connect through a proxy, which looks the name up: socks5://[USER@]HOST:PORT or http://[USER@]HOST:PORT
    --proxy-password-file: path # The proxy's password, less one newline at its end; or set `SOCKCTL_PROXY_PASSWORD`
    --send-proxy: string      # Send a PROXY protocol header first, which says where the connection comes from
    --timestamps              # Show the local time before each line
    --bell                    # Ring when a line is for you: private, or with your name in it, or in a talk of two
    --history: path           # Keep the prompt's history in FILE
    --ipv4(-4)                # IPv4 only
    --ipv6(-6)                # IPv6 only
    --numeric(-n)             # Never look a name up in the DNS
    --opt(-o): string@"nu-complete sockctl connect opt" # Set a socket option (see `sockctl opts`); may be given several times
    --timeout(-w): string     # Bound on connecting, on a handshake and on each reply; 0: none
    --idle-timeout(-i): string # End a connection that is silent in both directions for this long; 0: never
    --deadline: string        # End the whole run after this long; 0: never
    --hex(-x): path           # Dump both directions in hex to FILE (`-`: stderr)
    --raw                     # Show strangers' text as it came, control characters and all
    --verbose(-v)             # Say more: connection detail
    --quiet(-q)               # Say nothing but errors
    --trace                   # Show every socket call as it is made
    --json                    # Write events and results as JSON, one object a line
    --color: string@"nu-complete sockctl connect color" # Colour what is shown
    --help(-h)                # Print help (see more with '--help')
    ...address: string        # Where to connect: HOST:PORT, [IPV6]:PORT, unix:PATH, unix:@NAME, PORT, or HOST PORT
  ]

  def "nu-complete sockctl udp-serve opt" [] {
    [ "SO_DEBUG" "SO_REUSEADDR" "SO_TYPE" "SO_ERROR" "SO_DONTROUTE" "SO_BROADCAST" "SO_SNDBUF" "SO_RCVBUF" "SO_KEEPALIVE" "SO_OOBINLINE" "SO_NO_CHECK" "SO_PRIORITY" "SO_LINGER" "SO_BSDCOMPAT" "SO_REUSEPORT" "SO_PASSCRED" "SO_PEERCRED" "SO_RCVLOWAT" "SO_SNDLOWAT" "SO_RCVTIMEO" "SO_SNDTIMEO" "SO_BINDTODEVICE" "SO_ATTACH_FILTER" "SO_DETACH_FILTER" "SO_PEERNAME" "SO_TIMESTAMP" "SO_ACCEPTCONN" "SO_PEERSEC" "SO_SNDBUFFORCE" "SO_RCVBUFFORCE" "SO_PASSSEC" "SO_TIMESTAMPNS" "SO_MARK" "SO_TIMESTAMPING" "SO_PROTOCOL" "SO_DOMAIN" "SO_RXQ_OVFL" "SO_WIFI_STATUS" "SO_PEEK_OFF" "SO_NOFCS" "SO_LOCK_FILTER" "SO_SELECT_ERR_QUEUE" "SO_BUSY_POLL" "SO_MAX_PACING_RATE" "SO_BPF_EXTENSIONS" "SO_INCOMING_CPU" "SO_ATTACH_BPF" "SO_ATTACH_REUSEPORT_CBPF" "SO_ATTACH_REUSEPORT_EBPF" "SO_CNX_ADVICE" "SO_MEMINFO" "SO_INCOMING_NAPI_ID" "SO_COOKIE" "SO_PEERGROUPS" "SO_ZEROCOPY" "SO_TXTIME" "SO_BINDTOIFINDEX" "SO_TIMESTAMP_NEW" "SO_TIMESTAMPNS_NEW" "SO_TIMESTAMPING_NEW" "SO_RCVTIMEO_NEW" "SO_SNDTIMEO_NEW" "SO_DETACH_REUSEPORT_BPF" "SO_PREFER_BUSY_POLL" "SO_BUSY_POLL_BUDGET" "SO_NETNS_COOKIE" "SO_BUF_LOCK" "SO_RESERVE_MEM" "SO_TXREHASH" "SO_RCVMARK" "SO_PASSPIDFD" "SO_RCVPRIORITY" "SO_PASSRIGHTS" "SO_INQ" "IP_TOS" "IP_TTL" "IP_HDRINCL" "IP_OPTIONS" "IP_ROUTER_ALERT" "IP_RECVOPTS" "IP_RETOPTS" "IP_PKTINFO" "IP_PKTOPTIONS" "IP_MTU_DISCOVER" "IP_RECVERR" "IP_RECVTTL" "IP_RECVTOS" "IP_MTU" "IP_FREEBIND" "IP_IPSEC_POLICY" "IP_XFRM_POLICY" "IP_PASSSEC" "IP_TRANSPARENT" "IP_RECVORIGDSTADDR" "IP_MINTTL" "IP_NODEFRAG" "IP_CHECKSUM" "IP_BIND_ADDRESS_NO_PORT" "IP_RECVFRAGSIZE" "IP_RECVERR_RFC4884" "IP_MULTICAST_IF" "IP_MULTICAST_TTL" "IP_MULTICAST_LOOP" "IP_ADD_MEMBERSHIP" "IP_DROP_MEMBERSHIP" "IP_UNBLOCK_SOURCE" "IP_BLOCK_SOURCE" "IP_ADD_SOURCE_MEMBERSHIP" "IP_DROP_SOURCE_MEMBERSHIP" "IP_MSFILTER" "MCAST_JOIN_GROUP" "MCAST_BLOCK_SOURCE" "MCAST_UNBLOCK_SOURCE" "MCAST_LEAVE_GROUP" "MCAST_JOIN_SOURCE_GROUP" "MCAST_LEAVE_SOURCE_GROUP" "MCAST_MSFILTER" "IP_MULTICAST_ALL" "IP_UNICAST_IF" "IP_LOCAL_PORT_RANGE" "IP_PROTOCOL" "SO_ORIGINAL_DST" "IPV6_ADDRFORM" "IPV6_2292PKTINFO" "IPV6_2292HOPOPTS" "IPV6_2292DSTOPTS" "IPV6_2292RTHDR" "IPV6_2292PKTOPTIONS" "IPV6_CHECKSUM" "IPV6_2292HOPLIMIT" "IPV6_NEXTHOP" "IPV6_AUTHHDR" "IPV6_FLOWINFO" "IPV6_UNICAST_HOPS" "IPV6_MULTICAST_IF" "IPV6_MULTICAST_HOPS" "IPV6_MULTICAST_LOOP" "IPV6_ADD_MEMBERSHIP" "IPV6_DROP_MEMBERSHIP" "IPV6_ROUTER_ALERT" "IPV6_MTU_DISCOVER" "IPV6_MTU" "IPV6_RECVERR" "IPV6_V6ONLY" "IPV6_JOIN_ANYCAST" "IPV6_LEAVE_ANYCAST" "IPV6_MULTICAST_ALL" "IPV6_ROUTER_ALERT_ISOLATE" "IPV6_RECVERR_RFC4884" "IPV6_FLOWLABEL_MGR" "IPV6_FLOWINFO_SEND" "IPV6_IPSEC_POLICY" "IPV6_XFRM_POLICY" "IPV6_HDRINCL" "IPV6_RECVPKTINFO" "IPV6_PKTINFO" "IPV6_RECVHOPLIMIT" "IPV6_HOPLIMIT" "IPV6_RECVHOPOPTS" "IPV6_HOPOPTS" "IPV6_RTHDRDSTOPTS" "IPV6_RECVRTHDR" "IPV6_RTHDR" "IPV6_RECVDSTOPTS" "IPV6_DSTOPTS" "IPV6_RECVPATHMTU" "IPV6_PATHMTU" "IPV6_DONTFRAG" "IPV6_RECVTCLASS" "IPV6_TCLASS" "IPV6_AUTOFLOWLABEL" "IPV6_ADDR_PREFERENCES" "IPV6_MINHOPCOUNT" "IPV6_RECVORIGDSTADDR" "IPV6_TRANSPARENT" "IPV6_UNICAST_IF" "IPV6_RECVFRAGSIZE" "IPV6_FREEBIND" "IP6T_SO_ORIGINAL_DST" "TCP_NODELAY" "TCP_MAXSEG" "TCP_CORK" "TCP_KEEPIDLE" "TCP_KEEPINTVL" "TCP_KEEPCNT" "TCP_SYNCNT" "TCP_LINGER2" "TCP_DEFER_ACCEPT" "TCP_WINDOW_CLAMP" "TCP_INFO" "TCP_QUICKACK" "TCP_CONGESTION" "TCP_MD5SIG" "TCP_THIN_LINEAR_TIMEOUTS" "TCP_THIN_DUPACK" "TCP_USER_TIMEOUT" "TCP_REPAIR" "TCP_REPAIR_QUEUE" "TCP_QUEUE_SEQ" "TCP_REPAIR_OPTIONS" "TCP_FASTOPEN" "TCP_TIMESTAMP" "TCP_NOTSENT_LOWAT" "TCP_CC_INFO" "TCP_SAVE_SYN" "TCP_SAVED_SYN" "TCP_REPAIR_WINDOW" "TCP_FASTOPEN_CONNECT" "TCP_ULP" "TCP_MD5SIG_EXT" "TCP_FASTOPEN_KEY" "TCP_FASTOPEN_NO_COOKIE" "TCP_INQ" "TCP_TX_DELAY" "TCP_AO_ADD_KEY" "TCP_AO_DEL_KEY" "TCP_AO_INFO" "TCP_AO_REPAIR" "TCP_IS_MPTCP" "TCP_RTO_MAX_MS" "TCP_RTO_MIN_US" "TCP_DELACK_MAX_US" "UDP_CORK" "UDP_ENCAP" "UDP_NO_CHECK6_TX" "UDP_NO_CHECK6_RX" "UDP_SEGMENT" "UDP_GRO" ]
  }

  def "nu-complete sockctl udp-serve color" [] {
    [ "auto" "always" "never" ]
  }

  # Receive datagrams and answer everyone
  export extern "sockctl udp-serve" [
    --echo                    # Return each datagram to its sender
    --discard                 # Swallow datagrams
    --reply: string           # Answer each datagram with TEXT
    --sh: string              # Answer each datagram with what COMMAND writes, run with /bin/sh; the datagram is its stdin
    --max-conns(-m): string   # Programs at a time; meanwhile datagrams wait
    --join: string            # Join a multicast group; may be given several times
    --count: string           # Exit after N datagrams
    --allow: string           # Let in only these: a CIDR, an address, or @FILE with one a line; may be given several times
    --deny: string            # Never let these in, whatever is allowed; may be given several times
    --port-file: path         # Write the port to FILE once it is bound
    --ipv4(-4)                # IPv4 only
    --ipv6(-6)                # IPv6 only
    --numeric(-n)             # Never look a name up in the DNS
    --opt(-o): string@"nu-complete sockctl udp-serve opt" # Set a socket option (see `sockctl opts`); may be given several times
    --timeout(-w): string     # Bound on connecting, on a handshake and on each reply; 0: none
    --idle-timeout(-i): string # End a connection that is silent in both directions for this long; 0: never
    --deadline: string        # End the whole run after this long; 0: never
    --hex(-x): path           # Dump both directions in hex to FILE (`-`: stderr)
    --raw                     # Show strangers' text as it came, control characters and all
    --verbose(-v)             # Say more: connection detail
    --quiet(-q)               # Say nothing but errors
    --trace                   # Show every socket call as it is made
    --json                    # Write events and results as JSON, one object a line
    --color: string@"nu-complete sockctl udp-serve color" # Colour what is shown
    --help(-h)                # Print help (see more with '--help')
    ...address: string        # Where to listen: HOST:PORT, [IPV6]:PORT, *:PORT, unix:PATH, unix:@NAME, PORT, or HOST PORT
  ]

  def "nu-complete sockctl udp-send opt" [] {
    [ "SO_DEBUG" "SO_REUSEADDR" "SO_TYPE" "SO_ERROR" "SO_DONTROUTE" "SO_BROADCAST" "SO_SNDBUF" "SO_RCVBUF" "SO_KEEPALIVE" "SO_OOBINLINE" "SO_NO_CHECK" "SO_PRIORITY" "SO_LINGER" "SO_BSDCOMPAT" "SO_REUSEPORT" "SO_PASSCRED" "SO_PEERCRED" "SO_RCVLOWAT" "SO_SNDLOWAT" "SO_RCVTIMEO" "SO_SNDTIMEO" "SO_BINDTODEVICE" "SO_ATTACH_FILTER" "SO_DETACH_FILTER" "SO_PEERNAME" "SO_TIMESTAMP" "SO_ACCEPTCONN" "SO_PEERSEC" "SO_SNDBUFFORCE" "SO_RCVBUFFORCE" "SO_PASSSEC" "SO_TIMESTAMPNS" "SO_MARK" "SO_TIMESTAMPING" "SO_PROTOCOL" "SO_DOMAIN" "SO_RXQ_OVFL" "SO_WIFI_STATUS" "SO_PEEK_OFF" "SO_NOFCS" "SO_LOCK_FILTER" "SO_SELECT_ERR_QUEUE" "SO_BUSY_POLL" "SO_MAX_PACING_RATE" "SO_BPF_EXTENSIONS" "SO_INCOMING_CPU" "SO_ATTACH_BPF" "SO_ATTACH_REUSEPORT_CBPF" "SO_ATTACH_REUSEPORT_EBPF" "SO_CNX_ADVICE" "SO_MEMINFO" "SO_INCOMING_NAPI_ID" "SO_COOKIE" "SO_PEERGROUPS" "SO_ZEROCOPY" "SO_TXTIME" "SO_BINDTOIFINDEX" "SO_TIMESTAMP_NEW" "SO_TIMESTAMPNS_NEW" "SO_TIMESTAMPING_NEW" "SO_RCVTIMEO_NEW" "SO_SNDTIMEO_NEW" "SO_DETACH_REUSEPORT_BPF" "SO_PREFER_BUSY_POLL" "SO_BUSY_POLL_BUDGET" "SO_NETNS_COOKIE" "SO_BUF_LOCK" "SO_RESERVE_MEM" "SO_TXREHASH" "SO_RCVMARK" "SO_PASSPIDFD" "SO_RCVPRIORITY" "SO_PASSRIGHTS" "SO_INQ" "IP_TOS" "IP_TTL" "IP_HDRINCL" "IP_OPTIONS" "IP_ROUTER_ALERT" "IP_RECVOPTS" "IP_RETOPTS" "IP_PKTINFO" "IP_PKTOPTIONS" "IP_MTU_DISCOVER" "IP_RECVERR" "IP_RECVTTL" "IP_RECVTOS" "IP_MTU" "IP_FREEBIND" "IP_IPSEC_POLICY" "IP_XFRM_POLICY" "IP_PASSSEC" "IP_TRANSPARENT" "IP_RECVORIGDSTADDR" "IP_MINTTL" "IP_NODEFRAG" "IP_CHECKSUM" "IP_BIND_ADDRESS_NO_PORT" "IP_RECVFRAGSIZE" "IP_RECVERR_RFC4884" "IP_MULTICAST_IF" "IP_MULTICAST_TTL" "IP_MULTICAST_LOOP" "IP_ADD_MEMBERSHIP" "IP_DROP_MEMBERSHIP" "IP_UNBLOCK_SOURCE" "IP_BLOCK_SOURCE" "IP_ADD_SOURCE_MEMBERSHIP" "IP_DROP_SOURCE_MEMBERSHIP" "IP_MSFILTER" "MCAST_JOIN_GROUP" "MCAST_BLOCK_SOURCE" "MCAST_UNBLOCK_SOURCE" "MCAST_LEAVE_GROUP" "MCAST_JOIN_SOURCE_GROUP" "MCAST_LEAVE_SOURCE_GROUP" "MCAST_MSFILTER" "IP_MULTICAST_ALL" "IP_UNICAST_IF" "IP_LOCAL_PORT_RANGE" "IP_PROTOCOL" "SO_ORIGINAL_DST" "IPV6_ADDRFORM" "IPV6_2292PKTINFO" "IPV6_2292HOPOPTS" "IPV6_2292DSTOPTS" "IPV6_2292RTHDR" "IPV6_2292PKTOPTIONS" "IPV6_CHECKSUM" "IPV6_2292HOPLIMIT" "IPV6_NEXTHOP" "IPV6_AUTHHDR" "IPV6_FLOWINFO" "IPV6_UNICAST_HOPS" "IPV6_MULTICAST_IF" "IPV6_MULTICAST_HOPS" "IPV6_MULTICAST_LOOP" "IPV6_ADD_MEMBERSHIP" "IPV6_DROP_MEMBERSHIP" "IPV6_ROUTER_ALERT" "IPV6_MTU_DISCOVER" "IPV6_MTU" "IPV6_RECVERR" "IPV6_V6ONLY" "IPV6_JOIN_ANYCAST" "IPV6_LEAVE_ANYCAST" "IPV6_MULTICAST_ALL" "IPV6_ROUTER_ALERT_ISOLATE" "IPV6_RECVERR_RFC4884" "IPV6_FLOWLABEL_MGR" "IPV6_FLOWINFO_SEND" "IPV6_IPSEC_POLICY" "IPV6_XFRM_POLICY" "IPV6_HDRINCL" "IPV6_RECVPKTINFO" "IPV6_PKTINFO" "IPV6_RECVHOPLIMIT" "IPV6_HOPLIMIT" "IPV6_RECVHOPOPTS" "IPV6_HOPOPTS" "IPV6_RTHDRDSTOPTS" "IPV6_RECVRTHDR" "IPV6_RTHDR" "IPV6_RECVDSTOPTS" "IPV6_DSTOPTS" "IPV6_RECVPATHMTU" "IPV6_PATHMTU" "IPV6_DONTFRAG" "IPV6_RECVTCLASS" "IPV6_TCLASS" "IPV6_AUTOFLOWLABEL" "IPV6_ADDR_PREFERENCES" "IPV6_MINHOPCOUNT" "IPV6_RECVORIGDSTADDR" "IPV6_TRANSPARENT" "IPV6_UNICAST_IF" "IPV6_RECVFRAGSIZE" "IPV6_FREEBIND" "IP6T_SO_ORIGINAL_DST" "TCP_NODELAY" "TCP_MAXSEG" "TCP_CORK" "TCP_KEEPIDLE" "TCP_KEEPINTVL" "TCP_KEEPCNT" "TCP_SYNCNT" "TCP_LINGER2" "TCP_DEFER_ACCEPT" "TCP_WINDOW_CLAMP" "TCP_INFO" "TCP_QUICKACK" "TCP_CONGESTION" "TCP_MD5SIG" "TCP_THIN_LINEAR_TIMEOUTS" "TCP_THIN_DUPACK" "TCP_USER_TIMEOUT" "TCP_REPAIR" "TCP_REPAIR_QUEUE" "TCP_QUEUE_SEQ" "TCP_REPAIR_OPTIONS" "TCP_FASTOPEN" "TCP_TIMESTAMP" "TCP_NOTSENT_LOWAT" "TCP_CC_INFO" "TCP_SAVE_SYN" "TCP_SAVED_SYN" "TCP_REPAIR_WINDOW" "TCP_FASTOPEN_CONNECT" "TCP_ULP" "TCP_MD5SIG_EXT" "TCP_FASTOPEN_KEY" "TCP_FASTOPEN_NO_COOKIE" "TCP_INQ" "TCP_TX_DELAY" "TCP_AO_ADD_KEY" "TCP_AO_DEL_KEY" "TCP_AO_INFO" "TCP_AO_REPAIR" "TCP_IS_MPTCP" "TCP_RTO_MAX_MS" "TCP_RTO_MIN_US" "TCP_DELACK_MAX_US" "UDP_CORK" "UDP_ENCAP" "UDP_NO_CHECK6_TX" "UDP_NO_CHECK6_RX" "UDP_SEGMENT" "UDP_GRO" ]
  }

  def "nu-complete sockctl udp-send color" [] {
    [ "auto" "always" "never" ]
  }

  # Send datagrams: each TEXT, or each line of stdin, is one
  export extern "sockctl udp-send" [
    --whole                   # Send all of stdin as one datagram
    --chunk: string           # Send stdin in pieces of SIZE
    --data-hex: string        # Send the bytes that HEX stands for (blanks and colons are allowed)
    --count: string           # Send everything N times
    --interval: string        # Wait this long between datagrams
    --reply: string           # Wait for N answers to each datagram and print them
    --retries: string         # Send again, up to N times, while no answer came
    --expect: string          # Each answer must match REGEX, over bytes
    --broadcast               # Allow sending to a broadcast address
    --source(-s): string      # Send from this address
    --ttl: string             # Hops the datagrams may take
    --ipv4(-4)                # IPv4 only
    --ipv6(-6)                # IPv6 only
    --numeric(-n)             # Never look a name up in the DNS
    --opt(-o): string@"nu-complete sockctl udp-send opt" # Set a socket option (see `sockctl opts`); may be given several times
    --timeout(-w): string     # Bound on connecting, on a handshake and on each reply; 0: none
    --idle-timeout(-i): string # End a connection that is silent in both directions for this long; 0: never
    --deadline: string        # End the whole run after this long; 0: never
    --hex(-x): path           # Dump both directions in hex to FILE (`-`: stderr)
    --raw                     # Show strangers' text as it came, control characters and all
    --verbose(-v)             # Say more: connection detail
    --quiet(-q)               # Say nothing but errors
    --trace                   # Show every socket call as it is made
    --json                    # Write events and results as JSON, one object a line
    --color: string@"nu-complete sockctl udp-send color" # Colour what is shown
    --help(-h)                # Print help (see more with '--help')
    ...words: string          # Where to send to (HOST:PORT, [IPV6]:PORT, unix:PATH, unix:@NAME, PORT, or HOST PORT), then the texts
  ]

  def "nu-complete sockctl auth-serve digest" [] {
    [ "md5" "sha256" "sha512" ]
  }

  def "nu-complete sockctl auth-serve on_full" [] {
    [ "wait" "reject" ]
  }

  def "nu-complete sockctl auth-serve opt" [] {
    [ "SO_DEBUG" "SO_REUSEADDR" "SO_TYPE" "SO_ERROR" "SO_DONTROUTE" "SO_BROADCAST" "SO_SNDBUF" "SO_RCVBUF" "SO_KEEPALIVE" "SO_OOBINLINE" "SO_NO_CHECK" "SO_PRIORITY" "SO_LINGER" "SO_BSDCOMPAT" "SO_REUSEPORT" "SO_PASSCRED" "SO_PEERCRED" "SO_RCVLOWAT" "SO_SNDLOWAT" "SO_RCVTIMEO" "SO_SNDTIMEO" "SO_BINDTODEVICE" "SO_ATTACH_FILTER" "SO_DETACH_FILTER" "SO_PEERNAME" "SO_TIMESTAMP" "SO_ACCEPTCONN" "SO_PEERSEC" "SO_SNDBUFFORCE" "SO_RCVBUFFORCE" "SO_PASSSEC" "SO_TIMESTAMPNS" "SO_MARK" "SO_TIMESTAMPING" "SO_PROTOCOL" "SO_DOMAIN" "SO_RXQ_OVFL" "SO_WIFI_STATUS" "SO_PEEK_OFF" "SO_NOFCS" "SO_LOCK_FILTER" "SO_SELECT_ERR_QUEUE" "SO_BUSY_POLL" "SO_MAX_PACING_RATE" "SO_BPF_EXTENSIONS" "SO_INCOMING_CPU" "SO_ATTACH_BPF" "SO_ATTACH_REUSEPORT_CBPF" "SO_ATTACH_REUSEPORT_EBPF" "SO_CNX_ADVICE" "SO_MEMINFO" "SO_INCOMING_NAPI_ID" "SO_COOKIE" "SO_PEERGROUPS" "SO_ZEROCOPY" "SO_TXTIME" "SO_BINDTOIFINDEX" "SO_TIMESTAMP_NEW" "SO_TIMESTAMPNS_NEW" "SO_TIMESTAMPING_NEW" "SO_RCVTIMEO_NEW" "SO_SNDTIMEO_NEW" "SO_DETACH_REUSEPORT_BPF" "SO_PREFER_BUSY_POLL" "SO_BUSY_POLL_BUDGET" "SO_NETNS_COOKIE" "SO_BUF_LOCK" "SO_RESERVE_MEM" "SO_TXREHASH" "SO_RCVMARK" "SO_PASSPIDFD" "SO_RCVPRIORITY" "SO_PASSRIGHTS" "SO_INQ" "IP_TOS" "IP_TTL" "IP_HDRINCL" "IP_OPTIONS" "IP_ROUTER_ALERT" "IP_RECVOPTS" "IP_RETOPTS" "IP_PKTINFO" "IP_PKTOPTIONS" "IP_MTU_DISCOVER" "IP_RECVERR" "IP_RECVTTL" "IP_RECVTOS" "IP_MTU" "IP_FREEBIND" "IP_IPSEC_POLICY" "IP_XFRM_POLICY" "IP_PASSSEC" "IP_TRANSPARENT" "IP_RECVORIGDSTADDR" "IP_MINTTL" "IP_NODEFRAG" "IP_CHECKSUM" "IP_BIND_ADDRESS_NO_PORT" "IP_RECVFRAGSIZE" "IP_RECVERR_RFC4884" "IP_MULTICAST_IF" "IP_MULTICAST_TTL" "IP_MULTICAST_LOOP" "IP_ADD_MEMBERSHIP" "IP_DROP_MEMBERSHIP" "IP_UNBLOCK_SOURCE" "IP_BLOCK_SOURCE" "IP_ADD_SOURCE_MEMBERSHIP" "IP_DROP_SOURCE_MEMBERSHIP" "IP_MSFILTER" "MCAST_JOIN_GROUP" "MCAST_BLOCK_SOURCE" "MCAST_UNBLOCK_SOURCE" "MCAST_LEAVE_GROUP" "MCAST_JOIN_SOURCE_GROUP" "MCAST_LEAVE_SOURCE_GROUP" "MCAST_MSFILTER" "IP_MULTICAST_ALL" "IP_UNICAST_IF" "IP_LOCAL_PORT_RANGE" "IP_PROTOCOL" "SO_ORIGINAL_DST" "IPV6_ADDRFORM" "IPV6_2292PKTINFO" "IPV6_2292HOPOPTS" "IPV6_2292DSTOPTS" "IPV6_2292RTHDR" "IPV6_2292PKTOPTIONS" "IPV6_CHECKSUM" "IPV6_2292HOPLIMIT" "IPV6_NEXTHOP" "IPV6_AUTHHDR" "IPV6_FLOWINFO" "IPV6_UNICAST_HOPS" "IPV6_MULTICAST_IF" "IPV6_MULTICAST_HOPS" "IPV6_MULTICAST_LOOP" "IPV6_ADD_MEMBERSHIP" "IPV6_DROP_MEMBERSHIP" "IPV6_ROUTER_ALERT" "IPV6_MTU_DISCOVER" "IPV6_MTU" "IPV6_RECVERR" "IPV6_V6ONLY" "IPV6_JOIN_ANYCAST" "IPV6_LEAVE_ANYCAST" "IPV6_MULTICAST_ALL" "IPV6_ROUTER_ALERT_ISOLATE" "IPV6_RECVERR_RFC4884" "IPV6_FLOWLABEL_MGR" "IPV6_FLOWINFO_SEND" "IPV6_IPSEC_POLICY" "IPV6_XFRM_POLICY" "IPV6_HDRINCL" "IPV6_RECVPKTINFO" "IPV6_PKTINFO" "IPV6_RECVHOPLIMIT" "IPV6_HOPLIMIT" "IPV6_RECVHOPOPTS" "IPV6_HOPOPTS" "IPV6_RTHDRDSTOPTS" "IPV6_RECVRTHDR" "IPV6_RTHDR" "IPV6_RECVDSTOPTS" "IPV6_DSTOPTS" "IPV6_RECVPATHMTU" "IPV6_PATHMTU" "IPV6_DONTFRAG" "IPV6_RECVTCLASS" "IPV6_TCLASS" "IPV6_AUTOFLOWLABEL" "IPV6_ADDR_PREFERENCES" "IPV6_MINHOPCOUNT" "IPV6_RECVORIGDSTADDR" "IPV6_TRANSPARENT" "IPV6_UNICAST_IF" "IPV6_RECVFRAGSIZE" "IPV6_FREEBIND" "IP6T_SO_ORIGINAL_DST" "TCP_NODELAY" "TCP_MAXSEG" "TCP_CORK" "TCP_KEEPIDLE" "TCP_KEEPINTVL" "TCP_KEEPCNT" "TCP_SYNCNT" "TCP_LINGER2" "TCP_DEFER_ACCEPT" "TCP_WINDOW_CLAMP" "TCP_INFO" "TCP_QUICKACK" "TCP_CONGESTION" "TCP_MD5SIG" "TCP_THIN_LINEAR_TIMEOUTS" "TCP_THIN_DUPACK" "TCP_USER_TIMEOUT" "TCP_REPAIR" "TCP_REPAIR_QUEUE" "TCP_QUEUE_SEQ" "TCP_REPAIR_OPTIONS" "TCP_FASTOPEN" "TCP_TIMESTAMP" "TCP_NOTSENT_LOWAT" "TCP_CC_INFO" "TCP_SAVE_SYN" "TCP_SAVED_SYN" "TCP_REPAIR_WINDOW" "TCP_FASTOPEN_CONNECT" "TCP_ULP" "TCP_MD5SIG_EXT" "TCP_FASTOPEN_KEY" "TCP_FASTOPEN_NO_COOKIE" "TCP_INQ" "TCP_TX_DELAY" "TCP_AO_ADD_KEY" "TCP_AO_DEL_KEY" "TCP_AO_INFO" "TCP_AO_REPAIR" "TCP_IS_MPTCP" "TCP_RTO_MAX_MS" "TCP_RTO_MIN_US" "TCP_DELACK_MAX_US" "UDP_CORK" "UDP_ENCAP" "UDP_NO_CHECK6_TX" "UDP_NO_CHECK6_RX" "UDP_SEGMENT" "UDP_GRO" ]
  }

  def "nu-complete sockctl auth-serve color" [] {
    [ "auto" "always" "never" ]
  }

  # Serve clients that prove they hold the key, and nobody else
  export extern "sockctl auth-serve" [
    --digest: string@"nu-complete sockctl auth-serve digest" # Prove the key with HMAC over this digest, in the clear, as the notes do: md5, sha256 or sha512
    --python                  # Talk to Python's multiprocessing.connection: a line is one `send_bytes` (with --raw, a chunk)
    --context: string         # What the encrypted session is for: both sides must say the same
    --key-file: path          # The key, byte for byte, less one newline at its end; or one sockctl-key-1 line
    --key-fd: string          # Read the key from this descriptor
    --create-key: string      # Write a new random key to --key-file and exit
    --keys: path              # Keys, one NAME:KEY a line
    --no-penalty              # Do not slow down addresses that send wrong proofs
    --room                    # A chat room, with you as the member `server`
    --echo                    # Return what comes
    --discard                 # Swallow what comes
    --reply: string           # Send TEXT, then end our side
    --sh: string              # Run COMMAND with /bin/sh; the client is its stdin and stdout
    --once                    # Serve the first connection that is let in, then exit with its status
    --max-conns(-m): string   # Connections at a time
    --on-full: string@"nu-complete sockctl auth-serve on_full" # What becomes of a connection too many
    --per-ip: string          # Connections from one address at a time; an IPv6 /64 is one
    --allow: string           # Let in only these: a CIDR, an address, or @FILE with one a line; may be given several times
    --deny: string            # Never let these in, whatever is allowed; may be given several times
    --accept-proxy: string    # Believe PROXY headers (v1, v2) from these, and require them; may be given several times
    --grace: string           # How long stopping may take; 0: at once
    --backlog: string         # Connections the kernel queues before they are accepted
    --reuse-port              # Share the port with other servers that do so too (`SO_REUSEPORT`)
    --mode: string            # Who may use a UNIX path, in octal (0660); otherwise the umask decides
    --systemd                 # Take the listening socket from the service manager (systemd socket activation)
    --port-file: path         # Write the port to FILE once it listens
    --timestamps              # Show the local time before each line
    --bell                    # Ring when a line is for you: private, or with your name in it, or in a talk of two
    --history: path           # Keep the prompt's history in FILE
    --ipv4(-4)                # IPv4 only
    --ipv6(-6)                # IPv6 only
    --numeric(-n)             # Never look a name up in the DNS
    --opt(-o): string@"nu-complete sockctl auth-serve opt" # Set a socket option (see `sockctl opts`); may be given several times
    --timeout(-w): string     # Bound on connecting, on a handshake and on each reply; 0: none
    --idle-timeout(-i): string # End a connection that is silent in both directions for this long; 0: never
    --deadline: string        # End the whole run after this long; 0: never
    --hex(-x): path           # Dump both directions in hex to FILE (`-`: stderr)
    --raw                     # Show strangers' text as it came, control characters and all
    --verbose(-v)             # Say more: connection detail
    --quiet(-q)               # Say nothing but errors
    --trace                   # Show every socket call as it is made
    --json                    # Write events and results as JSON, one object a line
    --color: string@"nu-complete sockctl auth-serve color" # Colour what is shown
    --help(-h)                # Print help (see more with '--help')
    ...address: string        # Where to listen: HOST:PORT, [IPV6]:PORT, *:PORT, unix:PATH, unix:@NAME, PORT, or HOST PORT
  ]

  def "nu-complete sockctl auth-connect digest" [] {
    [ "md5" "sha256" "sha512" ]
  }

  def "nu-complete sockctl auth-connect opt" [] {
    [ "SO_DEBUG" "SO_REUSEADDR" "SO_TYPE" "SO_ERROR" "SO_DONTROUTE" "SO_BROADCAST" "SO_SNDBUF" "SO_RCVBUF" "SO_KEEPALIVE" "SO_OOBINLINE" "SO_NO_CHECK" "SO_PRIORITY" "SO_LINGER" "SO_BSDCOMPAT" "SO_REUSEPORT" "SO_PASSCRED" "SO_PEERCRED" "SO_RCVLOWAT" "SO_SNDLOWAT" "SO_RCVTIMEO" "SO_SNDTIMEO" "SO_BINDTODEVICE" "SO_ATTACH_FILTER" "SO_DETACH_FILTER" "SO_PEERNAME" "SO_TIMESTAMP" "SO_ACCEPTCONN" "SO_PEERSEC" "SO_SNDBUFFORCE" "SO_RCVBUFFORCE" "SO_PASSSEC" "SO_TIMESTAMPNS" "SO_MARK" "SO_TIMESTAMPING" "SO_PROTOCOL" "SO_DOMAIN" "SO_RXQ_OVFL" "SO_WIFI_STATUS" "SO_PEEK_OFF" "SO_NOFCS" "SO_LOCK_FILTER" "SO_SELECT_ERR_QUEUE" "SO_BUSY_POLL" "SO_MAX_PACING_RATE" "SO_BPF_EXTENSIONS" "SO_INCOMING_CPU" "SO_ATTACH_BPF" "SO_ATTACH_REUSEPORT_CBPF" "SO_ATTACH_REUSEPORT_EBPF" "SO_CNX_ADVICE" "SO_MEMINFO" "SO_INCOMING_NAPI_ID" "SO_COOKIE" "SO_PEERGROUPS" "SO_ZEROCOPY" "SO_TXTIME" "SO_BINDTOIFINDEX" "SO_TIMESTAMP_NEW" "SO_TIMESTAMPNS_NEW" "SO_TIMESTAMPING_NEW" "SO_RCVTIMEO_NEW" "SO_SNDTIMEO_NEW" "SO_DETACH_REUSEPORT_BPF" "SO_PREFER_BUSY_POLL" "SO_BUSY_POLL_BUDGET" "SO_NETNS_COOKIE" "SO_BUF_LOCK" "SO_RESERVE_MEM" "SO_TXREHASH" "SO_RCVMARK" "SO_PASSPIDFD" "SO_RCVPRIORITY" "SO_PASSRIGHTS" "SO_INQ" "IP_TOS" "IP_TTL" "IP_HDRINCL" "IP_OPTIONS" "IP_ROUTER_ALERT" "IP_RECVOPTS" "IP_RETOPTS" "IP_PKTINFO" "IP_PKTOPTIONS" "IP_MTU_DISCOVER" "IP_RECVERR" "IP_RECVTTL" "IP_RECVTOS" "IP_MTU" "IP_FREEBIND" "IP_IPSEC_POLICY" "IP_XFRM_POLICY" "IP_PASSSEC" "IP_TRANSPARENT" "IP_RECVORIGDSTADDR" "IP_MINTTL" "IP_NODEFRAG" "IP_CHECKSUM" "IP_BIND_ADDRESS_NO_PORT" "IP_RECVFRAGSIZE" "IP_RECVERR_RFC4884" "IP_MULTICAST_IF" "IP_MULTICAST_TTL" "IP_MULTICAST_LOOP" "IP_ADD_MEMBERSHIP" "IP_DROP_MEMBERSHIP" "IP_UNBLOCK_SOURCE" "IP_BLOCK_SOURCE" "IP_ADD_SOURCE_MEMBERSHIP" "IP_DROP_SOURCE_MEMBERSHIP" "IP_MSFILTER" "MCAST_JOIN_GROUP" "MCAST_BLOCK_SOURCE" "MCAST_UNBLOCK_SOURCE" "MCAST_LEAVE_GROUP" "MCAST_JOIN_SOURCE_GROUP" "MCAST_LEAVE_SOURCE_GROUP" "MCAST_MSFILTER" "IP_MULTICAST_ALL" "IP_UNICAST_IF" "IP_LOCAL_PORT_RANGE" "IP_PROTOCOL" "SO_ORIGINAL_DST" "IPV6_ADDRFORM" "IPV6_2292PKTINFO" "IPV6_2292HOPOPTS" "IPV6_2292DSTOPTS" "IPV6_2292RTHDR" "IPV6_2292PKTOPTIONS" "IPV6_CHECKSUM" "IPV6_2292HOPLIMIT" "IPV6_NEXTHOP" "IPV6_AUTHHDR" "IPV6_FLOWINFO" "IPV6_UNICAST_HOPS" "IPV6_MULTICAST_IF" "IPV6_MULTICAST_HOPS" "IPV6_MULTICAST_LOOP" "IPV6_ADD_MEMBERSHIP" "IPV6_DROP_MEMBERSHIP" "IPV6_ROUTER_ALERT" "IPV6_MTU_DISCOVER" "IPV6_MTU" "IPV6_RECVERR" "IPV6_V6ONLY" "IPV6_JOIN_ANYCAST" "IPV6_LEAVE_ANYCAST" "IPV6_MULTICAST_ALL" "IPV6_ROUTER_ALERT_ISOLATE" "IPV6_RECVERR_RFC4884" "IPV6_FLOWLABEL_MGR" "IPV6_FLOWINFO_SEND" "IPV6_IPSEC_POLICY" "IPV6_XFRM_POLICY" "IPV6_HDRINCL" "IPV6_RECVPKTINFO" "IPV6_PKTINFO" "IPV6_RECVHOPLIMIT" "IPV6_HOPLIMIT" "IPV6_RECVHOPOPTS" "IPV6_HOPOPTS" "IPV6_RTHDRDSTOPTS" "IPV6_RECVRTHDR" "IPV6_RTHDR" "IPV6_RECVDSTOPTS" "IPV6_DSTOPTS" "IPV6_RECVPATHMTU" "IPV6_PATHMTU" "IPV6_DONTFRAG" "IPV6_RECVTCLASS" "IPV6_TCLASS" "IPV6_AUTOFLOWLABEL" "IPV6_ADDR_PREFERENCES" "IPV6_MINHOPCOUNT" "IPV6_RECVORIGDSTADDR" "IPV6_TRANSPARENT" "IPV6_UNICAST_IF" "IPV6_RECVFRAGSIZE" "IPV6_FREEBIND" "IP6T_SO_ORIGINAL_DST" "TCP_NODELAY" "TCP_MAXSEG" "TCP_CORK" "TCP_KEEPIDLE" "TCP_KEEPINTVL" "TCP_KEEPCNT" "TCP_SYNCNT" "TCP_LINGER2" "TCP_DEFER_ACCEPT" "TCP_WINDOW_CLAMP" "TCP_INFO" "TCP_QUICKACK" "TCP_CONGESTION" "TCP_MD5SIG" "TCP_THIN_LINEAR_TIMEOUTS" "TCP_THIN_DUPACK" "TCP_USER_TIMEOUT" "TCP_REPAIR" "TCP_REPAIR_QUEUE" "TCP_QUEUE_SEQ" "TCP_REPAIR_OPTIONS" "TCP_FASTOPEN" "TCP_TIMESTAMP" "TCP_NOTSENT_LOWAT" "TCP_CC_INFO" "TCP_SAVE_SYN" "TCP_SAVED_SYN" "TCP_REPAIR_WINDOW" "TCP_FASTOPEN_CONNECT" "TCP_ULP" "TCP_MD5SIG_EXT" "TCP_FASTOPEN_KEY" "TCP_FASTOPEN_NO_COOKIE" "TCP_INQ" "TCP_TX_DELAY" "TCP_AO_ADD_KEY" "TCP_AO_DEL_KEY" "TCP_AO_INFO" "TCP_AO_REPAIR" "TCP_IS_MPTCP" "TCP_RTO_MAX_MS" "TCP_RTO_MIN_US" "TCP_DELACK_MAX_US" "UDP_CORK" "UDP_ENCAP" "UDP_NO_CHECK6_TX" "UDP_NO_CHECK6_RX" "UDP_SEGMENT" "UDP_GRO" ]
  }

  def "nu-complete sockctl auth-connect color" [] {
    [ "auto" "always" "never" ]
  }

  # Connect to a server that asks for proof of the key, encrypted both ways
  export extern "sockctl auth-connect" [
    --digest: string@"nu-complete sockctl auth-connect digest" # Prove the key with HMAC over this digest, in the clear, as the notes do: md5, sha256 or sha512
    --python                  # Talk to Python's multiprocessing.connection: a line is one `send_bytes` (with --raw, a chunk)
    --context: string         # What the encrypted session is for: both sides must say the same
    --key-file: path          # The key, byte for byte, less one newline at its end; or one sockctl-key-1 line
    --key-fd: string          # Read the key from this descriptor
    --create-key: string      # Write a new random key to --key-file and exit
    --crlf(-C)                # Send a CR before each newline, where it is missing
    --no-newline              # At the prompt, send lines without a newline
    --send-only               # Only send: what comes is dropped
    --recv-only               # Only receive: stdin is not read
    --max-bytes: string       # End after SIZE bytes have come
    --no-half-close           # Do not pass the end of stdin on to the peer
    --linger: string          # How long to wait for the peer's end after ours [default: 1s at the prompt, else no limit]
    --wait: string            # Keep trying to connect for this long: refused, unreachable, no such name
    --send: string            # Send TEXT (escapes, or @FILE); steps are done in the order given
    --expect: string          # Wait until REGEX, over bytes, matches what comes; else exit with 8
    --expect-eof              # Wait until the peer ends; else exit with 8
    --progress                # Show how much was moved, on stderr if that is a terminal
    --tcp-info                # At the end, tell how the TCP connection fared: round trips, retransmits, window, rate
    --source(-s): string      # Connect from this address
    --proxy: string           # Connect through a proxy, which looks the name up: socks5://[USER@]HOST:PORT or http://[USER@]HOST:PORT
    --proxy-password-file: path # The proxy's password, less one newline at its end; or set `SOCKCTL_PROXY_PASSWORD`
    --send-proxy: string      # Send a PROXY protocol header first, which says where the connection comes from
    --timestamps              # Show the local time before each line
    --bell                    # Ring when a line is for you: private, or with your name in it, or in a talk of two
    --history: path           # Keep the prompt's history in FILE
    --ipv4(-4)                # IPv4 only
    --ipv6(-6)                # IPv6 only
    --numeric(-n)             # Never look a name up in the DNS
    --opt(-o): string@"nu-complete sockctl auth-connect opt" # Set a socket option (see `sockctl opts`); may be given several times
    --timeout(-w): string     # Bound on connecting, on a handshake and on each reply; 0: none
    --idle-timeout(-i): string # End a connection that is silent in both directions for this long; 0: never
    --deadline: string        # End the whole run after this long; 0: never
    --hex(-x): path           # Dump both directions in hex to FILE (`-`: stderr)
    --raw                     # Show strangers' text as it came, control characters and all
    --verbose(-v)             # Say more: connection detail
    --quiet(-q)               # Say nothing but errors
    --trace                   # Show every socket call as it is made
    --json                    # Write events and results as JSON, one object a line
    --color: string@"nu-complete sockctl auth-connect color" # Colour what is shown
    --help(-h)                # Print help (see more with '--help')
    ...address: string        # Where to connect: HOST:PORT, [IPV6]:PORT, unix:PATH, unix:@NAME, PORT, or HOST PORT
  ]

  def "nu-complete sockctl opts words" [] {
    [ "SO_DEBUG" "SO_REUSEADDR" "SO_TYPE" "SO_ERROR" "SO_DONTROUTE" "SO_BROADCAST" "SO_SNDBUF" "SO_RCVBUF" "SO_KEEPALIVE" "SO_OOBINLINE" "SO_NO_CHECK" "SO_PRIORITY" "SO_LINGER" "SO_BSDCOMPAT" "SO_REUSEPORT" "SO_PASSCRED" "SO_PEERCRED" "SO_RCVLOWAT" "SO_SNDLOWAT" "SO_RCVTIMEO" "SO_SNDTIMEO" "SO_BINDTODEVICE" "SO_ATTACH_FILTER" "SO_DETACH_FILTER" "SO_PEERNAME" "SO_TIMESTAMP" "SO_ACCEPTCONN" "SO_PEERSEC" "SO_SNDBUFFORCE" "SO_RCVBUFFORCE" "SO_PASSSEC" "SO_TIMESTAMPNS" "SO_MARK" "SO_TIMESTAMPING" "SO_PROTOCOL" "SO_DOMAIN" "SO_RXQ_OVFL" "SO_WIFI_STATUS" "SO_PEEK_OFF" "SO_NOFCS" "SO_LOCK_FILTER" "SO_SELECT_ERR_QUEUE" "SO_BUSY_POLL" "SO_MAX_PACING_RATE" "SO_BPF_EXTENSIONS" "SO_INCOMING_CPU" "SO_ATTACH_BPF" "SO_ATTACH_REUSEPORT_CBPF" "SO_ATTACH_REUSEPORT_EBPF" "SO_CNX_ADVICE" "SO_MEMINFO" "SO_INCOMING_NAPI_ID" "SO_COOKIE" "SO_PEERGROUPS" "SO_ZEROCOPY" "SO_TXTIME" "SO_BINDTOIFINDEX" "SO_TIMESTAMP_NEW" "SO_TIMESTAMPNS_NEW" "SO_TIMESTAMPING_NEW" "SO_RCVTIMEO_NEW" "SO_SNDTIMEO_NEW" "SO_DETACH_REUSEPORT_BPF" "SO_PREFER_BUSY_POLL" "SO_BUSY_POLL_BUDGET" "SO_NETNS_COOKIE" "SO_BUF_LOCK" "SO_RESERVE_MEM" "SO_TXREHASH" "SO_RCVMARK" "SO_PASSPIDFD" "SO_RCVPRIORITY" "SO_PASSRIGHTS" "SO_INQ" "IP_TOS" "IP_TTL" "IP_HDRINCL" "IP_OPTIONS" "IP_ROUTER_ALERT" "IP_RECVOPTS" "IP_RETOPTS" "IP_PKTINFO" "IP_PKTOPTIONS" "IP_MTU_DISCOVER" "IP_RECVERR" "IP_RECVTTL" "IP_RECVTOS" "IP_MTU" "IP_FREEBIND" "IP_IPSEC_POLICY" "IP_XFRM_POLICY" "IP_PASSSEC" "IP_TRANSPARENT" "IP_RECVORIGDSTADDR" "IP_MINTTL" "IP_NODEFRAG" "IP_CHECKSUM" "IP_BIND_ADDRESS_NO_PORT" "IP_RECVFRAGSIZE" "IP_RECVERR_RFC4884" "IP_MULTICAST_IF" "IP_MULTICAST_TTL" "IP_MULTICAST_LOOP" "IP_ADD_MEMBERSHIP" "IP_DROP_MEMBERSHIP" "IP_UNBLOCK_SOURCE" "IP_BLOCK_SOURCE" "IP_ADD_SOURCE_MEMBERSHIP" "IP_DROP_SOURCE_MEMBERSHIP" "IP_MSFILTER" "MCAST_JOIN_GROUP" "MCAST_BLOCK_SOURCE" "MCAST_UNBLOCK_SOURCE" "MCAST_LEAVE_GROUP" "MCAST_JOIN_SOURCE_GROUP" "MCAST_LEAVE_SOURCE_GROUP" "MCAST_MSFILTER" "IP_MULTICAST_ALL" "IP_UNICAST_IF" "IP_LOCAL_PORT_RANGE" "IP_PROTOCOL" "SO_ORIGINAL_DST" "IPV6_ADDRFORM" "IPV6_2292PKTINFO" "IPV6_2292HOPOPTS" "IPV6_2292DSTOPTS" "IPV6_2292RTHDR" "IPV6_2292PKTOPTIONS" "IPV6_CHECKSUM" "IPV6_2292HOPLIMIT" "IPV6_NEXTHOP" "IPV6_AUTHHDR" "IPV6_FLOWINFO" "IPV6_UNICAST_HOPS" "IPV6_MULTICAST_IF" "IPV6_MULTICAST_HOPS" "IPV6_MULTICAST_LOOP" "IPV6_ADD_MEMBERSHIP" "IPV6_DROP_MEMBERSHIP" "IPV6_ROUTER_ALERT" "IPV6_MTU_DISCOVER" "IPV6_MTU" "IPV6_RECVERR" "IPV6_V6ONLY" "IPV6_JOIN_ANYCAST" "IPV6_LEAVE_ANYCAST" "IPV6_MULTICAST_ALL" "IPV6_ROUTER_ALERT_ISOLATE" "IPV6_RECVERR_RFC4884" "IPV6_FLOWLABEL_MGR" "IPV6_FLOWINFO_SEND" "IPV6_IPSEC_POLICY" "IPV6_XFRM_POLICY" "IPV6_HDRINCL" "IPV6_RECVPKTINFO" "IPV6_PKTINFO" "IPV6_RECVHOPLIMIT" "IPV6_HOPLIMIT" "IPV6_RECVHOPOPTS" "IPV6_HOPOPTS" "IPV6_RTHDRDSTOPTS" "IPV6_RECVRTHDR" "IPV6_RTHDR" "IPV6_RECVDSTOPTS" "IPV6_DSTOPTS" "IPV6_RECVPATHMTU" "IPV6_PATHMTU" "IPV6_DONTFRAG" "IPV6_RECVTCLASS" "IPV6_TCLASS" "IPV6_AUTOFLOWLABEL" "IPV6_ADDR_PREFERENCES" "IPV6_MINHOPCOUNT" "IPV6_RECVORIGDSTADDR" "IPV6_TRANSPARENT" "IPV6_UNICAST_IF" "IPV6_RECVFRAGSIZE" "IPV6_FREEBIND" "IP6T_SO_ORIGINAL_DST" "TCP_NODELAY" "TCP_MAXSEG" "TCP_CORK" "TCP_KEEPIDLE" "TCP_KEEPINTVL" "TCP_KEEPCNT" "TCP_SYNCNT" "TCP_LINGER2" "TCP_DEFER_ACCEPT" "TCP_WINDOW_CLAMP" "TCP_INFO" "TCP_QUICKACK" "TCP_CONGESTION" "TCP_MD5SIG" "TCP_THIN_LINEAR_TIMEOUTS" "TCP_THIN_DUPACK" "TCP_USER_TIMEOUT" "TCP_REPAIR" "TCP_REPAIR_QUEUE" "TCP_QUEUE_SEQ" "TCP_REPAIR_OPTIONS" "TCP_FASTOPEN" "TCP_TIMESTAMP" "TCP_NOTSENT_LOWAT" "TCP_CC_INFO" "TCP_SAVE_SYN" "TCP_SAVED_SYN" "TCP_REPAIR_WINDOW" "TCP_FASTOPEN_CONNECT" "TCP_ULP" "TCP_MD5SIG_EXT" "TCP_FASTOPEN_KEY" "TCP_FASTOPEN_NO_COOKIE" "TCP_INQ" "TCP_TX_DELAY" "TCP_AO_ADD_KEY" "TCP_AO_DEL_KEY" "TCP_AO_INFO" "TCP_AO_REPAIR" "TCP_IS_MPTCP" "TCP_RTO_MAX_MS" "TCP_RTO_MIN_US" "TCP_DELACK_MAX_US" "UDP_CORK" "UDP_ENCAP" "UDP_NO_CHECK6_TX" "UDP_NO_CHECK6_RX" "UDP_SEGMENT" "UDP_GRO" ]
  }

  def "nu-complete sockctl opts state" [] {
    [ "unbound" "bound" "listening" "connected" ]
  }

  def "nu-complete sockctl opts color" [] {
    [ "auto" "always" "never" ]
  }

  # Show socket options, or set them and show what became of it: of a fresh socket, a connection, or another process
  export extern "sockctl opts" [
    --udp                     # Of a UDP socket instead of a TCP one
    --unix                    # Of a UNIX socket
    --state: string@"nu-complete sockctl opts state" # Of a fresh socket in this state
    --connect: string         # Of a connection to ADDRESS, with its addresses, mode and timeouts
    --pid: string             # The sockets of a running process
    --fd: string              # Of that process, the socket with this descriptor
    --port: string            # The sockets of whatever process listens on this port (with --udp: is bound to it)
    --changed                 # Only what differs from a fresh socket
    --ipv4(-4)                # IPv4 only
    --ipv6(-6)                # IPv6 only
    --numeric(-n)             # Never look a name up in the DNS
    --timeout(-w): string     # Bound on connecting; 0: none
    --verbose(-v)             # Say more: connection detail
    --quiet(-q)               # Say nothing but errors
    --trace                   # Show every socket call as it is made
    --json                    # Write events and results as JSON, one object a line
    --color: string@"nu-complete sockctl opts color" # Colour what is shown
    --help(-h)                # Print help (see more with '--help')
    ...words: string@"nu-complete sockctl opts words" # Options to show, or to set; all of the socket, without any. LEVEL:NUMBER[=HEX] for one without a name
  ]

}

export use completions *
