//! What the bridge keeps in Redis or Valkey, and the commands for it. All keys begin with `sockctl:{ROOM}:`.
//!
//! | key             | is                                                                     | until              |
//! |-----------------|------------------------------------------------------------------------|--------------------|
//! | `lines`         | a stream: entries of records that all servers read                     | trimmed at about 10,000 entries; a week of silence |
//! | `to:SERVER`     | the same for one server: private lines                                 | 1,000 entries; a minute |
//! | `names`         | a hash: for each name, in the forms it can be mistaken in, its owner   | released; a week   |
//! | `servers`       | a set: the servers                                                     | they stop; a week  |
//! | `alive:SERVER`  | a string: the server is there, and holds its names                     | 10 s without it    |
//! | `guests`        | a counter: how many guests have been numbered                          | a week             |

use std::env;
use std::ops::Range;
use std::time::Duration;

use redis::{Client, Connection, IntoConnectionInfo, Pipeline, RedisError, RedisResult, cmd, pipe};

use super::order::{Entry, MOST};
use crate::exit::Failure;
use crate::sanitize::names;

/// How long a command may take, and connecting. A read that waits for entries waits for [`BLOCK`] less.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long a read waits for entries.
const BLOCK: Duration = Duration::from_secs(1);
/// How long the names of a server are held without it.
pub const ALIVE: Duration = Duration::from_secs(8);
/// After so long all that is left of a room goes.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The same for private lines that were not fetched, and how many are kept.
const PRIVATE: Duration = Duration::from_secs(60);
const MOST_PRIVATE: u64 = 1000;
/// Entries that one read returns at most.
const BATCH: usize = 256;
/// Guests that one server numbers at a time.
const GUESTS: u64 = 1000;

/// Takes a name in all its forms for `SERVER NAME`, unless a server that is there holds one of them: returns
/// what holds it then.
const CLAIM: &str = "
for i = 3, #ARGV do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  if held then
    local owner = string.match(held, '^%S+')
    if owner ~= ARGV[1] and redis.call('EXISTS', KEYS[2] .. owner) == 1 then return held end
  end
end
for i = 3, #ARGV do redis.call('HSET', KEYS[1], ARGV[i], ARGV[1] .. ' ' .. ARGV[2]) end
return false";

/// Gives a name back, as far as `SERVER NAME` holds it.
const RELEASE: &str = "
for i = 3, #ARGV do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[1] .. ' ' .. ARGV[2] then
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
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
            Failure::usage(format!("{error}; accepted: {forms}, each with ?room=NAME"))
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

    fn with_name(&self, commands: &mut Pipeline, script: &str, keys: &[&str], name: &str) {
        commands.cmd("EVAL").arg(script).arg(keys.len());
        for key in keys {
            commands.arg(self.key(key));
        }
        let skeletons = names::skeletons(name);
        commands.arg(&self.server).arg(name).arg(&skeletons[..]);
    }

    /// Takes these names; of each that another server holds, that name.
    pub fn claim(&mut self, names: &[&str]) -> RedisResult<Vec<Option<String>>> {
        let mut commands = pipe();
        for name in names {
            self.with_name(&mut commands, CLAIM, &["names", "alive:"], name);
        }
        let held: Vec<Option<String>> = commands.query(&mut self.connection)?;
        let name = |held: String| held.split_once(' ').map(|(_, name)| name.into());
        Ok(held.into_iter().map(|held| held.and_then(name)).collect())
    }

    /// Gives these names back.
    pub fn release(&mut self, names: &[&str]) -> RedisResult<()> {
        let mut commands = pipe();
        for name in names {
            self.with_name(&mut commands, RELEASE, &["names"], name);
        }
        commands.query(&mut self.connection)
    }

    /// The members of the other servers, as servers and names.
    pub fn members(&mut self) -> RedisResult<Vec<(String, String)>> {
        let all: Vec<String> = cmd("HVALS").arg(self.key("names")).query(&mut self.connection)?;
        let owned = all.iter().filter_map(|value| value.split_once(' '));
        let others = owned.filter(|(server, _)| *server != self.server);
        let mut others: Vec<_> =
            others.map(|(server, name)| (server.into(), name.into())).collect();
        others.sort_unstable();
        others.dedup(); // a name has several forms
        Ok(others)
    }

    /// Numbers for guests that no other server gives.
    pub fn guests(&mut self) -> RedisResult<Range<u64>> {
        let end: u64 =
            cmd("INCRBY").arg(self.key("guests")).arg(GUESTS).query(&mut self.connection)?;
        Ok(end.saturating_sub(GUESTS) + 1..end + 1)
    }

    /// Appends entries, to all or to one server; what Redis calls them.
    pub fn append(&mut self, to: Option<&str>, entries: &[&Entry]) -> RedisResult<Vec<String>> {
        let key = self.key(&to.map_or_else(|| "lines".into(), |server| format!("to:{server}")));
        let most = if to.is_none() { MOST } else { MOST_PRIVATE };
        let mut commands = pipe();
        for entry in entries {
            commands.cmd("XADD").arg(&key).arg("MAXLEN").arg("~").arg(most).arg("*");
            commands.arg("server").arg(&self.server).arg("first").arg(entry.first);
            commands.arg("records").arg(&entry.records);
        }
        if to.is_some() {
            commands.cmd("EXPIRE").arg(&key).arg(PRIVATE.as_secs()).ignore();
        }
        commands.query(&mut self.connection)
    }

    /// The last entries, the first of them first.
    pub fn last(&mut self, most: usize) -> RedisResult<Entries> {
        let key = self.key("lines");
        let range = cmd("XREVRANGE").arg(key).arg("+").arg("-").arg("COUNT").arg(most).to_owned();
        let mut entries: Entries = range.query(&mut self.connection)?;
        entries.reverse();
        Ok(entries)
    }

    /// Whether the stream has this entry.
    pub fn has(&mut self, id: &str) -> RedisResult<bool> {
        let key = self.key("lines");
        let range = cmd("XRANGE").arg(key).arg(id).arg(id).to_owned();
        let entries: Entries = range.query(&mut self.connection)?;
        Ok(!entries.is_empty())
    }

    /// Waits for a second for entries behind these, in the stream of all and in that of this server.
    pub fn read(&mut self, behind: &[String; 2]) -> RedisResult<[Entries; 2]> {
        let keys = [self.key("lines"), self.key(&format!("to:{}", self.server))];
        self.connection.set_read_timeout(Some(BLOCK + TIMEOUT))?;
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(BATCH).arg("BLOCK").arg(millis(BLOCK));
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
        commands.cmd("DEL").arg(self.key(&format!("alive:{}", self.server))).ignore();
        commands.query::<()>(&mut self.connection)?;
        self.living().map(drop)
    }

    fn living(&mut self) -> RedisResult<Vec<String>> {
        let [alive, all, names] = ["alive:", "servers", "names"].map(|it| self.key(it));
        let living = cmd("EVAL").arg(LIVING).arg(3).arg(all).arg(alive).arg(names).to_owned();
        living.query(&mut self.connection)
    }
}
