//! What the bridge keeps in Redis or Valkey, and the commands for it. All keys begin with `sockctl:{ROOM}:`.
//!
//! | key             | is                                                                     | until              |
//! |-----------------|------------------------------------------------------------------------|--------------------|
//! | `lines`         | a stream: entries of records that all servers read                     | trimmed at about 10,000 entries; a week of silence |
//! | `to:SERVER`     | the same for one server: private lines                                 | 1,000 entries; a minute |
//! | `names`         | a hash: for each name, in the forms it can be mistaken in, its owner   | released; a week   |
//! | `servers`       | a set: the servers                                                     | they stop; a week  |
//! | `alive:SERVER`  | a string: the server is there, and holds its names                     | 8 s without it     |
//! | `guests`        | a counter: how many guests have been numbered                          | a week             |

use std::collections::BTreeSet;
use std::env;
use std::error::Error;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use redis::{
    Client, Connection, IntoConnectionInfo, Pipeline, RedisError, RedisResult, Value, cmd, pipe,
};

use super::order::Entry;
use super::outgoing::Claim;
use crate::exit::{Failure, cause};
use crate::sanitize::{self, names};

/// How long a command may take, and connecting. A read that waits for entries may take [`BLOCK`] longer.
pub const TIMEOUT: Duration = Duration::from_secs(2);
/// How long a read waits for entries.
pub const BLOCK: Duration = Duration::from_secs(1);
/// How long the names of a server are held without it.
pub const ALIVE: Duration = Duration::from_secs(8);
/// After so long all that is left of a room goes.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Entries that the stream of all has at least.
const MOST: u64 = 10_000;
/// The same for private lines that were not fetched, and after how long they go.
const PRIVATE: Duration = Duration::from_secs(60);
const MOST_PRIVATE: u64 = 1000;
/// Entries that one read returns at most.
const BATCH: usize = 64;
/// Before any entry.
pub const START: &str = "0-0";
/// Guests that one server numbers at a time.
const GUESTS: u64 = 1000;

/// Takes a name in all its forms for `SERVER MEMBER NAME`, unless another member of a server that is there holds
/// one of them: returns what holds it then.
const CLAIM: &str = "
for i = 4, #ARGV do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  if held then
    local owner, member = string.match(held, '^(%S+) (%S+)')
    if owner ~= ARGV[1] and redis.call('EXISTS', KEYS[2] .. owner) == 1
      or owner == ARGV[1] and member ~= ARGV[2] then return held end
  end
end
local value = table.concat(ARGV, ' ', 1, 3)
for i = 4, #ARGV do redis.call('HSET', KEYS[1], ARGV[i], value) end
return false";

/// Gives a name back, as far as `SERVER MEMBER NAME` holds it.
const RELEASE: &str = "
local value = table.concat(ARGV, ' ', 1, 3)
for i = 4, #ARGV do
  if redis.call('HGET', KEYS[1], ARGV[i]) == value then redis.call('HDEL', KEYS[1], ARGV[i]) end
end";

/// The servers that are there. The names of the others are given back.
const LIVING: &str = "
local living, dead = {}, {}
for _, server in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  if redis.call('EXISTS', KEYS[2] .. server) == 1 then
    living[#living + 1] = server
  else
    dead[server] = true
    redis.call('SREM', KEYS[1], server)
  end
end
if next(dead) then
  local all = redis.call('HGETALL', KEYS[3])
  for i = 1, #all, 2 do
    if dead[string.match(all[i + 1], '^%S+')] then redis.call('HDEL', KEYS[3], all[i]) end
  end
end
return living";

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The server, the member and the name that a value of `names` has.
fn owned(value: &str) -> Option<(&str, u64, &str)> {
    let mut words = value.split(' ');
    Some((words.next()?, words.next()?.parse().ok()?, words.next()?))
}

/// Members of other servers: their server, number and name. One that changes its name has both for a moment.
pub type Others = BTreeSet<(String, u64, String)>;

/// The entries of a stream: what Redis calls each, and its fields and values in turn.
pub type Entries = Vec<(String, Vec<Vec<u8>>)>;

/// Where Redis is, and the room in it.
#[derive(Clone, Debug)]
pub struct Location {
    client: Client,
    /// The address, without a password.
    pub shown: String,
    room: String,
}

impl Location {
    /// `redis://[USER:PASSWORD@]HOST[:PORT][/DB][?room=NAME]`; `rediss://`, `unix:PATH` too.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let (rooms, others): (Vec<&str>, Vec<&str>) =
            query.split('&').filter(|it| !it.is_empty()).partition(|it| it.starts_with("room="));
        let room = rooms.last().map_or("main", |it| &it["room=".len()..]);
        if !names::name(room).is_ok_and(|it| it == room) {
            return Err(Failure::usage("room=NAME: letters, digits, _ - . only"));
        }
        let known = ["protocol=", "db=", "user=", "pass="];
        if let Some(unknown) = others.iter().find(|it| !known.iter().any(|key| it.starts_with(key)))
        {
            return Err(Failure::usage(format!("?{unknown}: expected ?room=NAME")));
        }
        let address = match address.strip_prefix("unix:") {
            Some(path) if !path.starts_with("//") => {
                let path = std::path::absolute(path).map_err(|e| Failure::usage(e.to_string()))?;
                format!("unix://{}", path.display())
            }
            _ => address.to_owned(),
        };
        let url = [address.as_str(), &others.join("&")].join("?");
        let wrong = |error: RedisError| {
            let forms = "redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss://… or unix:PATH";
            Failure::usage(format!("{}; accepted: {forms}, each with ?room=NAME", reason(&error)))
        };
        let mut info = url.trim_end_matches('?').into_connection_info().map_err(wrong)?;
        let shown = info.addr().to_string();
        let settings = info.redis_settings().clone();
        if settings.password().is_none()
            && let Ok(password) = env::var("REDISCLI_AUTH")
        {
            info = info.set_redis_settings(settings.set_password(password));
        }
        Ok(Self { client: Client::open(info).map_err(wrong)?, shown, room: room.into() })
    }
}

