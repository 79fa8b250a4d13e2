//! Buckets in Redis, by its clock, so that several gateways admit together what one would.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, Script};
use tokio::sync::Mutex;

use super::bucket::{Name, Rate, Verdict};

/// Time that Redis has for an answer.
const ANSWER_MAX: Duration = Duration::from_millis(250);
/// How long it is left alone after it failed.
const PAUSE_MS: i64 = 1_000;

/// The same sum as `Rate::take`, done where all gateways meet. Arguments: what one costs, what a bucket holds, microseconds.
const TAKE: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local before = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local after = before + ARGV[1]
local over = after - now - ARGV[2]
if over > 0 then return {before - now, over} end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
return {after - now, 0}
";

/// A Redis that counts.
pub(super) struct Shared {
    client: Client,
    script: Script,
    connection: Mutex<Option<MultiplexedConnection>>,
    /// When it is asked again after a failure; 0 while it answers.
    again_ms: AtomicI64,
}

impl Shared {
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let client = Client::open(url);
        // The address may hold a password, and so may an error about it.
        let client =
            client.map_err(|_| "gateway.limits.redis is no address: write redis://HOST:PORT".to_owned())?;
        let (script, connection, again_ms) = (Script::new(TAKE), Mutex::default(), AtomicI64::new(0));
        Ok(Self { client, script, connection, again_ms })
    }

    pub(super) fn is_up(&self) -> bool {
        self.again_ms.load(Ordering::Relaxed) == 0
    }

    /// What Redis says; `None` while it is away.
    pub(super) async fn take(&self, who: &Name, rate: Rate, now_ms: i64) -> Option<Verdict> {
        if now_ms < self.again_ms.load(Ordering::Relaxed) {
            return None;
        }
        let answer = tokio::time::timeout(ANSWER_MAX, self.ask(who, rate)).await;
        match answer
            .map_err(|_| "it did not answer in time".to_owned())
            .and_then(|a| a.map_err(|e| e.to_string()))
        {
            Ok((full_us, over_us)) => {
                if self.again_ms.swap(0, Ordering::Relaxed) != 0 {
                    tracing::info!("Redis counts again");
                }
                Some(rate.verdict(full_us, over_us))
            }
            Err(error) => {
                *self.connection.lock().await = None;
                if self.again_ms.swap(now_ms + PAUSE_MS, Ordering::Relaxed) == 0 {
                    tracing::warn!(error, "Redis is away: this gateway counts for itself");
                }
                None
            }
        }
    }

    async fn ask(&self, who: &Name, rate: Rate) -> redis::RedisResult<(i64, i64)> {
        let mut connection = {
            let mut held = self.connection.lock().await;
            match &*held {
                Some(connection) => connection.clone(),
                None => held.insert(self.client.get_multiplexed_async_connection().await?).clone(),
            }
        };
        let (one, whole) = rate.costs_us();
        let digits: String = who.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = format!("nexus:limit:{digits}");
        self.script.key(key).arg(one).arg(whole).invoke_async(&mut connection).await
    }
}
