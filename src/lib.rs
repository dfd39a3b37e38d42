//! sockctl: talk, serve, authenticate, test and explain sockets.
//!
//! This page is the architecture: `cargo doc --no-deps --document-private-items --open` shows it with
//! its links. README tells users what sockctl does.
//!
//! # The floors
//!
//! A file imports from its own floor and from those below it, never from above. Within a floor there
//! are no circles of imports; a folder's `mod.rs` and its parts count as one.
//!
//! | floor        | is responsible for                                                        |
//! |--------------|---------------------------------------------------------------------------|
//! | `main`       | parses, runs, reports the error; the only place that sets the exit status |
//! | [`cli`]      | one table of commands; help, man page and completions are made from it    |
//! | [`commands`] | one file a command: its flags, and what it is composed of; no byte work   |
//! | [`roles`]    | client and server: what two commands each share                           |
//! | [`args`]     | flags of several commands, and the parsers of their values                |
//! | [`server`]   | the link loop: connections are accepted or dialled, let in, and ended     |
//! | [`session`]  | the talk loop: what a connection talks to, one file or folder a handler   |
//! | [`console`]  | all that is printed or typed: events, prompt, progress                    |
//! | [`auth`]     | keys, certificates, and the handshakes that prove them; no socket         |
//! | [`codec`]    | wire formats behind a handshake: Noise and TLS records, Python's frames   |
//! | [`net`]      | sockets, and all that calls the kernel's network side                     |
//! | [`exit`]     | what went wrong, as a line and as an exit status                          |
//! | [`sanitize`] | escaping of untrusted text, and names that can be mistaken for each other |
//!
//! # Two loops
//!
//! A TCP server is two loops: the **link loop** accepts, the **talk loop** talks. A client is the
//! same with one connection, which is dialled instead of accepted. There is one type for a
//! connection ([`net::connection::Connection`]), one table of them (`server/table.rs`) and one event
//! loop ([`server::EventLoop`]). What differs between commands is one of three interfaces:
//!
//! | interface                     | is                                        | implementations              |
//! |-------------------------------|-------------------------------------------|------------------------------|
//! | [`session::Handler`]          | what connections talk to                  | pipe, prompt, script, echo, discard, reply, when, relay, broker, room, programs; `Check` of `connect -z` |
//! | [`net::codec::Codec`]         | what stands between the wire and payload  | Noise records, TLS records, Python's frames; a plain stream has none |
//! | [`net::handshake::Handshake`] | what precedes the payload, in either role | PROXY header, SOCKS5, HTTP CONNECT, challenge, Noise, Python, TLS |
//!
//! A handler has no socket. It answers through [`session::Clients`], which the table implements
//! (`server/clients.rs`). In the words of Python's `socketserver`:
//!
//! | socketserver                | here                                                            |
//! |-----------------------------|-----------------------------------------------------------------|
//! | `server_bind`, `server_activate` | [`net::listen::Listener::open`]                            |
//! | `serve_forever`             | [`server::Run::serve`]                                          |
//! | `get_request`               | [`server::EventLoop::accept`]                                   |
//! | `verify_request`            | [`server::EventLoop::receive_newcomer`]: access lists, then the key |
//! | `process_request`           | [`server::EventLoop::admit`]: connection limits                 |
//! | `RequestHandlerClass`       | [`session::Handler`], one object for all connections            |
//! | `setup`, `handle`, `finish` | [`joined`](session::Handler::joined), [`received`](session::Handler::received) and [`ended`](session::Handler::ended), [`left`](session::Handler::left) |
//! | `service_actions`           | [`server::EventLoop::process`]                                  |
//! | `shutdown_request`          | `Table::close` and `Table::remove` in `server/lifecycle.rs`       |
//! | `shutdown`                  | [`session::Clients::stop`], SIGTERM                             |
//!
//! Datagrams have no connections: `udp-serve` has a loop of its own over the same poller and the same
//! program runner (`session/datagrams/serve.rs`), whose relay keeps a socket for each client
//! (`session/datagrams/relay.rs`); `udp-send` has one for its prompt and `--talk`
//! (`session/datagrams/talk.rs`).
//!
//! # The phases of a connection
//!
//! ```text
//! accept ─┐                           ┌────────────────────────┐
//!         │                           │                        v
//!         ├─> Handshake ─> Waiting ─> Open ──> HandedOff ──> Closing ──> LastAck ──> removed
//! dial ───┘   one after    while the  │  ^     a program     what is queued
//!             another      server is  v  │     has the       is sent, then FIN
//!                          full    Handshake   socket
//!                                  STARTTLS
//! ```
//!
//! Handshakes of a server: PROXY header, then the client's proof or TLS. Of a client: the proxy's
//! tunnel, then our proof or TLS. A phase that has nothing to do is skipped, and a failure in any phase removes the
//! connection. Where people talk a client is `Silent` before it is `Open`, until its first byte or for
//! a moment: a health check leaves from there. `server/phase.rs` has what each phase keeps and what
//! happens to bytes in it; a connection that is still being dialled is not in the table
//! (`server/outgoing.rs`).
//!
//! A handler can begin TLS on an open connection ([`Clients::start_tls`](session::Clients::start_tls)): the
//! connection stays admitted and joined during that handshake, nothing is sent or received for the handler, and
//! [`tls_started`](session::Handler::tls_started) or the end of the connection follows.
//!
//! How `connect` gets its connection:
//!
//! ```text
//! commands/connect.rs     Connect::run                one target; several are commands/connect/check.rs
//! roles/client.rs         run                         the flags, checked
//! roles/client/open.rs    Opener::route               the proxy, its password, the timeouts
//! roles/client.rs         Choice::serve               which handler
//! server/mod.rs           Run::serve
//! session/mod.rs          Handler::begin              how many are dialled
//! server/outgoing.rs      EventLoop::dial, begin_attempt
//!                         EventLoop::step_dialer      <- net/dial.rs Dialer::step
//!                         EventLoop::connected
//! server/negotiation.rs   EventLoop::begin_handshake, negotiate, handle
//! server/outgoing.rs      EventLoop::tunnel           the end of the proxy's handshake, where there is one
//!                         EventLoop::reached
//! server/negotiation.rs   EventLoop::begin_handshake, negotiate, handle
//! server/security.rs      EventLoop::secure           the end of our key's or of TLS, where there is one
//! server/accept.rs        EventLoop::admit            as for an accepted connection
//! ```
//!
//! # How a connection ends
//!
//! A graceful close (FIN, and a codec's end of stream before it) tells the peer that the stream is
//! complete; anything else is a reset. Handlers give the reason, and `Entry::is_graceful`
//! (`server/lifecycle.rs`) decides by it alone. A connection that is aborted gets no FIN and no end of
//! the codec's, but a reset once what was sent is acknowledged.
//!
//! | verb | what is queued | the peer gets | used for |
//! |------|----------------|---------------|----------|
//! | [`Clients::finish`](session::Clients::finish) | is sent | FIN behind it (half-close), and may go on | the end of our input |
//! | [`Clients::close`](session::Clients::close), `Table::close`, for a graceful reason | is sent | a codec's reason, FIN; what it sends is dropped until it ends, is silent or `DRAIN` is over (a client does not wait for that, except behind a program) | the handler's wish, limits, the end of a program |
//! | the same for any other, `Table::abort` | is sent while the peer acknowledges some every half second, behind a relay every 5 s ([`reset_timeout`](session::Handler::reset_timeout)); with the reason `slow` dropped | a reset | idle timeouts, stdin that had not ended (also where a run stops: [`is_incomplete`](session::Handler::is_incomplete)), failed scripts, killed programs; what is left at the end of a run |
//! | `Table::await_last_ack` | is sent already | nothing more, until it has acknowledged everything or failed | the last phase of all these: a connection that is over succeeds only then, within `--linger` |
//! | `Table::remove` | is lost | close(2): a reset, unless FIN was sent | failures, refusals, the end of time |
//! | `Table::hang_up`, [`Clients::reclaim`](session::Clients::reclaim) | is the program's | shutdown(2), of the reading side alone where a reset follows; once the program is done, as with `close` | sockets of programs |
//!
//! UNIX sockets have no reset: the kernel shows one only where data was left unread. The process that
//! SIGKILL ends is closed by the kernel, with FIN; an encrypted session shows that, too.
//!
//! Half-close. The peer's FIN is [`Handler::ended`](session::Handler::ended), which finishes our side
//! unless the handler has more to send: a pipe goes on until stdin ends, or is cut off where it has been
//! silent for `HALF_CLOSE_DELAY` (`PeerEnd` in `session/pipe.rs`); a script until its steps are done; the prompt and a room
//! close. Our own end is [`Connection::end_output`](net::connection::Connection::end_output), which
//! sends no FIN with `--no-half-close` or `--recv-only`. `Table::process` removes a connection both of
//! whose sides have ended, and sends the FIN that was held back before.
//!
//! # A turn of the loop
//!
//! `serve_forever` in `server/mod.rs` repeats:
//!
//! 1. `process`: what follows from the last turn. `server/process.rs` flushes, sends FIN, removes,
//!    sets the watched events and the timer of each entry that was changed; broadcasts are flushed
//!    if that is due (`server/flush.rs`), which updates back-pressure; connections that wait are
//!    admitted; the handler gets `left`, `drained` and `closed`, and what it wants dialled is. Repeated
//!    until nothing follows.
//! 2. `end`: whether the run is over.
//! 3. `Poller::wait`, until the first of all deadlines.
//! 4. `dispatch`, for each descriptor that is ready: the listener (`server/accept.rs`), the dialer
//!    (`server/outgoing.rs`), a signal, input ([`session::seat::Inbox`]), the handler's own source, or a
//!    connection (`server/receive.rs`): a handshake goes on (`server/negotiation.rs`), or one read
//!    is offered to the handler. `process` comes once more before anything is accepted, and broadcasts
//!    of [`HIGH_WATER`](net::flow::HIGH_WATER) bytes are flushed at once.
//! 5. `offer_unread`: what handlers have left is offered again, before anything newer.
//! 6. `run_timers`: idle timeouts, lingering, handshakes (`server/timers.rs`), evictions
//!    (`server/preauth.rs`), the handler's deadline. Something is due only once a wait has found
//!    nothing ready, or 50 ms late ([`DeadlineGrace`](net::deadline::DeadlineGrace)): after SIGSTOP, or a pause of
//!    the machine, what has arrived comes first.
//!
//! One thread does all this. Helper threads look names up ([`net::resolve`]), edit lines
//! ([`console::prompt`]), read a stdin whose lines are needed ([`session::seat`]), write to
//! descriptors that may block ([`console::printer`], [`console::file`]), and start programs
//! ([`session::program`]), and write to and read from the Redis of a room of several servers
//! (`session/room/bridge/threads.rs`). `connect -z` checks each ADDRESS in a thread of its own, without a loop
//! ([`net::scan`]). Through a proxy or with TLS each check is a run of its own, with the handler `Check`
//! (`roles/client/open.rs`); several threads share the ports of an ADDRESS then.
//!
//! # Invariants
//!
//! Of the table (`server/table.rs`):
//!
//! - Whatever changes an entry puts its slot into `pending`. `Table::process` derives the rest from the
//!   entry's state: FIN, watched events, the timer, and the removal of what has ended or failed.
//!   `Table::remove` is called for refusals, failed handshakes and timeouts, too; `server/handoff.rs`
//!   stops watching what it hands off.
//! - `queued` is the sum of what all outboxes own, as `Entry::count_queued` last counted them: in
//!   `Table::process`, and after a flush of broadcasts.
//! - A handler knows exactly the entries in `Open`, in `HandedOff` and in the handshake of STARTTLS: each
//!   was `joined` and gets one `left`, but for those that are cut off when the run is over, and one
//!   `closed`, with how the connection ended. What a handler does to a client in another phase has no effect, and a [`session::Id`] never means a later connection in the same slot.
//! - `admitted` counts the entries that hold a place of `--max-conns`, from `Open` to removal.
//!
//! Of a connection ([`net::connection`]):
//!
//! - The handler gets data, then what it had left of it, then the end; also if a read brought both.
//! - A failure to send does not hide what has arrived: that is read first, and the failure is the end.
//! - The peer's end inside a codec and the end of the wire are two events; the wire ending without
//!   the codec's end is an error ([`net::codec::Codec::at_wire_eof`]).
//!
//! # Three walks
//!
//! A pair of a relay: the client's bytes go to the target, and the other way round in the same way:
//!
//! ```text
//! session/relay/mod.rs     Relay::joined                the client is paused
//! session/relay/search.rs  Targets::find_for, dial      or unreached: the next target
//! server/outgoing.rs       EventLoop::dial              as for `connect`
//! session/relay/mod.rs     Relay::join
//! server/receive.rs        EventLoop::receive
//! session/relay/mod.rs     Relay::readable, splice
//! server/clients.rs        Table::splice_between
//! net/splice.rs            Splice::step
//! session/relay/mod.rs     Relay::resume                the target has room again: what the pipe holds, the end
//! ```
//!
//! A byte of `connect`, from stdin to the wire, where it is copied:
//!
//! ```text
//! server/mod.rs       EventLoop::dispatch (HANDLER)
//! session/pipe.rs     Pipe::tick, feed, feed_some, copy
//! session/stdio.rs    Streams::read                   <- net/stdio.rs Stdio::read
//! session/pipe.rs     Pipe::send
//! server/clients.rs   Table::send
//! net/connection.rs   Connection::send                with a codec: flush -> its encode
//! net/socket.rs       Socket::send                    what it does not take: net/outbox.rs
//! ```
//!
//! and back, from the wire to stdout:
//!
//! ```text
//! server/mod.rs       EventLoop::dispatch
//! server/receive.rs   EventLoop::connection, receive
//! net/connection.rs   Connection::read                <- net/socket.rs Socket::recv
//!                                                     -> the codec's decode
//! session/pipe.rs     Pipe::received
//! session/stdio.rs    Streams::write, put             -> net/stdio.rs Stdio::write
//! ```
//!
//! Where neither a codec nor `--hex`, `--log` or `--timestamps` has to see the bytes, the kernel moves
//! them: `feed_some` calls `Table::splice_from`, `readable` calls `Table::splice_to`, and both
//! `Splice::step` in [`net::splice`]. A program gets the socket itself (`server/handoff.rs`).
//!
//! A line of a room, from a member's socket to those of all others:
//!
//! ```text
//! server/mod.rs           EventLoop::dispatch
//! server/receive.rs       EventLoop::connection, receive
//! net/connection.rs       Connection::read            <- net/socket.rs Socket::recv
//! session/room/handler.rs Room::received, take_turn   <- net/line.rs Lines::next
//! session/room/commands.rs Members::receive, message  a line becomes what the others get
//! session/room/handler.rs Delivery::broadcast
//! server/clients.rs       Table::broadcast
//! net/outbox.rs           BroadcastLog::push          once, for all members
//!                         ---- the end of the turn, or of 256 KiB ----
//! server/process.rs       Table::flush_broadcasts
//! net/connection.rs       Connection::flush           -> the codec's encode
//! net/outbox.rs           Outbox::send_to, send_some  -> net/socket.rs Socket::send_vectored
//! ```
//!
//! With `--bridge` it goes to the members of other servers besides, without waiting for Redis:
//!
//! ```text
//! session/room/bridge/mod.rs      Bridge::publish
//! session/room/bridge/order.rs    Backlog::push       numbered, kept
//!                                 ---- the writer's thread ----
//! session/room/bridge/threads.rs  Writer::write
//! session/room/bridge/store.rs    Store::append       -> XADD
//!                                 ---- the reader's thread of another server ----
//! session/room/bridge/store.rs    Store::read         <- XREAD
//! session/room/bridge/order.rs    Seen::take          known by its number?
//!                                 ---- its loop ----
//! session/room/handler.rs         Room::cross
//! session/room/remote.rs          Members::apply      then as above, from pass_on on
//! ```
//!
//! # Back-pressure
//!
//! Two rules:
//!
//! 1. **What waits for one connection is bounded.** Over its handler's
//!    [`queue_limit`](session::Handler::queue_limit), which a room has, it is cut off with the reason `slow`
//!    (`Table::process`); elsewhere the second rule bounds it, but at a prompt, which sends all that is
//!    typed. The time is bounded for two: one of several clients of a pipe (`-w`, while others read),
//!    and one that is being closed (`DRAIN`). Any other connection may take nothing for ever, unless
//!    `-i` is given. What the peer has acknowledged counts as taken (`Connection::update_acked`): a slow reader
//!    makes room in the socket only once in a while. Bytes that several clients get wait as one copy
//!    ([`Clients::send_shared`](session::Clients::send_shared)), and are encoded as the socket takes them.
//! 2. **Sources are not read while a reader is over the high-water mark.** The sources:
//!    - the connection itself (`Table::process`), while its own queue is. One that has taken nothing for
//!      `STALL_AFTER` is read all the same, while its queue owns less than is left of `TOTAL_QUEUE_LIMIT`: it
//!      may write all before it reads any, and however much it writes, something is left for others;
//!    - for broadcasts every connection, and a room's stdin (`server/backpressure.rs`,
//!      [`Clients::is_paused`](session::Clients::is_paused)). A reader that has taken nothing for
//!      `STALL_AFTER` is not waited for;
//!    - the stdin of a pipe (`Pipe::has_room`) and the output of a program with a relay
//!      (`ClientPrograms::watch`). These wait for a stalled reader, too; with one client stdin waits until
//!      its queue is empty.
//!
//!    The other way round a handler that has no room takes fewer bytes than it was offered, or pauses
//!    clients. `udp-serve` receives nothing, also from the target of a relay, while an answer or a relayed
//!    datagram waits, stdout is full or `-m` programs run: datagrams stay in the socket. A talk over datagrams receives while what was entered waits, and
//!    asks for no more of it.
//!
//! | constant             | file                         | is                                              |
//! |----------------------|------------------------------|-------------------------------------------------|
//! | `HIGH_WATER`         | `net/flow.rs`                | the high-water mark, 256 KiB                    |
//! | `STALL_AFTER`        | `net/flow.rs`                | a reader that has taken nothing for 100 ms is stalled |
//! | `TOTAL_QUEUE_LIMIT`  | `net/flow.rs`                | the queues of stalled connections together own 256 MiB at most, one of them half of it |
//! | `QUEUE_LIMIT`        | `session/room/handler.rs`    | a member with 1 MiB queued is cut off, a client of a broker, too |
//! | `MOST`               | `session/room/recall.rs`     | `--recall` keeps 1 MiB; a newcomer may have as much more queued |
//! | `IGNORED`            | `session/room/commands.rs`   | a member ignores 100 others                     |
//! | `SKIP_COST`          | `session/room/handler.rs`    | a line that is kept from a member counts as 64 bytes more in its turn |
//! | `PRIVATE_LIMIT`      | `session/room/handler.rs`    | one with 256 KiB queued gets no private messages |
//! | `TURN_LIMIT`         | `session/room/handler.rs`    | a room delivers 256 KiB for one member in a turn; the rest is the next's |
//! | `STDIN_POLL`         | `session/room/handler.rs`    | a room looks every 20 ms whether stdin may be read again |
//! | `MOST`               | `session/room/bridge/order.rs` | 8 MiB of records wait for Redis, then the first are dropped |
//! | `MOST_PRIVATE`       | `session/room/bridge/outgoing.rs` | 1 MiB of private lines wait for Redis, then they are refused |
//! | `HIGH_WATER`, `WAIT` | `session/room/bridge/mod.rs` | with 1 MiB of them the members wait, 250 ms without progress at most |
//! | `INCOMING`           | `session/room/bridge/mod.rs` | 256 messages of the bridge's threads wait for the room, then the threads do |
//! | `OUTPUT_TIMEOUT`     | `session/room/operator.rs`   | a room waits 250 ms for the operator's screen, then it skips lines |
//! | `RATE_AFTER`, `RATE` | `server/backpressure.rs`     | after 250 ms senders wait only while the readers over the mark take 4 MiB/s |
//! | `BACK_PRESSURE_POLL` | `server/timers.rs`           | that is decided again every 20 ms               |
//! | `DRAIN`              | `server/timers.rs`           | a connection that is being closed may take nothing for 10 s |
//! | `FULL_POLL`          | `session/pipe.rs`            | a pipe with several clients looks every 50 ms whether stdin may be read again |
//! | `WINDOW`             | `session/script/mod.rs`      | a script keeps the last 1 MiB that no step has read |
//! | `SPARE_PIPES`        | `session/relay/mod.rs`       | a relay keeps 4 empty pipes for the next bytes  |
//! | `LINK_LIMIT`         | `session/relay/network.rs`   | on a bad network 1 MiB is on its way in a direction of a pair |
//! | `UNMATCHED`          | `session/when.rs`            | `--when` keeps the last 1 MiB that matched no rule |
//! | `FINAL_READ_LIMIT`   | `session/program/handler.rs` | of a program that has ended 1 MiB is still read |
//! | `SEND_TIMEOUT`       | `session/datagrams/serve.rs` | an answer of `udp-serve` waits 200 ms for room in the socket |
//! | `WAITING`            | `session/datagrams/relay.rs` | datagrams that wait for a lookup, 1 MiB         |
//! | `MATCHES`, `ANSWERED` | `session/datagrams/serve.rs` | `udp-serve --when` answers 1,024 matches of a datagram, none once 64 KiB are sent |
//! | `CAPACITY`           | `console/printer.rs`         | of 1 MiB on, output that is not read pauses the clients, and talk is dropped |
//!
//! # What the interfaces carry
//!
//! Facts for what may be built on them:
//!
//! - **Encryption** is a handshake whose [`net::handshake::Outcome`] has a codec: Noise and TLS.
//!   [`auth::security`] chooses it for either role; `server/security.rs` runs it, with the pre-auth limits of
//!   a server. The driver looks into neither. [`net::codec::Codec::decode`] may decrypt where the bytes are,
//!   and has a second buffer for what the codec answers on its own (TLS alerts, key updates), which
//!   [`net::connection::Connection::read`] transmits. A [`net::codec::ProtocolError`] carries the exit status:
//!   a TLS 1.3 server refuses our certificate by an alert behind the handshake. Splicing and handing off stop
//!   by themselves where there is a codec. A connection has one codec: what is encrypted cannot be framed,
//!   too. What is known of a TLS session is plain data, [`net::tlsinfo::TlsInfo`], in the entry.
//!   STARTTLS is the same handshake with a `Purpose` of its own: [`Clients::start_tls`](session::Clients::start_tls)
//!   begins it once the queue is empty, and what the peer sends from then on belongs to it.
//! - **Relays** ([`session::relay`]): a handler sees every connection by its `Id` and can send to any, pause any,
//!   and take less than it is offered. It dials as many as it wants ([`Clients::dial`](session::Clients::dial)), each
//!   by one of the run's [`server::Route`]s and for a client; such a connection is a target: it takes no place of
//!   `-m` and `--per-ip`, has no dump, and ends as an accepted one does where the run stops. A pair's bytes go
//!   through a pipe ([`Clients::splice_between`](session::Clients::splice_between)), which is kept only while
//!   bytes are inside. On a bad network they are copied to a [`Link`](session::relay::network::Link) for each direction,
//!   which is pure and says what leaves when. Idle timeout and linger hold for all connections of a run; what the end of one means for its
//!   partner is the handler's to say ([`closed`](session::Handler::closed)).
//! - **Scripts**: [`session::script::Script`] is pure and knows no role; its handler
//!   ([`session::script::handler::Scripted`]) keeps one for each connection, with a timer of its own.
//!   [`session::script::repeat::Repeated`] is the same for connections that it dials one after the other.
//!
//! # How to add
//!
//! Each list is whole: it was followed with a toy, and nothing else had to change. Options, flags and
//! commands also need `SOCKCTL_UPDATE=1 cargo test completions`, and a line in `CHANGELOG.md`.
//!
//! A **socket option** (1 file):
//! - `net/options/table.rs`: a row; its number, if libc lacks it, is written there. The names of its values
//!   go into `net/options/names.rs`. A new form of value is a `ValueFormat` in `net/options/format.rs`, which
//!   `net/options/value.rs` shows.
//! - Where it applies: `COUNTED` in `commands/opts/inspect.rs` for a counter, which differs on every
//!   socket; `net/sockopt/explain.rs` for why the kernel refuses or changes a value.
//!
//! A **flag** (2 files): a field of the `Args` that all its commands have, and where it acts.
//! - one command: `commands/NAME.rs`;
//! - TLS: `args/tls.rs`;
//! - `connect` and `auth-connect`: `ClientArgs` in `roles/client.rs`;
//! - `serve` and `auth-serve`: `ServerArgs` in `roles/server.rs`;
//! - all that open a socket: `SocketArgs` in `args.rs`; all: `TalkArgs` there.
//! - `cli/hints.rs`: what other programs call it, in `FLAGS`; a row that it replaces goes.
//!
//! A **handler** (3 files):
//! - `session/NAME.rs`: implements [`session::Handler`]; every method has a default, which drops what
//!   comes.
//! - `session/mod.rs`: `pub mod NAME`.
//! - `roles/server.rs`: the flag in `ServerArgs` (group `handler`), a variant of `Choice`, and its arms in
//!   `of` and `serve`.
//! - For `connect` and `auth-connect` instead: the same in `ClientArgs` and `Choice` in `roles/client.rs`.
//! - The same flag for datagrams: a variant of `Answer` in `session/datagrams/serve.rs`, its arm in
//!   `Service::handle`, and the flag in `commands/udp_serve.rs`.
//!
//! A **step** of scripts (3 files):
//! - `session/script/mod.rs`: a [`Step`](session::script::Step), what [`Script::act`](session::script::Script::act)
//!   asks for then, and its row in the table.
//! - `session/script/handler.rs`: its arm in `Scripted::act`; one that takes time has a `Phase` in
//!   `conversation.rs`.
//! - `roles/steps.rs`: the flag, in `STEPS`, `update_from_arg_matches` and `augment_args`.
//!
//! A **command** (3 files):
//! - `commands/NAME.rs`: clap `Args` and `run`.
//! - `commands/mod.rs`: `pub mod NAME`.
//! - `cli.rs`: a row of `COMMANDS`.
//! - Its tests: a file in `tests/` with a `mod NAME` in `tests/main.rs`, and the lists of commands in
//!   `tests/arguments.rs` and `tests/completions.rs`.
//!
//! A **handshake** with a proxy (3 files):
//! - `net/proxy/NAME.rs`: implements [`net::handshake::Handshake`].
//! - `net/proxy.rs`: `mod NAME`, a variant of [`net::proxy::Scheme`], and its arms in `parse` (also in the
//!   forms it names), `longest`, `handshake` and `Display`.
//! - `roles/client.rs`: the help of `--proxy`.
//!
//! A **handshake** that proves a key (4 files):
//! - `auth/NAME.rs`: implements [`net::handshake::Handshake`], for one role or both.
//! - `auth/mod.rs`: `pub mod NAME`; `asks_for_key`, if its server speaks first.
//! - `auth/proof.rs`: a variant of [`auth::proof::Proof`], and its arms.
//! - `args.rs`: the flag in `KeyArgs`, and how `KeyArgs::proof` makes the variant.
//!
//! Both also go into the lists of `auth/tests.rs`, which try each handshake at every split of its bytes.
//! What precedes the payload for another purpose is a `Purpose` in `server/phase.rs`, whose end
//! `server/negotiation.rs` directs.
//!
//! A **codec** (2 files):
//! - `codec/NAME.rs`: implements [`net::codec::Codec`].
//! - `codec/mod.rs`: `pub mod NAME`. A handshake returns it in its `Outcome`.

#![allow(
    rustdoc::private_intra_doc_links,
    reason = "the architecture is also that of private items"
)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")
)]

mod args;
pub mod auth;
pub mod cli;
pub mod codec;
mod commands;
pub mod console;
pub mod exit;
pub mod net;
mod roles;
pub mod sanitize;
pub mod server;
pub mod session;
