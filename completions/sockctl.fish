# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_sockctl_global_optspecs
    string join \n generate= h/help V/version
end

function __fish_sockctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_sockctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_sockctl_using_subcommand
    set -l cmd (__fish_sockctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c sockctl -n "__fish_sockctl_needs_command" -l generate -d 'Write the man page, or completions for a shell, to stdout' -r -f -a "man\t''
complete-bash\t''
complete-zsh\t''
complete-fish\t''
complete-powershell\t''
complete-elvish\t''
complete-nushell\t''"
complete -c sockctl -n "__fish_sockctl_needs_command" -s h -l help -d 'Print help'
complete -c sockctl -n "__fish_sockctl_needs_command" -s V -l version -d 'Print version'
complete -c sockctl -n "__fish_sockctl_needs_command" -f -a "serve" -d 'Serve many clients at once: a conversation with you, an echo, a fixed reply'
complete -c sockctl -n "__fish_sockctl_needs_command" -f -a "connect" -d 'Connect and talk: a prompt at a terminal, a byte-exact pipe elsewhere'
complete -c sockctl -n "__fish_sockctl_needs_command" -f -a "udp-serve" -d 'Receive datagrams and answer everyone'
complete -c sockctl -n "__fish_sockctl_needs_command" -f -a "udp-send" -d 'Send datagrams: each TEXT, or each line of stdin, is one'
complete -c sockctl -n "__fish_sockctl_needs_command" -f -a "auth-serve" -d 'Serve clients that prove they hold the key, and nobody else'
complete -c sockctl -n "__fish_sockctl_needs_command" -f -a "auth-connect" -d 'Connect to a server that asks for proof of the key'
complete -c sockctl -n "__fish_sockctl_needs_command" -f -a "opts" -d 'Show socket options, or set them and show what became of it: of a fresh socket, a connection, or another process'
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -l reply -d 'Send TEXT, then end our side' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -s m -l max-conns -d 'Connections at a time' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -l on-full -d 'What becomes of a connection too many' -r -f -a "wait\t'It waits until there is room'
reject\t'It is closed at once'"
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -l per-ip -d 'Connections from one address at a time; an IPv6 /64 is one' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -l allow -d 'Let in only these: a CIDR, an address, or @FILE with one a line; may be given several times' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -l deny -d 'Never let these in, whatever is allowed; may be given several times' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -l accept-proxy -d 'Believe PROXY headers (v1, v2) from these, and require them; may be given several times' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -l grace -d 'How long stopping may take; 0: at once' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -l backlog -d 'Connections the kernel queues before they are accepted' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -l mode -d 'Who may use a UNIX path, in octal (0660); otherwise the umask decides' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -l port-file -d 'Write the port to FILE once it listens' -r -F
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -s o -l opt -d 'Set a socket option (see `sockctl opts`); may be given several times' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -s w -l timeout -d 'Bound on connecting, on a handshake and on each reply; 0: none' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -s i -l idle-timeout -d 'End a connection that is silent in both directions for this long; 0: never' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -l deadline -d 'End the whole run after this long; 0: never' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -s x -l hex -d 'Dump both directions in hex to FILE (`-`: stderr)' -r -F
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -l color -d 'Colour what is shown' -r -f -a "auto\t'At a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -l echo -d 'Return what comes'
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -l discard -d 'Swallow what comes'
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -l once -d 'Serve the first connection that is let in, then exit with its status'
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -l reuse-port -d 'Share the port with other servers that do so too (`SO_REUSEPORT`)'
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -l systemd -d 'Take the listening socket from the service manager (systemd socket activation)'
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -s 4 -l ipv4 -d 'IPv4 only'
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -s 6 -l ipv6 -d 'IPv6 only'
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -s n -l numeric -d 'Never look a name up in the DNS'
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -l raw -d 'Show strangers\' text as it came, control characters and all'
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -s v -l verbose -d 'Say more: connection detail'
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -s q -l quiet -d 'Say nothing but errors'
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -l trace -d 'Show every socket call as it is made'
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -l json -d 'Write events and results as JSON, one object a line'
complete -c sockctl -n "__fish_sockctl_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -l linger -d 'How long to wait for the peer\'s end after ours [default: 1s at the prompt, else no limit]' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -s s -l source -d 'Connect from this address' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -l history -d 'Keep the prompt\'s history in FILE' -r -F
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -s o -l opt -d 'Set a socket option (see `sockctl opts`); may be given several times' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -s w -l timeout -d 'Bound on connecting, on a handshake and on each reply; 0: none' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -s i -l idle-timeout -d 'End a connection that is silent in both directions for this long; 0: never' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -l deadline -d 'End the whole run after this long; 0: never' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -s x -l hex -d 'Dump both directions in hex to FILE (`-`: stderr)' -r -F
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -l color -d 'Colour what is shown' -r -f -a "auto\t'At a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -s z -l check -d 'Connect, report, close; PORT may be a list (22,80,8000-8100)'
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -s C -l crlf -d 'Send a CR before each newline, where it is missing'
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -l no-newline -d 'At the prompt, send lines without a newline'
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -l send-only -d 'Only send: what comes is dropped'
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -l recv-only -d 'Only receive: stdin is not read'
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -l no-half-close -d 'Do not pass the end of stdin on to the peer'
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -s 4 -l ipv4 -d 'IPv4 only'
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -s 6 -l ipv6 -d 'IPv6 only'
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -s n -l numeric -d 'Never look a name up in the DNS'
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -l raw -d 'Show strangers\' text as it came, control characters and all'
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -s v -l verbose -d 'Say more: connection detail'
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -s q -l quiet -d 'Say nothing but errors'
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -l trace -d 'Show every socket call as it is made'
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -l json -d 'Write events and results as JSON, one object a line'
complete -c sockctl -n "__fish_sockctl_using_subcommand connect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -l reply -d 'Answer each datagram with TEXT' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -l count -d 'Exit after N datagrams' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -l allow -d 'Let in only these: a CIDR, an address, or @FILE with one a line; may be given several times' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -l deny -d 'Never let these in, whatever is allowed; may be given several times' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -l port-file -d 'Write the port to FILE once it is bound' -r -F
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -s o -l opt -d 'Set a socket option (see `sockctl opts`); may be given several times' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -s w -l timeout -d 'Bound on connecting, on a handshake and on each reply; 0: none' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -s i -l idle-timeout -d 'End a connection that is silent in both directions for this long; 0: never' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -l deadline -d 'End the whole run after this long; 0: never' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -s x -l hex -d 'Dump both directions in hex to FILE (`-`: stderr)' -r -F
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -l color -d 'Colour what is shown' -r -f -a "auto\t'At a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -l echo -d 'Return each datagram to its sender'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -l discard -d 'Swallow datagrams'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -s 4 -l ipv4 -d 'IPv4 only'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -s 6 -l ipv6 -d 'IPv6 only'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -s n -l numeric -d 'Never look a name up in the DNS'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -l raw -d 'Show strangers\' text as it came, control characters and all'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -s v -l verbose -d 'Say more: connection detail'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -s q -l quiet -d 'Say nothing but errors'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -l trace -d 'Show every socket call as it is made'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -l json -d 'Write events and results as JSON, one object a line'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -l chunk -d 'Send stdin in pieces of SIZE' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -l data-hex -d 'Send the bytes that HEX stands for (blanks and colons are allowed)' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -l count -d 'Send everything N times' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -l interval -d 'Wait this long between datagrams' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -l reply -d 'Wait for N answers to each datagram and print them' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -l retries -d 'Send again, up to N times, while no answer came' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -l expect -d 'Each answer must match REGEX' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -s s -l source -d 'Send from this address' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -l ttl -d 'Hops the datagrams may take' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -s o -l opt -d 'Set a socket option (see `sockctl opts`); may be given several times' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -s w -l timeout -d 'Bound on connecting, on a handshake and on each reply; 0: none' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -s i -l idle-timeout -d 'End a connection that is silent in both directions for this long; 0: never' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -l deadline -d 'End the whole run after this long; 0: never' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -s x -l hex -d 'Dump both directions in hex to FILE (`-`: stderr)' -r -F
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -l color -d 'Colour what is shown' -r -f -a "auto\t'At a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -l whole -d 'Send all of stdin as one datagram'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -l broadcast -d 'Allow sending to a broadcast address'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -s 4 -l ipv4 -d 'IPv4 only'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -s 6 -l ipv6 -d 'IPv6 only'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -s n -l numeric -d 'Never look a name up in the DNS'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -l raw -d 'Show strangers\' text as it came, control characters and all'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -s v -l verbose -d 'Say more: connection detail'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -s q -l quiet -d 'Say nothing but errors'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -l trace -d 'Show every socket call as it is made'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -l json -d 'Write events and results as JSON, one object a line'
complete -c sockctl -n "__fish_sockctl_using_subcommand udp-send" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l digest -d 'Prove the key with HMAC over this digest, as the Python notes do: md5, sha256 or sha512' -r -f -a "md5\t''
sha256\t''
sha512\t''"
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l key-file -d 'The key, byte for byte, less one newline at its end; or one sockctl-key-1 line' -r -F
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l key-fd -d 'Read the key from this descriptor' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l create-key -d 'Write a new random key to --key-file and exit' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l keys -d 'Keys, one NAME:KEY a line' -r -F
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l reply -d 'Send TEXT, then end our side' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -s m -l max-conns -d 'Connections at a time' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l on-full -d 'What becomes of a connection too many' -r -f -a "wait\t'It waits until there is room'
reject\t'It is closed at once'"
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l per-ip -d 'Connections from one address at a time; an IPv6 /64 is one' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l allow -d 'Let in only these: a CIDR, an address, or @FILE with one a line; may be given several times' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l deny -d 'Never let these in, whatever is allowed; may be given several times' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l accept-proxy -d 'Believe PROXY headers (v1, v2) from these, and require them; may be given several times' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l grace -d 'How long stopping may take; 0: at once' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l backlog -d 'Connections the kernel queues before they are accepted' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l mode -d 'Who may use a UNIX path, in octal (0660); otherwise the umask decides' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l port-file -d 'Write the port to FILE once it listens' -r -F
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -s o -l opt -d 'Set a socket option (see `sockctl opts`); may be given several times' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -s w -l timeout -d 'Bound on connecting, on a handshake and on each reply; 0: none' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -s i -l idle-timeout -d 'End a connection that is silent in both directions for this long; 0: never' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l deadline -d 'End the whole run after this long; 0: never' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -s x -l hex -d 'Dump both directions in hex to FILE (`-`: stderr)' -r -F
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l color -d 'Colour what is shown' -r -f -a "auto\t'At a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l no-penalty -d 'Do not slow down addresses that send wrong proofs'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l echo -d 'Return what comes'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l discard -d 'Swallow what comes'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l once -d 'Serve the first connection that is let in, then exit with its status'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l reuse-port -d 'Share the port with other servers that do so too (`SO_REUSEPORT`)'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l systemd -d 'Take the listening socket from the service manager (systemd socket activation)'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -s 4 -l ipv4 -d 'IPv4 only'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -s 6 -l ipv6 -d 'IPv6 only'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -s n -l numeric -d 'Never look a name up in the DNS'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l raw -d 'Show strangers\' text as it came, control characters and all'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -s v -l verbose -d 'Say more: connection detail'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -s q -l quiet -d 'Say nothing but errors'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l trace -d 'Show every socket call as it is made'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -l json -d 'Write events and results as JSON, one object a line'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -l digest -d 'Prove the key with HMAC over this digest, as the Python notes do: md5, sha256 or sha512' -r -f -a "md5\t''
sha256\t''
sha512\t''"
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -l key-file -d 'The key, byte for byte, less one newline at its end; or one sockctl-key-1 line' -r -F
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -l key-fd -d 'Read the key from this descriptor' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -l create-key -d 'Write a new random key to --key-file and exit' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -l linger -d 'How long to wait for the peer\'s end after ours [default: 1s at the prompt, else no limit]' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -s s -l source -d 'Connect from this address' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -l history -d 'Keep the prompt\'s history in FILE' -r -F
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -s o -l opt -d 'Set a socket option (see `sockctl opts`); may be given several times' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -s w -l timeout -d 'Bound on connecting, on a handshake and on each reply; 0: none' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -s i -l idle-timeout -d 'End a connection that is silent in both directions for this long; 0: never' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -l deadline -d 'End the whole run after this long; 0: never' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -s x -l hex -d 'Dump both directions in hex to FILE (`-`: stderr)' -r -F
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -l color -d 'Colour what is shown' -r -f -a "auto\t'At a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -s C -l crlf -d 'Send a CR before each newline, where it is missing'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -l no-newline -d 'At the prompt, send lines without a newline'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -l send-only -d 'Only send: what comes is dropped'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -l recv-only -d 'Only receive: stdin is not read'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -l no-half-close -d 'Do not pass the end of stdin on to the peer'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -s 4 -l ipv4 -d 'IPv4 only'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -s 6 -l ipv6 -d 'IPv6 only'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -s n -l numeric -d 'Never look a name up in the DNS'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -l raw -d 'Show strangers\' text as it came, control characters and all'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -s v -l verbose -d 'Say more: connection detail'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -s q -l quiet -d 'Say nothing but errors'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -l trace -d 'Show every socket call as it is made'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -l json -d 'Write events and results as JSON, one object a line'
complete -c sockctl -n "__fish_sockctl_using_subcommand auth-connect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockctl -n "__fish_sockctl_using_subcommand opts" -l state -d 'Of a fresh socket in this state' -r -f -a "unbound\t'As socket(2) makes it'
bound\t'After bind(2)'
listening\t'After listen(2)'
connected\t'After connect(2)'"
complete -c sockctl -n "__fish_sockctl_using_subcommand opts" -l connect -d 'Of a connection to ADDRESS, with its addresses, mode and timeouts' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand opts" -l pid -d 'The sockets of a running process' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand opts" -l fd -d 'Of that process, the socket with this descriptor' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand opts" -l port -d 'The sockets of whatever process listens on this port (with --udp: is bound to it)' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand opts" -s w -l timeout -d 'Bound on connecting; 0: none' -r
complete -c sockctl -n "__fish_sockctl_using_subcommand opts" -l color -d 'Colour what is shown' -r -f -a "auto\t'At a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sockctl -n "__fish_sockctl_using_subcommand opts" -l udp -d 'Of a UDP socket instead of a TCP one'
complete -c sockctl -n "__fish_sockctl_using_subcommand opts" -l unix -d 'Of a UNIX socket'
complete -c sockctl -n "__fish_sockctl_using_subcommand opts" -l changed -d 'Only what differs from a fresh socket'
complete -c sockctl -n "__fish_sockctl_using_subcommand opts" -s 4 -l ipv4 -d 'IPv4 only'
complete -c sockctl -n "__fish_sockctl_using_subcommand opts" -s 6 -l ipv6 -d 'IPv6 only'
complete -c sockctl -n "__fish_sockctl_using_subcommand opts" -s n -l numeric -d 'Never look a name up in the DNS'
complete -c sockctl -n "__fish_sockctl_using_subcommand opts" -s v -l verbose -d 'Say more: connection detail'
complete -c sockctl -n "__fish_sockctl_using_subcommand opts" -s q -l quiet -d 'Say nothing but errors'
complete -c sockctl -n "__fish_sockctl_using_subcommand opts" -l trace -d 'Show every socket call as it is made'
complete -c sockctl -n "__fish_sockctl_using_subcommand opts" -l json -d 'Write events and results as JSON, one object a line'
complete -c sockctl -n "__fish_sockctl_using_subcommand opts" -s h -l help -d 'Print help (see more with \'--help\')'
