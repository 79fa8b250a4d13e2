//! The origin's figures for Prometheus.

use std::sync::Weak;

use nx_contract::streams::{Ladder, Link, ObjectCount, Qoe, State, Stream, Streams, Transport};
use nx_delivery::{LiveStream, Metrics};

use crate::hub::{Hub, lock};
use crate::keep::Kept;

impl Hub {
    /// Adds the origin's figures to a page of metrics.
    pub fn metrics(&self, out: &mut Metrics) {
        let totals = *lock(&self.totals);
        for (name, help, value) in [
            ("nexus_rtmp_publishes_total", "Publishers accepted.", totals.publishes),
            ("nexus_rtmp_plays_total", "RTMP players accepted.", totals.plays),
            ("nexus_rtmp_refusals_total", "Connections turned away with a reason.", totals.refusals),
            ("nexus_ingest_bytes_total", "Bytes read from publishers.", totals.bytes_in),
        ] {
            out.single(name, "counter", help, value);
        }
        if let Some(kept) = &self.kept {
            store(kept, out);
            cloud(kept, out);
        }
        self.images.metrics(out);
        self.plane.metrics(out);
        self.ladders.metrics(out);
        self.titles.jobs.metrics(out);
        if let Some(outbound) = self.outbound.get().and_then(Weak::upgrade) {
            outbound.mix_metrics(out);
        }
        let streams = self.list();
        out.single("nexus_streams", "gauge", "Streams known.", streams.len());
        type Gauge = (&'static str, &'static str, &'static str, fn(&Stream) -> u64);
        let gauges: [Gauge; 9] = [
            ("nexus_stream_up", "gauge", "1 while a publisher is sending.", |s| {
                u64::from(s.state == State::Live)
            }),
            ("nexus_stream_bitrate_bps", "gauge", "Bits per second coming in.", |s| s.bitrate_bps),
            ("nexus_stream_window_bytes", "gauge", "Media held in memory.", |s| s.window_bytes),
            ("nexus_stream_viewers_http", "gauge", "Viewers over HTTP.", |s| s.viewers.hls),
            ("nexus_stream_edges", "gauge", "Nodes that fetch the stream.", |s| s.edges),
            ("nexus_stream_viewers_rtmp", "gauge", "Viewers over RTMP.", |s| s.viewers.rtmp),
            ("nexus_stream_playlists_rendered_total", "counter", "Playlists written.", |s| {
                s.playlists_rendered
            }),
            ("nexus_stream_switches_total", "counter", "Changes from one input to another.", |s| s.switches),
            ("nexus_stream_discontinuities_total", "counter", "Seams seen by viewers.", |s| {
                s.discontinuities
            }),
        ];
        for (name, kind, help, of) in gauges {
            out.family(name, kind, help);
            streams.iter().for_each(|s| out.value(name, &[("stream", &s.key)], of(s)));
        }
        ladders(&streams, out);
        inputs(&streams, out);
        players(&streams, out);
        repairs(&streams, out);
    }
}

/// What the timeline mended.
fn repairs(streams: &[Stream], out: &mut Metrics) {
    out.family("nexus_stream_repairs_total", "counter", "Repairs made by the timeline.");
    for stream in streams {
        for repair in &stream.repairs.kinds {
            let labels = [("stream", stream.key.as_str()), ("kind", repair.kind.as_str())];
            out.value("nexus_stream_repairs_total", &labels, repair.count);
        }
    }
}

/// What the players of a stream report, at `now_ms` (Unix time).
pub(crate) fn qoe(live: &LiveStream, now_ms: i64) -> Qoe {
    let sum = live.quality().summary();
    let object = |(kind, count): &(&str, u64)| ObjectCount { kind: (*kind).to_owned(), count: *count };
    Qoe {
        sessions: live.audience().sessions(now_ms) as u64,
        reports: sum.reports,
        version_2: sum.version_2,
        objects: sum.objects.iter().filter(|(_, count)| *count > 0).map(object).collect(),
        starved: sum.starved,
        startups: sum.startups,
        buffer_ms: sum.buffer_ms,
        throughput_kbps: sum.throughput_kbps,
    }
}

/// The same for Prometheus: per stream, however many watch.
fn players(streams: &[Stream], out: &mut Metrics) {
    type Of = (&'static str, &'static str, &'static str, fn(&Qoe) -> Option<u64>);
    let figures: [Of; 6] = [
        ("nexus_stream_player_sessions", "gauge", "Viewers that tell their session (CMCD).", |q| {
            Some(q.sessions)
        }),
        ("nexus_stream_player_starved_total", "counter", "Reports of a buffer that ran dry.", |q| {
            Some(q.starved)
        }),
        ("nexus_stream_player_startups_total", "counter", "Requests to start.", |q| Some(q.startups)),
        ("nexus_stream_player_reports_v2_total", "counter", "Reports in CMCD version 2.", |q| {
            Some(q.version_2)
        }),
        ("nexus_stream_player_buffer_ms", "gauge", "Media in the players' buffers, mean of late.", |q| {
            q.buffer_ms
        }),
        ("nexus_stream_player_throughput_kbps", "gauge", "What players measure, mean of late.", |q| {
            q.throughput_kbps
        }),
    ];
    for (name, kind, help, of) in figures {
        out.family(name, kind, help);
        for (stream, value) in streams.iter().filter_map(|s| Some((s, of(&s.qoe)?))) {
            out.value(name, &[("stream", &stream.key)], value);
        }
    }
    let name = "nexus_stream_player_reports_total";
    out.family(name, "counter", "Requests with a report (CMCD), by what was asked for.");
    for (stream, object) in streams.iter().flat_map(|s| s.qoe.objects.iter().map(move |o| (s, o))) {
        out.value(name, &[("stream", &stream.key), ("object", &object.kind)], object.count);
    }
}

/// What is made of streams.
fn ladders(streams: &[Stream], out: &mut Metrics) {
    type Of = (&'static str, &'static str, &'static str, fn(&Ladder) -> f64);
    let figures: [Of; 5] = [
        ("nexus_transcoder_up", "gauge", "1 while a stream's worker codes.", |l| {
            f64::from(u8::from(l.state == "running"))
        }),
        ("nexus_transcoder_lag_ms", "gauge", "How far renditions are behind their source.", |l| {
            l.lag_ms as f64
        }),
        ("nexus_transcoder_cpu_cores", "gauge", "Cores that a stream's worker takes.", |l| l.cpu),
        (
            "nexus_transcoder_skips_total",
            "counter",
            "Times that pictures were left out for a late worker.",
            |l| l.skips as f64,
        ),
        ("nexus_transcoder_damaged_total", "counter", "Samples that could not be decoded.", |l| {
            l.damaged as f64
        }),
    ];
    for (name, kind, help, of) in figures {
        out.family(name, kind, help);
        for (stream, ladder) in streams.iter().filter_map(|s| Some((s, s.ladder.as_ref()?))) {
            out.value(name, &[("stream", &stream.key)], of(ladder));
        }
    }
}

/// Links, transport streams and clocks of whoever sends.
fn inputs(streams: &[Stream], out: &mut Metrics) {
    type Of<T> = (&'static str, &'static str, &'static str, fn(&T) -> f64);
    let links: [Of<Link>; 6] = [
        ("nexus_srt_rtt_ms", "gauge", "Round trip of an SRT link.", |l| l.rtt_ms),
        ("nexus_srt_packets_total", "counter", "Data packets that came.", |l| l.packets as f64),
        ("nexus_srt_packets_lost_total", "counter", "Data packets seen missing at first.", |l| l.lost as f64),
        ("nexus_srt_packets_retransmitted_total", "counter", "Data packets that came again.", |l| {
            l.retransmitted as f64
        }),
        ("nexus_srt_packets_dropped_total", "counter", "Data packets that came too late or never.", |l| {
            l.dropped as f64
        }),
        ("nexus_srt_buffer_ms", "gauge", "Span of what waits for its time.", |l| l.buffered_ms as f64),
    ];
    let transports: [Of<Transport>; 2] = [
        ("nexus_ts_packets_lost_total", "counter", "Transport packets missing by their counters.", |t| {
            t.lost_packets as f64
        }),
        ("nexus_ts_units_lost_total", "counter", "Access units given up.", |t| t.lost_units as f64),
    ];
    let each = || streams.iter().flat_map(|s| s.inputs.iter().map(move |i| (s, i)));
    for (name, kind, help, of) in links {
        out.family(name, kind, help);
        for (stream, input) in each() {
            if let Some(link) = &input.link {
                out.value(name, &[("stream", &stream.key), ("input", &input.role)], of(link));
            }
        }
    }
    for (name, kind, help, of) in transports {
        out.family(name, kind, help);
        for (stream, input) in each() {
            if let Some(transport) = &input.transport {
                out.value(name, &[("stream", &stream.key), ("input", &input.role)], of(transport));
            }
        }
    }
    let name = "nexus_stream_audio_deviation_ms";
    out.family(name, "gauge", "How far sound is from where its stamps want it, mean.");
    for stream in streams {
        for track in &stream.tracks {
            if let Some(ms) = track.deviation_ms {
                out.value(name, &[("stream", &stream.key), ("track", &track.name)], ms);
            }
        }
    }
}

/// Figures of what is kept on disk.
fn store(kept: &Kept, out: &mut Metrics) {
    let (totals, room) = (kept.totals(), kept.store.room());
    for (name, help, value) in [
        ("nexus_store_bytes", "Bytes on disk.", room.bytes),
        ("nexus_store_pinned_bytes", "Bytes that belong to recordings and clips.", room.pinned),
        ("nexus_store_up", "1 while the disk takes what is to be kept.", u64::from(room.fault.is_none())),
        ("nexus_store_waiting_bytes", "Bytes that wait for the disk.", totals.waiting_bytes),
        ("nexus_assets", "Recordings and clips, deleted ones included.", kept.shelf.count()),
    ] {
        out.single(name, "gauge", help, value);
    }
    for (name, help, value) in [
        ("nexus_store_segments_total", "Segments written to disk.", totals.kept),
        ("nexus_store_bytes_total", "Bytes of them.", totals.bytes),
        ("nexus_store_lost_total", "Segments lost: the disk was slow, full or away.", totals.lost),
        (
            "nexus_store_refused_total",
            "Segments not kept: recordings and clips fill the store.",
            totals.refused,
        ),
        ("nexus_store_dropped_total", "Volumes dropped to stay within what may be kept.", totals.dropped),
    ] {
        out.single(name, "counter", help, value);
    }
}

/// Figures of object storage, if there is any.
fn cloud(kept: &Kept, out: &mut Metrics) {
    let Some(of) = kept.cloud_totals() else { return };
    let oldest_s = of.oldest_waiting_ms.map_or(0, |ms| (nx_delivery::wall_ms() - ms).max(0) / 1000);
    for (name, kind, help, value) in [
        ("up", "gauge", "1 while object storage answers.", u64::from(of.up)),
        ("waiting_volumes", "gauge", "Volumes that are to be uploaded.", of.waiting),
        ("waiting_bytes", "gauge", "Bytes of them.", of.waiting_bytes),
        (
            "waiting_oldest_seconds",
            "gauge",
            "Age of what the oldest of them has last.",
            u64::try_from(oldest_s).unwrap_or(0),
        ),
        ("uploaded_total", "counter", "Volumes uploaded and confirmed.", of.uploaded),
        ("uploaded_bytes_total", "counter", "Bytes of their media.", of.uploaded_bytes),
        ("failures_total", "counter", "Uploads and deletions that failed and are tried again.", of.failures),
        ("shed_total", "counter", "Volumes whose media left the disk, safe in object storage.", of.shed),
        (
            "dropped_total",
            "counter",
            "Volumes dropped before they were uploaded: the disk was full.",
            of.dropped,
        ),
        ("reads_total", "counter", "Ranges read from object storage.", of.reads),
        ("read_failures_total", "counter", "Reads that got nothing.", of.read_failures),
    ] {
        out.single(&format!("nexus_store_cloud_{name}"), kind, help, value);
    }
}
