module completions {

  def "nu-complete sockctl generate" [] {
    [ "man" "complete-bash" "complete-zsh" "complete-fish" "complete-powershell" "complete-elvish" "complete-nushell" ]
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

  def "nu-complete sockctl serve color" [] {
    [ "auto" "always" "never" ]
  }

  # Serve many clients at once: a conversation with you, an echo, a fixed reply
  export extern "sockctl serve" [
    --echo                    # Return what comes
    --discard                 # Swallow what comes
    --reply: string           # Send TEXT, then end our side
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
    --ipv4(-4)                # IPv4 only
    --ipv6(-6)                # IPv6 only
    --numeric(-n)             # Never look a name up in the DNS
    --opt(-o): string         # Set a socket option (see `sockctl opts`); may be given several times
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
    --no-half-close           # Do not pass the end of stdin on to the peer
    --linger: string          # How long to wait for the peer's end after ours [default: 1s at the prompt, else no limit]
    --source(-s): string      # Connect from this address
    --history: path           # Keep the prompt's history in FILE
    --ipv4(-4)                # IPv4 only
    --ipv6(-6)                # IPv6 only
    --numeric(-n)             # Never look a name up in the DNS
    --opt(-o): string         # Set a socket option (see `sockctl opts`); may be given several times
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

  def "nu-complete sockctl udp-serve color" [] {
    [ "auto" "always" "never" ]
  }

  # Receive datagrams and answer everyone
  export extern "sockctl udp-serve" [
    --echo                    # Return each datagram to its sender
    --discard                 # Swallow datagrams
    --reply: string           # Answer each datagram with TEXT
    --count: string           # Exit after N datagrams
    --allow: string           # Let in only these: a CIDR, an address, or @FILE with one a line; may be given several times
    --deny: string            # Never let these in, whatever is allowed; may be given several times
    --port-file: path         # Write the port to FILE once it is bound
    --ipv4(-4)                # IPv4 only
    --ipv6(-6)                # IPv6 only
    --numeric(-n)             # Never look a name up in the DNS
    --opt(-o): string         # Set a socket option (see `sockctl opts`); may be given several times
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
    ...address: string        # Where to listen: HOST:PORT, [IPV6]:PORT, *:PORT, PORT, or HOST PORT
  ]

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
    --expect: string          # Each answer must match REGEX
    --broadcast               # Allow sending to a broadcast address
    --source(-s): string      # Send from this address
    --ttl: string             # Hops the datagrams may take
    --ipv4(-4)                # IPv4 only
    --ipv6(-6)                # IPv6 only
    --numeric(-n)             # Never look a name up in the DNS
    --opt(-o): string         # Set a socket option (see `sockctl opts`); may be given several times
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
    ...words: string          # Where to send to (HOST:PORT, [IPV6]:PORT, PORT, or HOST PORT), then the texts
  ]

  def "nu-complete sockctl auth-serve digest" [] {
    [ "md5" "sha256" "sha512" ]
  }

  def "nu-complete sockctl auth-serve on_full" [] {
    [ "wait" "reject" ]
  }

  def "nu-complete sockctl auth-serve color" [] {
    [ "auto" "always" "never" ]
  }

  # Serve clients that prove they hold the key, and nobody else
  export extern "sockctl auth-serve" [
    --digest: string@"nu-complete sockctl auth-serve digest" # Prove the key with HMAC over this digest, as the Python notes do: md5, sha256 or sha512
    --key-file: path          # The key, byte for byte, less one newline at its end; or one sockctl-key-1 line
    --key-fd: string          # Read the key from this descriptor
    --create-key: string      # Write a new random key to --key-file and exit
    --keys: path              # Keys, one NAME:KEY a line
    --no-penalty              # Do not slow down addresses that send wrong proofs
    --echo                    # Return what comes
    --discard                 # Swallow what comes
    --reply: string           # Send TEXT, then end our side
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
    --ipv4(-4)                # IPv4 only
    --ipv6(-6)                # IPv6 only
    --numeric(-n)             # Never look a name up in the DNS
    --opt(-o): string         # Set a socket option (see `sockctl opts`); may be given several times
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

  def "nu-complete sockctl auth-connect color" [] {
    [ "auto" "always" "never" ]
  }

  # Connect to a server that asks for proof of the key
  export extern "sockctl auth-connect" [
    --digest: string@"nu-complete sockctl auth-connect digest" # Prove the key with HMAC over this digest, as the Python notes do: md5, sha256 or sha512
    --key-file: path          # The key, byte for byte, less one newline at its end; or one sockctl-key-1 line
    --key-fd: string          # Read the key from this descriptor
    --create-key: string      # Write a new random key to --key-file and exit
    --crlf(-C)                # Send a CR before each newline, where it is missing
    --no-newline              # At the prompt, send lines without a newline
    --send-only               # Only send: what comes is dropped
    --recv-only               # Only receive: stdin is not read
    --no-half-close           # Do not pass the end of stdin on to the peer
    --linger: string          # How long to wait for the peer's end after ours [default: 1s at the prompt, else no limit]
    --source(-s): string      # Connect from this address
    --history: path           # Keep the prompt's history in FILE
    --ipv4(-4)                # IPv4 only
    --ipv6(-6)                # IPv6 only
    --numeric(-n)             # Never look a name up in the DNS
    --opt(-o): string         # Set a socket option (see `sockctl opts`); may be given several times
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
    ...words: string          # Options to show, or to set; all of the socket, without any. LEVEL:NUMBER[=HEX] for one without a name
  ]

}

export use completions *
