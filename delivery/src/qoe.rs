//! How it looks at the players' end, summed up per stream from what they report (CMCD).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::cmcd::{Object, Report};

/// Weight of a new value in a mean: the last 32 count most.
const NEWS: f64 = 1.0 / 32.0;

/// Figures of one stream. Their number does not depend on how many watch.
#[derive(Debug, Default)]
pub struct Quality {
    reports: [AtomicU64; Object::NAMES.len() + 1],
    starved: AtomicU64,
    startups: AtomicU64,
    version_2: AtomicU64,
    means: Mutex<Means>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Means {
    buffer_ms: Option<f64>,
    throughput_kbps: Option<f64>,
}

/// [`Quality`] at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QualitySummary {
    /// Requests with a report.
    pub reports: u64,
    /// Reports by what was asked for: `manifest`, `video`, `audio`, `muxed`, `init`, `other`, `untold`.
    pub objects: Vec<(&'static str, u64)>,
    /// Reports of a buffer that ran dry.
    pub starved: u64,
    /// Requests to start, or to start again.
    pub startups: u64,
    /// Reports in version 2 or later.
    pub version_2: u64,
    /// Media in the players' buffers, milliseconds, mean of late.
    pub buffer_ms: Option<u64>,
    /// What players measure, kilobits per second, mean of late.
    pub throughput_kbps: Option<u64>,
}

impl Quality {
    pub(crate) fn take(&self, report: &Report) {
        let add = |counter: &AtomicU64, when: bool| counter.fetch_add(u64::from(when), Ordering::Relaxed);
        let object = report.object.map_or(Object::NAMES.len(), |o| o as usize);
        if let Some(counter) = self.reports.get(object) {
            add(counter, true);
        }
        add(&self.starved, report.starved);
        add(&self.startups, report.startup);
        add(&self.version_2, report.version >= 2);
        let mut means = self.means.lock().unwrap_or_else(PoisonError::into_inner);
        mix(&mut means.buffer_ms, report.buffer_ms);
        mix(&mut means.throughput_kbps, report.throughput_kbps);
    }

    /// Where it stands.
    #[must_use]
    pub fn summary(&self) -> QualitySummary {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let names = Object::NAMES.into_iter().chain(["untold"]);
        let objects: Vec<_> = names.zip(self.reports.iter().map(read)).collect();
        let means = *self.means.lock().unwrap_or_else(PoisonError::into_inner);
        QualitySummary {
            reports: objects.iter().map(|(_, count)| count).sum(),
            objects,
            starved: read(&self.starved),
            startups: read(&self.startups),
            version_2: read(&self.version_2),
            buffer_ms: means.buffer_ms.map(|ms| ms.round() as u64),
            throughput_kbps: means.throughput_kbps.map(|kbps| kbps.round() as u64),
        }
    }
}

fn mix(mean: &mut Option<f64>, news: Option<u32>) {
    if let Some(news) = news.map(f64::from) {
        *mean = Some(mean.map_or(news, |mean| mean + (news - mean) * NEWS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_players_tell() {
        let quality = Quality::default();
        assert_eq!((quality.summary().reports, quality.summary().buffer_ms), (0, None));
        let told =
            Report { version: 2, object: Some(Object::Video), buffer_ms: Some(2000), ..Report::default() };
        quality.take(&told);
        quality.take(&Report {
            starved: true,
            startup: true,
            buffer_ms: Some(400),
            version: 1,
            ..Report::default()
        });
        let sum = quality.summary();
        assert_eq!((sum.reports, sum.starved, sum.startups, sum.version_2), (2, 1, 1, 1));
        assert_eq!((sum.buffer_ms, sum.throughput_kbps), (Some(1950), None));
        assert_eq!((sum.objects[1], sum.objects[6]), (("video", 1), ("untold", 1)));
    }
}