/// A connection to Redis.
pub struct Store {
    connection: Connection,
    room: String,
    /// This server.
    server: String,
}

impl Store {
    /// Connects.
    pub fn connect(location: &Location, server: &str) -> RedisResult<Self> {
        let connection = location.client.get_connection_with_timeout(TIMEOUT)?;
        connection.set_read_timeout(Some(TIMEOUT))?;
        connection.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { connection, room: location.room.clone(), server: server.into() })
    }

    fn key(&self, name: &str) -> String {
        format!("sockctl:{{{}}}:{name}", self.room)
    }

    /// Says that this server is there. Whether it had been so for all the time since it last said so, and which
    /// servers are there.
    pub fn beat(&mut self) -> RedisResult<(bool, Vec<String>)> {
        let mut commands = pipe();
        let own = self.key(&format!("alive:{}", self.server));
        commands.cmd("SET").arg(own).arg(1).arg("PX").arg(millis(ALIVE)).arg("GET");
        commands.cmd("SADD").arg(self.key("servers")).arg(&self.server).ignore();
        for key in ["lines", "names", "servers", "guests"] {
            commands.cmd("EXPIRE").arg(self.key(key)).arg(FORGOTTEN.as_secs()).ignore();
        }
        let (before,): (Option<String>,) = commands.query(&mut self.connection)?;
        Ok((before.is_some(), self.living()?))
    }

    fn with_name(
        &self,
        commands: &mut Pipeline,
        script: &str,
        keys: &[&str],
        (member, name): (u64, &str),
    ) {
        commands.cmd("EVAL").arg(script).arg(keys.len());
        for key in keys {
            commands.arg(self.key(key));
        }
        let skeletons = names::skeletons(name);
        commands.arg(&self.server).arg(member).arg(name).arg(&skeletons[..]);
    }

    /// Takes these names; of each that another member holds, that name.
    pub fn claim(&mut self, claims: &[Claim]) -> RedisResult<Vec<Option<String>>> {
        let mut commands = pipe();
        for Claim { member, name, .. } in claims {
            self.with_name(&mut commands, CLAIM, &["names", "alive:"], (*member, name));
        }
        let held: Vec<Option<String>> = commands.query(&mut self.connection)?;
        let name = |held: String| Some(owned(&held)?.2.into());
        Ok(held.into_iter().map(|held| held.and_then(name)).collect())
    }

    /// Gives these names of members back.
    pub fn release(&mut self, names: &[(u64, String)]) -> RedisResult<()> {
        let mut commands = pipe();
        for (member, name) in names {
            self.with_name(&mut commands, RELEASE, &["names"], (*member, name));
        }
        commands.query(&mut self.connection)
    }

    /// All members of this server, by number and name, and those of the others.
    pub fn members(&mut self) -> RedisResult<(Vec<(u64, String)>, Others)> {
        let all: Vec<String> = cmd("HVALS").arg(self.key("names")).query(&mut self.connection)?;
        let (mut own, mut others) = (Vec::new(), Others::new());
        for (server, member, name) in all.iter().filter_map(|value| owned(value)) {
            if server == self.server {
                own.push((member, name.into())); // twice: a name has several forms
            } else {
                others.insert((server.into(), member, name.into()));
            }
        }
        Ok((own, others))
    }

    /// Numbers for guests that no other server gives.
    pub fn guests(&mut self) -> RedisResult<Range<u64>> {
        let end: u64 =
            cmd("INCRBY").arg(self.key("guests")).arg(GUESTS).query(&mut self.connection)?;
        Ok(end.saturating_sub(GUESTS) + 1..end + 1)
    }

    /// Appends entries for all servers; what Redis calls them.
    pub fn append(&mut self, entries: &[Entry]) -> RedisResult<Vec<String>> {
        let mut commands = pipe();
        for entry in entries {
            self.with_entry(&mut commands, "lines", MOST, entry);
        }
        commands.query(&mut self.connection)
    }

    /// Appends entries, each for one server.
    pub fn append_private(&mut self, entries: &[(String, Entry)]) -> RedisResult<()> {
        let mut commands = pipe();
        for (server, entry) in entries {
            let name = format!("to:{server}");
            self.with_entry(&mut commands, &name, MOST_PRIVATE, entry);
            commands.cmd("EXPIRE").arg(self.key(&name)).arg(PRIVATE.as_secs());
        }
        commands.query::<Vec<Value>>(&mut self.connection).map(drop)
    }

    fn with_entry(&self, commands: &mut Pipeline, name: &str, most: u64, entry: &Entry) {
        commands.cmd("XADD").arg(self.key(name)).arg("MAXLEN").arg("~").arg(most).arg("*");
        commands.arg("server").arg(&self.server).arg("first").arg(entry.first);
        commands.arg("records").arg(&**entry.records);
    }

    /// The entries before `end`, the last of them first.
    pub fn before(&mut self, end: &str, most: usize) -> RedisResult<Entries> {
        let key = self.key("lines");
        cmd("XREVRANGE")
            .arg(key)
            .arg(end)
            .arg("-")
            .arg("COUNT")
            .arg(most)
            .query(&mut self.connection)
    }

    /// What Redis calls the last entry.
    pub fn last(&mut self) -> RedisResult<String> {
        Ok(self.before("+", 1)?.pop().map_or_else(|| START.into(), |(id, _)| id))
    }

    /// Whether Redis has had this entry and lost it, other than by trimming.
    pub fn has_lost(&mut self, id: &str) -> RedisResult<bool> {
        let key = self.key("lines");
        let mut commands = pipe();
        commands.cmd("XRANGE").arg(&key).arg(id).arg(id);
        commands.cmd("XRANGE").arg(&key).arg("-").arg("+").arg("COUNT").arg(1);
        commands.cmd("XLEN").arg(&key);
        let (there, first, count): (Entries, Entries, u64) =
            commands.query(&mut self.connection)?;
        let is_behind = first.first().is_none_or(|(first, _)| position(first) < position(id));
        Ok(there.is_empty() && (is_behind || count < MOST))
    }

    /// Waits for so long for entries behind these, in the stream of all and in that of this server.
    pub fn read(&mut self, behind: &[String; 2], block: Duration) -> RedisResult<[Entries; 2]> {
        let keys = [self.key("lines"), self.key(&format!("to:{}", self.server))];
        self.connection.set_read_timeout(Some(block + TIMEOUT))?;
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(BATCH).arg("BLOCK").arg(millis(block));
        read.arg("STREAMS").arg(&keys).arg(behind);
        let streams: Option<Vec<(String, Entries)>> = read.query(&mut self.connection)?;
        let mut found = [Vec::new(), Vec::new()];
        for (key, entries) in streams.unwrap_or_default() {
            found[usize::from(key == keys[1])] = entries;
        }
        Ok(found)
    }

    /// Ends the part of this server: its names are free.
    pub fn leave(&mut self) -> RedisResult<()> {
        let mut commands = pipe();
        for name in ["alive", "to"] {
            commands.cmd("DEL").arg(self.key(&format!("{name}:{}", self.server))).ignore();
        }
        commands.query::<()>(&mut self.connection)?;
        self.living().map(drop)
    }

    fn living(&mut self) -> RedisResult<Vec<String>> {
        let [alive, all, names] = ["alive:", "servers", "names"].map(|it| self.key(it));
        let living = cmd("EVAL").arg(LIVING).arg(3).arg(all).arg(alive).arg(names).to_owned();
        living.query(&mut self.connection)
    }
}

/// Why a command failed.
pub fn reason(error: &RedisError) -> String {
    type Inner = Arc<dyn Error + Send + Sync>;
    let inner = error.source().and_then(|source| source.downcast_ref::<Inner>());
    match inner.and_then(|inner| inner.downcast_ref()) {
        _ if error.is_timeout() => format!("no answer within {} s", TIMEOUT.as_secs()),
        Some(error) => cause(error),
        None => {
            let text = error.to_string().replace(" - InvalidClientConfig", "");
            sanitize::text(text.as_bytes())
        }
    }
}

/// Where an entry is in its stream.
pub fn position(id: &str) -> (u64, u64) {
    let (time, number) = id.split_once('-').unwrap_or((id, "0"));
    (time.parse().unwrap_or_default(), number.parse().unwrap_or_default())
}
