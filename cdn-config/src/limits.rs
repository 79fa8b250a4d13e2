//! How much one may ask: token buckets, in a table that forgets who has not come for longest.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv6Addr};

use crate::network::Limit;

/// Buckets of one generation. When the young ones are that many they become the old ones, and the old ones are
/// forgotten: who was among them begins anew, with a full bucket.
const GENERATION_MAX: usize = 65_536;
/// Requests may come in lumps of so many seconds' worth; as in what is generated for nginx.
const LUMP_REQUESTS_S: i64 = 1;
/// Bandwidth too: a segment is fetched at once.
const LUMP_BITS_S: i64 = 10;
/// A request.
const ONE: i64 = 1000;

/// Somebody asked for too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttled {
    /// Which key of the limit is exceeded.
    pub key: &'static str,
    /// From then on it is worth asking again; at least 1.
    pub retry_s: u32,
}

/// What is left of everybody's share.
#[derive(Debug, Default)]
pub struct Buckets {
    young: HashMap<u64, Bucket>,
    old: HashMap<u64, Bucket>,
    hasher: RandomState,
}

/// In thousandths of a request or a bit, so that a rate in seconds is one of thousandths a millisecond.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: i64,
    at_ms: i64,
}

/// One of the rates of a limit, and whose bucket it fills.
struct Rate {
    key: &'static str,
    bucket: u64,
    per_s: i64,
    lump_s: i64,
    /// What must be there.
    need: i64,
    /// What a request takes; of bits it is known afterwards.
    cost: i64,
}

impl Rate {
    /// What a bucket holds.
    fn full(&self) -> i64 {
        self.per_s.saturating_mul(self.lump_s * ONE)
    }
}

impl Buckets {
    /// Whether `address` may ask for something of `stream` at `now_ms` (Unix milliseconds); then the request is counted.
    /// Addresses of IPv6 share by networks of 64 bits.
    ///
    /// # Errors
    /// [`Throttled`], with nothing counted.
    pub fn ask(
        &mut self,
        limit: &Limit,
        address: IpAddr,
        stream: &str,
        now_ms: i64,
    ) -> Result<(), Throttled> {
        let rates = self.rates(limit, address, stream);
        for rate in &rates {
            let missing = rate.need.saturating_sub(self.filled(rate, now_ms).left);
            if missing > 0 {
                let ms = missing.saturating_add(rate.per_s - 1) / rate.per_s;
                let retry_s = u32::try_from(ms.saturating_add(999) / 1000).unwrap_or(u32::MAX).max(1);
                return Err(Throttled { key: rate.key, retry_s });
            }
        }
        for rate in &rates {
            let bucket = self.filled(rate, now_ms);
            bucket.left = bucket.left.saturating_sub(rate.cost);
        }
        Ok(())
    }

    /// So many bytes were, or are going to be, sent for a request that was admitted. What is owed is never more than what
    /// a full bucket has: a body that is told of and not taken does not shut others out for long.
    pub fn sent(&mut self, limit: &Limit, address: IpAddr, stream: &str, bytes: u64, now_ms: i64) {
        let cost = i64::try_from(bytes).unwrap_or(i64::MAX).saturating_mul(8 * ONE);
        for rate in self.rates(limit, address, stream).iter().filter(|rate| rate.cost == 0) {
            let bucket = self.filled(rate, now_ms);
            bucket.left = bucket.left.saturating_sub(cost).max(rate.full().saturating_neg());
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// The bucket of a rate, as full as it is now.
    fn filled(&mut self, rate: &Rate, now_ms: i64) -> &mut Bucket {
        let full = rate.full();
        if !self.young.contains_key(&rate.bucket) && self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        let old = &mut self.old;
        let bucket = self
            .young
            .entry(rate.bucket)
            .or_insert_with(|| old.remove(&rate.bucket).unwrap_or(Bucket { left: full, at_ms: now_ms }));
        let grown = now_ms.saturating_sub(bucket.at_ms).max(0).saturating_mul(rate.per_s);
        *bucket = Bucket { left: bucket.left.saturating_add(grown).min(full), at_ms: now_ms };
        bucket
    }

    fn rates(&self, limit: &Limit, address: IpAddr, stream: &str) -> Vec<Rate> {
        let address = share(address);
        let of_requests = |key, rate: Option<u32>, bucket| {
            Some(Rate {
                key,
                bucket,
                per_s: rate?.max(1).into(),
                lump_s: LUMP_REQUESTS_S,
                need: ONE,
                cost: ONE,
            })
        };
        let of_bits = |key, rate: Option<u64>, bucket| {
            let per_s = i64::try_from(rate?.max(1)).unwrap_or(i64::MAX);
            Some(Rate { key, bucket, per_s, lump_s: LUMP_BITS_S, need: 1, cost: 0 })
        };
        let name = limit.name.as_str();
        let [one, two] = [0u8, 1].map(|kind| self.hasher.hash_one((name, kind, address)));
        let [three, four] = [2u8, 3].map(|kind| self.hasher.hash_one((name, kind, stream)));
        [
            of_requests("requests_per_s", limit.requests_per_s, one),
            of_bits("bandwidth_bps", limit.bandwidth_bps, two),
            of_requests("stream_requests_per_s", limit.stream_requests_per_s, three),
            of_bits("stream_bandwidth_bps", limit.stream_bandwidth_bps, four),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Who shares a bucket with an address: whoever has one of IPv6 has a network of them.
#[must_use]
pub fn share(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}
