//! What a service has answered: counters by route, method and status, and how long it took.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;

/// Upper bounds of the histogram, milliseconds.
const BUCKETS_MS: [i64; 9] = [1, 5, 10, 25, 50, 100, 250, 1000, 5000];

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// Route, method and status: as many as the service declares.
type Key = (String, String, u16);

/// Counts the answers of one service.
#[derive(Debug, Default)]
pub struct Traffic(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    requests: BTreeMap<Key, u64>,
    buckets: [u64; BUCKETS_MS.len()],
    count: u64,
    sum_ms: i64,
}

impl Traffic {
    /// A request was answered.
    pub fn note(&self, route: &str, method: &str, status: u16, took_ms: i64) {
        // Anybody may invent methods.
        let method = if METHODS.contains(&method) { method } else { "other" };
        let Ok(mut seen) = self.0.lock() else { return };
        *seen.requests.entry((route.to_owned(), method.to_owned(), status)).or_default() += 1;
        for (bucket, bound) in seen.buckets.iter_mut().zip(BUCKETS_MS) {
            *bucket += u64::from(took_ms <= bound);
        }
        seen.count += 1;
        seen.sum_ms += took_ms;
    }

    /// As Prometheus text.
    pub fn write(&self, service: &str, out: &mut String) {
        let Ok(seen) = self.0.lock() else { return };
        // Writing to a string cannot fail.
        let name = "nexus_service_requests_total";
        let _ = write!(out, "# HELP {name} Requests answered.\n# TYPE {name} counter\n");
        for ((route, method, status), count) in &seen.requests {
            let labels =
                format!("service=\"{service}\",route=\"{route}\",method=\"{method}\",status=\"{status}\"");
            let _ = writeln!(out, "{name}{{{labels}}} {count}");
        }
        let name = "nexus_service_request_seconds";
        let _ = write!(out, "# HELP {name} Time that requests took.\n# TYPE {name} histogram\n");
        for (bucket, bound) in seen.buckets.iter().zip(BUCKETS_MS) {
            let le = bound as f64 / 1000.0;
            let _ = writeln!(out, "{name}_bucket{{service=\"{service}\",le=\"{le}\"}} {bucket}");
        }
        let _ = writeln!(out, "{name}_bucket{{service=\"{service}\",le=\"+Inf\"}} {}", seen.count);
        let _ = writeln!(out, "{name}_sum{{service=\"{service}\"}} {}", seen.sum_ms as f64 / 1000.0);
        let _ = writeln!(out, "{name}_count{{service=\"{service}\"}} {}", seen.count);
    }
}
