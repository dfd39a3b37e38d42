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
    --tls                     # Encrypt with TLS; without --tls-cert a certificate is made for this run, and its pin is shown
    --create-cert: string     # Write a new key, and a certificate for these names and IP addresses, to --tls-cert and exit
    --tls-ca: path            # Require client certificates that a CA (PEM) in FILE has signed
    --tls-cert: path          # Present the certificate chain (PEM) in FILE, which also has the key if there is no --tls-key
    --tls-key: path           # Read the certificate's private key (PEM) from FILE, which only its owner may read
    --tls-alpn: string        # Offer this protocol (ALPN); repeatable, the best first
    --port(-p): string        # Listen on this port; the ADDRESS is a HOST then, or left out
    --room                    # Run a chat room, with you as the member `server`; --log FILE has what is said to all
    --recall: string          # With --room: give newcomers the last N lines that were said to all, with their times; 1 MiB at most
    --bridge: string          # With --room: share the room with other servers through Redis or Valkey: redis://[USER:PASSWORD@]HOST[:PORT][/DB][?room=NAME], rediss://… or unix:PATH
    --broker                  # Pass the bytes of each client on to all others, as they are; one that 1 MiB waits for is cut off
    --echo                    # Echo all input back
    --discard                 # Discard all input
    --reply: string           # Send TEXT, then close the sending side
    --when: string            # Answer each match of REGEX, over bytes, in what comes with TEXT; repeatable: the leftmost match counts, and of equals the first rule
    --to: string              # Relay each client to TARGET: an ADDRESS, tls:HOST:PORT or auth:HOST:PORT; repeatable: tried in order until one accepts
    --source(-s): string      # With --to: connect to the target from this address
    --wait: string            # With --to: try the targets again for this long, while the client waits
    --send-proxy: string      # With --to: announce the client to the target with a PROXY header
    --to-tls-ca: path         # With --to tls:…: trust the certificates (PEM) in FILE, and what they have signed
    --to-tls-pin: string      # With --to tls:…: trust this key alone
    --to-key-file: path       # With --to auth:…: read the key from FILE
    --to-context: string      # With --to auth:…: bind the encrypted session to TEXT
    --delay: string           # With --to: add this much latency in each direction (data, FIN and RST); --rate limits the bandwidth
    --cut: string             # With --to: reset both connections after SIZE bytes from the target
    --send: string            # Send TEXT (escapes, or @FILE); steps are done in the order given
    --send-hex: string        # Send the bytes that HEX stands for (blanks and colons are allowed)
    --expect: string          # Wait until REGEX, over bytes, matches received data; else fail with 8
    --expect-eof              # Wait until the peer ends; else fail with 8
    --pause: string           # Wait this long
    --starttls                # Begin TLS (STARTTLS): the steps behind it are encrypted; see --tls-ca and --tls-cert
    --reset                   # Reset the connection (RST); the last step
    --rate: string            # Send at most SIZE bytes a second; with --to, in each direction of a pair
    --sh: string              # Run COMMAND with /bin/sh for each client, as its stdin and stdout
    --crlf(-C)                # Send CRLF line ends: add the CR where it is missing
    --send-only               # Only send: drop received data
    --recv-only               # Only receive: do not read stdin
    --no-half-close           # Do not close the sending side when stdin ends
    --once                    # Exit with the status of the first accepted connection, with 1 if its program fails
    --max-conns(-m): string   # Maximum number of connections at a time
    --on-full: string@"nu-complete sockctl serve on_full" # What to do with connections beyond --max-conns
    --per-ip: string          # Maximum number of connections per address (IPv6: per /64)
    --allow: string           # Accept only these clients: a CIDR, an address, a host name, or @FILE with one per line; repeatable; SIGHUP has them read again
    --deny: string            # Refuse these clients, even if --allow names them; repeatable
    --accept-proxy: string    # Require PROXY headers (v1, v2) from these proxies, and trust them; repeatable
    --grace: string           # How long to wait for connections when stopping; 0 cuts them at once
    --backlog: string         # Length of the queue of connections not yet accepted
    --reuse-port              # Share the port with other servers (`SO_REUSEPORT`)
    --mode: string            # Permissions of a UNIX path, in octal (0660); the umask decides by default
    --systemd                 # Take the listening sockets from the service manager (systemd socket activation)
    --port-file: path         # Write the port to FILE, which is there only while this server listens
    --timestamps              # Show the local time before each line; in a pipe, before each line that is received
    --bell                    # Ring the bell on private messages, mentions, and in one-to-one chats
    --history: path           # Keep the prompt's history in FILE
    --ipv4(-4)                # Use IPv4 only
    --ipv6(-6)                # Use IPv6 only
    --numeric(-n)             # Do not resolve names: numeric addresses only
    --opt(-o): string@"nu-complete sockctl serve opt" # Set a socket option (see `sockctl opts`); repeatable
    --timeout(-w): string     # Timeout for connecting, for a handshake and for each reply; 0 disables it
    --idle-timeout(-i): string # Close a connection after this long without data in either direction; 0 disables it
    --deadline: string        # Exit after this long, whatever is going on; 0 disables it
    --hex(-x): path           # Write a hex dump of both directions to FILE; +FILE appends, %i is the connection's number, `-` is stderr
    --log: path               # Write both directions to FILE as text, with the time and `<` or `>` before each line; +FILE appends, %i is the connection's number, `-` is stderr
    --raw                     # Print received text unescaped, control characters included
    --verbose(-v)             # Show connection details
    --quiet(-q)               # Show errors only
    --trace                   # Show every socket call
    --json                    # Write events and results as JSON, one object per line
    --color: string@"nu-complete sockctl serve color" # When to use colour
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
    --check(-z)               # Check whether all ADDRESSes are open; PORT may be a list (22,80,8000-8100). With --tls also whether they are trusted: prints names, days left and pin of the certificate, or why not (9)
    --any                     # With -z: succeed once one of the ADDRESSes is open
    --closed                  # With -z: succeed if nothing listens at the ADDRESSes (any more); one that is open: 8
    --expires-within: string  # With -z --tls: fail (9) if a certificate expires within this time, such as 14d
    --tls                     # Encrypt with TLS, and check the server's certificate
    --tls-name: string        # Send NAME (SNI) and check the certificate for it, instead of the ADDRESS's host
    --tls-ca: path            # Trust the CAs and certificates (PEM) in FILE instead of the system's roots
    --tls-pin: string         # Trust only this key: sha256//BASE64 of the public key, or the hex SHA-256 fingerprint of the certificate
    --tls-insecure            # Do not check the certificate: anyone on the way can read and change everything
    --tls-cert: path          # Present the certificate chain (PEM) in FILE, which also has the key if there is no --tls-key
    --tls-key: path           # Read the certificate's private key (PEM) from FILE, which only its owner may read
    --tls-alpn: string        # Offer this protocol (ALPN); repeatable, the best first
    --crlf(-C)                # Send CRLF line ends: add the CR where it is missing
    --send-only               # Only send: drop received data
    --recv-only               # Only receive: do not read stdin
    --no-half-close           # Do not close the sending side when stdin ends
    --no-newline              # Send the lines of the prompt without a newline
    --max-bytes: string       # Exit after receiving SIZE bytes
    --linger: string          # How long to keep receiving after we are done [default: 1s at the prompt, until a second of silence behind a program, else no limit]
    --wait: string            # Retry for this long while connecting fails (refused, unreachable, no such name) or, with steps, while the connection ends before its first byte; a certificate that is not trusted ends it at once
    --reconnect: string       # Connect again whenever the connection ends, breaks or fails, pausing 1s, 2s, 4s and so on, at most DUR [default: 30s]; --wait bounds each absence. In a pipe stdin waits meanwhile, and its end is the end. A key or certificate that is rejected (9) ends it
    --nick: string            # Send `/nick NAME` first on every connection: our name in a room
    --send: string            # Send TEXT (escapes, or @FILE); steps are done in the order given
    --send-hex: string        # Send the bytes that HEX stands for (blanks and colons are allowed)
    --expect: string          # Wait until REGEX, over bytes, matches received data; else fail with 8
    --expect-eof              # Wait until the peer ends; else fail with 8
    --pause: string           # Wait this long
    --starttls                # Begin TLS (STARTTLS): the steps behind it are encrypted; see --tls-ca and --tls-cert
    --reset                   # Reset the connection (RST); the last step
    --rate: string            # Send at most SIZE bytes a second
    --count: string           # Repeat the steps N times, each time on a connection of its own, and print a summary of their times; with -z: check N times, with a line each and a summary at the end (with --tls the times include the handshake)
    --parallel: string        # Keep M of them under way at a time
    --interval: string        # Begin one at most every DUR [default: 1s with -z]
    --progress                # Show a progress line, if stderr is a terminal
    --tcp-info                # Report TCP statistics at the end: round trips, retransmits, window, rate
    --source(-s): string      # Connect or send from this address
    --source-port(-p): string # Connect or send from this port
    --proxy: string           # Connect through a proxy, which resolves the name: socks5://[USER@]HOST:PORT or http://[USER@]HOST:PORT
    --proxy-password-file: path # Read the proxy's password from FILE (one trailing newline is dropped); or set `SOCKCTL_PROXY_PASSWORD`
    --send-proxy: string      # Send a PROXY protocol header, with the addresses of the connection, first
    --timestamps              # Show the local time before each line; in a pipe, before each line that is received
    --bell                    # Ring the bell on private messages, mentions, and in one-to-one chats
    --history: path           # Keep the prompt's history in FILE
    --ipv4(-4)                # Use IPv4 only
    --ipv6(-6)                # Use IPv6 only
    --numeric(-n)             # Do not resolve names: numeric addresses only
    --opt(-o): string@"nu-complete sockctl connect opt" # Set a socket option (see `sockctl opts`); repeatable
    --timeout(-w): string     # Timeout for connecting, for a handshake and for each reply; 0 disables it
    --idle-timeout(-i): string # Close a connection after this long without data in either direction; 0 disables it
    --deadline: string        # Exit after this long, whatever is going on; 0 disables it
    --hex(-x): path           # Write a hex dump of both directions to FILE; +FILE appends, %i is the connection's number, `-` is stderr
    --log: path               # Write both directions to FILE as text, with the time and `<` or `>` before each line; +FILE appends, %i is the connection's number, `-` is stderr
    --raw                     # Print received text unescaped, control characters included
    --verbose(-v)             # Show connection details
    --quiet(-q)               # Show errors only
    --trace                   # Show every socket call
    --json                    # Write events and results as JSON, one object per line
    --color: string@"nu-complete sockctl connect color" # When to use colour
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
    --port(-p): string        # Listen on this port; the ADDRESS is a HOST then, or left out
    --echo                    # Echo each datagram back to its sender
    --discard                 # Discard all datagrams
    --reply: string           # Answer each datagram with TEXT
    --when: string            # Answer each match of REGEX, over bytes, in what comes with TEXT; repeatable: the leftmost match counts, and of equals the first rule
    --talk                    # Show each datagram, and send each line of stdin to the peer heard last (with --raw, each read); before that stdin is not read
    --to: string              # Relay each client's datagrams to TARGET, an ADDRESS, from a socket of its own, and what TARGET sends back to the client
    --source(-s): string      # With --to: send to the target from this address
    --sh: string              # Answer each datagram with what COMMAND writes, run with /bin/sh; the datagram is its stdin
    --max-conns(-m): string   # Maximum number of programs at a time, further datagrams wait; with --to: maximum number of clients; datagrams from further clients are dropped
    --join: string            # Join a multicast group; repeatable
    --count: string           # Exit after N datagrams
    --allow: string           # Accept only these clients: a CIDR, an address, a host name, or @FILE with one per line; repeatable; SIGHUP has them read again
    --deny: string            # Refuse these clients, even if --allow names them; repeatable
    --port-file: path         # Write the port to FILE, which is there only while this server listens
    --ipv4(-4)                # Use IPv4 only
    --ipv6(-6)                # Use IPv6 only
    --numeric(-n)             # Do not resolve names: numeric addresses only
    --opt(-o): string@"nu-complete sockctl udp-serve opt" # Set a socket option (see `sockctl opts`); repeatable
    --timeout(-w): string     # Timeout for connecting, for a handshake and for each reply; 0 disables it
    --deadline: string        # Exit after this long, whatever is going on; 0 disables it
    --hex(-x): path           # Write a hex dump of both directions to FILE; +FILE appends, %i is the connection's number, `-` is stderr
    --log: path               # Write both directions to FILE as text, with the time and `<` or `>` before each line; +FILE appends, %i is the connection's number, `-` is stderr
    --raw                     # Print received text unescaped, control characters included
    --verbose(-v)             # Show connection details
    --quiet(-q)               # Show errors only
    --trace                   # Show every socket call
    --json                    # Write events and results as JSON, one object per line
    --color: string@"nu-complete sockctl udp-serve color" # When to use colour
    --idle-timeout(-i): string # Exit after this long without a datagram; with --to: forget a client after this long without one in either direction [default: 60s]; 0 disables it
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
    --talk                    # Send and receive at once, as nc -u does: each line of stdin is a datagram (with --raw, each read), every datagram that comes goes to stdout; an ICMP error is reported once, ends nothing, and is the exit status if nothing was received
    --linger: string          # How long --talk goes on without a datagram once stdin has ended [default: 1s]
    --reply: string           # Wait for N answers to each datagram and print them
    --retries: string         # Resend up to N times while there is no answer
    --expect: string          # Require each answer to match REGEX (over bytes)
    --wait: string            # Send again, every second and for this long, until an answer comes that matches --expect, whatever ICMP says; without --reply, wait for one answer
    --broadcast               # Allow sending to a broadcast address
    --source(-s): string      # Connect or send from this address
    --source-port(-p): string # Connect or send from this port
    --ttl: string             # Time to live (hop limit) of what is sent
    --ipv4(-4)                # Use IPv4 only
    --ipv6(-6)                # Use IPv6 only
    --numeric(-n)             # Do not resolve names: numeric addresses only
    --opt(-o): string@"nu-complete sockctl udp-send opt" # Set a socket option (see `sockctl opts`); repeatable
    --timeout(-w): string     # Timeout for connecting, for a handshake and for each reply; 0 disables it
    --idle-timeout(-i): string # Close a connection after this long without data in either direction; 0 disables it
    --deadline: string        # Exit after this long, whatever is going on; 0 disables it
    --hex(-x): path           # Write a hex dump of both directions to FILE; +FILE appends, %i is the connection's number, `-` is stderr
    --log: path               # Write both directions to FILE as text, with the time and `<` or `>` before each line; +FILE appends, %i is the connection's number, `-` is stderr
    --raw                     # Print received text unescaped, control characters included
    --verbose(-v)             # Show connection details
    --quiet(-q)               # Show errors only
    --trace                   # Show every socket call
    --json                    # Write events and results as JSON, one object per line
    --color: string@"nu-complete sockctl udp-send color" # When to use colour
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

  # Serve only clients that prove they hold the key
  export extern "sockctl auth-serve" [
    --digest: string@"nu-complete sockctl auth-serve digest" # Prove the key with HMAC over this digest, unencrypted: the challenge-response of Python's hmac examples
    --python                  # Speak the protocol of Python's multiprocessing.connection: each line is one `send_bytes` (with --raw, each chunk)
    --context: string         # Bind the encrypted session to TEXT, which both sides must give
    --key-file: path          # Read the key from FILE (one trailing newline is dropped), or a sockctl-key-1 line
    --key-fd: string          # Read the key from this descriptor
    --create-key: string      # Write a new random key to --key-file and exit
    --keys: path              # Accept these keys: one NAME:KEY per line of FILE, which SIGHUP has read again
    --no-penalty              # Do not slow down addresses that send wrong proofs
    --port(-p): string        # Listen on this port; the ADDRESS is a HOST then, or left out
    --room                    # Run a chat room, with you as the member `server`; --log FILE has what is said to all
    --recall: string          # With --room: give newcomers the last N lines that were said to all, with their times; 1 MiB at most
    --bridge: string          # With --room: share the room with other servers through Redis or Valkey: redis://[USER:PASSWORD@]HOST[:PORT][/DB][?room=NAME], rediss://… or unix:PATH
    --broker                  # Pass the bytes of each client on to all others, as they are; one that 1 MiB waits for is cut off
    --echo                    # Echo all input back
    --discard                 # Discard all input
    --reply: string           # Send TEXT, then close the sending side
    --when: string            # Answer each match of REGEX, over bytes, in what comes with TEXT; repeatable: the leftmost match counts, and of equals the first rule
    --to: string              # Relay each client to TARGET: an ADDRESS, tls:HOST:PORT or auth:HOST:PORT; repeatable: tried in order until one accepts
    --source(-s): string      # With --to: connect to the target from this address
    --wait: string            # With --to: try the targets again for this long, while the client waits
    --send-proxy: string      # With --to: announce the client to the target with a PROXY header
    --to-tls-ca: path         # With --to tls:…: trust the certificates (PEM) in FILE, and what they have signed
    --to-tls-pin: string      # With --to tls:…: trust this key alone
    --to-key-file: path       # With --to auth:…: read the key from FILE
    --to-context: string      # With --to auth:…: bind the encrypted session to TEXT
    --delay: string           # With --to: add this much latency in each direction (data, FIN and RST); --rate limits the bandwidth
    --cut: string             # With --to: reset both connections after SIZE bytes from the target
    --send: string            # Send TEXT (escapes, or @FILE); steps are done in the order given
    --send-hex: string        # Send the bytes that HEX stands for (blanks and colons are allowed)
    --expect: string          # Wait until REGEX, over bytes, matches received data; else fail with 8
    --expect-eof              # Wait until the peer ends; else fail with 8
    --pause: string           # Wait this long
    --starttls                # Begin TLS (STARTTLS): the steps behind it are encrypted; see --tls-ca and --tls-cert
    --reset                   # Reset the connection (RST); the last step
    --rate: string            # Send at most SIZE bytes a second; with --to, in each direction of a pair
    --sh: string              # Run COMMAND with /bin/sh for each client, as its stdin and stdout
    --crlf(-C)                # Send CRLF line ends: add the CR where it is missing
    --send-only               # Only send: drop received data
    --recv-only               # Only receive: do not read stdin
    --no-half-close           # Do not close the sending side when stdin ends
    --once                    # Exit with the status of the first accepted connection, with 1 if its program fails
    --max-conns(-m): string   # Maximum number of connections at a time
    --on-full: string@"nu-complete sockctl auth-serve on_full" # What to do with connections beyond --max-conns
    --per-ip: string          # Maximum number of connections per address (IPv6: per /64)
    --allow: string           # Accept only these clients: a CIDR, an address, a host name, or @FILE with one per line; repeatable; SIGHUP has them read again
    --deny: string            # Refuse these clients, even if --allow names them; repeatable
    --accept-proxy: string    # Require PROXY headers (v1, v2) from these proxies, and trust them; repeatable
    --grace: string           # How long to wait for connections when stopping; 0 cuts them at once
    --backlog: string         # Length of the queue of connections not yet accepted
    --reuse-port              # Share the port with other servers (`SO_REUSEPORT`)
    --mode: string            # Permissions of a UNIX path, in octal (0660); the umask decides by default
    --systemd                 # Take the listening sockets from the service manager (systemd socket activation)
    --port-file: path         # Write the port to FILE, which is there only while this server listens
    --timestamps              # Show the local time before each line; in a pipe, before each line that is received
    --bell                    # Ring the bell on private messages, mentions, and in one-to-one chats
    --history: path           # Keep the prompt's history in FILE
    --ipv4(-4)                # Use IPv4 only
    --ipv6(-6)                # Use IPv6 only
    --numeric(-n)             # Do not resolve names: numeric addresses only
    --opt(-o): string@"nu-complete sockctl auth-serve opt" # Set a socket option (see `sockctl opts`); repeatable
    --timeout(-w): string     # Timeout for connecting, for a handshake and for each reply; 0 disables it
    --idle-timeout(-i): string # Close a connection after this long without data in either direction; 0 disables it
    --deadline: string        # Exit after this long, whatever is going on; 0 disables it
    --hex(-x): path           # Write a hex dump of both directions to FILE; +FILE appends, %i is the connection's number, `-` is stderr
    --log: path               # Write both directions to FILE as text, with the time and `<` or `>` before each line; +FILE appends, %i is the connection's number, `-` is stderr
    --raw                     # Print received text unescaped, control characters included
    --verbose(-v)             # Show connection details
    --quiet(-q)               # Show errors only
    --trace                   # Show every socket call
    --json                    # Write events and results as JSON, one object per line
    --color: string@"nu-complete sockctl auth-serve color" # When to use colour
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

  # Connect to an auth-serve, and prove that we hold the key; encrypted both ways
  export extern "sockctl auth-connect" [
    --digest: string@"nu-complete sockctl auth-connect digest" # Prove the key with HMAC over this digest, unencrypted: the challenge-response of Python's hmac examples
    --python                  # Speak the protocol of Python's multiprocessing.connection: each line is one `send_bytes` (with --raw, each chunk)
    --context: string         # Bind the encrypted session to TEXT, which both sides must give
    --key-file: path          # Read the key from FILE (one trailing newline is dropped), or a sockctl-key-1 line
    --key-fd: string          # Read the key from this descriptor
    --create-key: string      # Write a new random key to --key-file and exit
    --crlf(-C)                # Send CRLF line ends: add the CR where it is missing
    --send-only               # Only send: drop received data
    --recv-only               # Only receive: do not read stdin
    --no-half-close           # Do not close the sending side when stdin ends
    --no-newline              # Send the lines of the prompt without a newline
    --max-bytes: string       # Exit after receiving SIZE bytes
    --linger: string          # How long to keep receiving after we are done [default: 1s at the prompt, until a second of silence behind a program, else no limit]
    --wait: string            # Retry for this long while connecting fails (refused, unreachable, no such name) or, with steps, while the connection ends before its first byte; a certificate that is not trusted ends it at once
    --reconnect: string       # Connect again whenever the connection ends, breaks or fails, pausing 1s, 2s, 4s and so on, at most DUR [default: 30s]; --wait bounds each absence. In a pipe stdin waits meanwhile, and its end is the end. A key or certificate that is rejected (9) ends it
    --nick: string            # Send `/nick NAME` first on every connection: our name in a room
    --send: string            # Send TEXT (escapes, or @FILE); steps are done in the order given
    --send-hex: string        # Send the bytes that HEX stands for (blanks and colons are allowed)
    --expect: string          # Wait until REGEX, over bytes, matches received data; else fail with 8
    --expect-eof              # Wait until the peer ends; else fail with 8
    --pause: string           # Wait this long
    --starttls                # Begin TLS (STARTTLS): the steps behind it are encrypted; see --tls-ca and --tls-cert
    --reset                   # Reset the connection (RST); the last step
    --rate: string            # Send at most SIZE bytes a second
    --count: string           # Repeat the steps N times, each time on a connection of its own, and print a summary of their times; with -z: check N times, with a line each and a summary at the end (with --tls the times include the handshake)
    --parallel: string        # Keep M of them under way at a time
    --interval: string        # Begin one at most every DUR [default: 1s with -z]
    --progress                # Show a progress line, if stderr is a terminal
    --tcp-info                # Report TCP statistics at the end: round trips, retransmits, window, rate
    --source(-s): string      # Connect or send from this address
    --source-port(-p): string # Connect or send from this port
    --proxy: string           # Connect through a proxy, which resolves the name: socks5://[USER@]HOST:PORT or http://[USER@]HOST:PORT
    --proxy-password-file: path # Read the proxy's password from FILE (one trailing newline is dropped); or set `SOCKCTL_PROXY_PASSWORD`
    --send-proxy: string      # Send a PROXY protocol header, with the addresses of the connection, first
    --timestamps              # Show the local time before each line; in a pipe, before each line that is received
    --bell                    # Ring the bell on private messages, mentions, and in one-to-one chats
    --history: path           # Keep the prompt's history in FILE
    --ipv4(-4)                # Use IPv4 only
    --ipv6(-6)                # Use IPv6 only
    --numeric(-n)             # Do not resolve names: numeric addresses only
    --opt(-o): string@"nu-complete sockctl auth-connect opt" # Set a socket option (see `sockctl opts`); repeatable
    --timeout(-w): string     # Timeout for connecting, for a handshake and for each reply; 0 disables it
    --idle-timeout(-i): string # Close a connection after this long without data in either direction; 0 disables it
    --deadline: string        # Exit after this long, whatever is going on; 0 disables it
    --hex(-x): path           # Write a hex dump of both directions to FILE; +FILE appends, %i is the connection's number, `-` is stderr
    --log: path               # Write both directions to FILE as text, with the time and `<` or `>` before each line; +FILE appends, %i is the connection's number, `-` is stderr
    --raw                     # Print received text unescaped, control characters included
    --verbose(-v)             # Show connection details
    --quiet(-q)               # Show errors only
    --trace                   # Show every socket call
    --json                    # Write events and results as JSON, one object per line
    --color: string@"nu-complete sockctl auth-connect color" # When to use colour
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

  # Show socket options, or set them and show the effect: of a new socket, a connection, or another process
  export extern "sockctl opts" [
    --udp                     # Use a UDP socket
    --unix                    # Use a UNIX socket
    --state: string@"nu-complete sockctl opts state" # Inspect a new socket in this state
    --connect: string         # Inspect a connection to ADDRESS, with its addresses, mode and timeouts
    --pid: string             # Inspect the sockets of a running process
    --fd: string              # Only the socket with this descriptor of that process
    --port: string            # Inspect the sockets that listen on this port (with --udp: are bound to it)
    --changed                 # Show only what differs from a new socket
    --ipv4(-4)                # Use IPv4 only
    --ipv6(-6)                # Use IPv6 only
    --numeric(-n)             # Do not resolve names: numeric addresses only
    --timeout(-w): string     # Timeout for connecting; 0 disables it
    --verbose(-v)             # Show connection details
    --quiet(-q)               # Show errors only
    --trace                   # Show every socket call
    --json                    # Write events and results as JSON, one object per line
    --color: string@"nu-complete sockctl opts color" # When to use colour
    --help(-h)                # Print help (see more with '--help')
    ...words: string@"nu-complete sockctl opts words" # Options to show (NAME) or set (NAME=VALUE); all of them by default. LEVEL:NUMBER[=HEX] for one without a name
  ]

}

export use completions *
