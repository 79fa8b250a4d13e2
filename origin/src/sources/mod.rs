//! Streams that this server fetches: over SRT, UDP and HTTP.

mod hls;
mod http;
mod playlist;
mod queue;
mod udp;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nx_admission::{Action, Ask, Grant, Input, Protocol};
use nx_contract::desired::LinkState;
use nx_contract::sources::InputRole;
use nx_srt::Link;

use crate::address::Source;
use crate::claims::{Claim, Lost, Role};
use crate::ingest::input::{About, Wire};
use crate::ingest::shard::{Join, Shards};
use crate::ingest::srt::SrtSource;
use crate::ingest::ts_input::{TsInput, TsSource};
use crate::restream::srt;
use crate::restream::target::{Job, Over, Stop, Verdict};
use crate::retry::{Failure, Meter};

/// Time between two looks whether the shard still wants the source.
const LOOK: Duration = Duration::from_millis(250);
/// A source that gives nothing for this long is asked anew.
const SILENCE: Duration = Duration::from_secs(10);

/// Runs a source until it is asked to stop.
pub(crate) async fn run(job: Job, shards: Shards, from: Source, input: InputRole, mut stop: Stop) {
    loop {
        job.enter(LinkState::Connecting);
        let over = match attempt(&job, &shards, &from, input, &mut stop).await {
            Over::Stopped => Verdict::Stop,
            Over::Failed(failure) => job.failed(&failure, &mut stop).await,
            Over::StreamEnded | Over::Moved(_) => Verdict::Again,
        };
        match over {
            Verdict::Again => {}
            // Whoever mends it enables it again.
            Verdict::Never => stop.asked().await,
            Verdict::Stop => {}
        }
        if over != Verdict::Again {
            break;
        }
    }
    job.enter(LinkState::Stopped);
}

/// A source that has answered.
enum Opened {
    Srt(Link),
    Udp(udp::Receiver),
    Http(http::Download),
    Hls(Box<hls::Session>),
}

impl Opened {
    /// Who answered.
    fn peer(&self) -> IpAddr {
        match self {
            Self::Srt(link) => link.peer().ip(),
            Self::Udp(udp) => udp.peer(),
            Self::Http(http) => http.peer(),
            Self::Hls(hls) => hls.peer(),
        }
    }
}

async fn open(job: &Job, from: &Source) -> Result<Opened, Failure> {
    Ok(match from {
        Source::Srt(from) => Opened::Srt(srt::connect(from, false).await?),
        Source::Udp(from) => Opened::Udp(udp::open(job, from).await?),
        Source::Http(url) => Opened::Http(http::open(url).await?),
        Source::Hls(url) => Opened::Hls(Box::new(hls::open(url).await?)),
    })
}

/// One connection.
async fn attempt(job: &Job, shards: &Shards, from: &Source, input: InputRole, stop: &mut Stop) -> Over {
    let admitted = async {
        let opened = open(job, from).await?;
        let grant = admit(job, opened.peer(), input).await?;
        let role = Role::from(grant.input);
        let claim = Claim::new(None, job.hub.clock.ms());
        let taken = job.hub.take_name(&job.stream, role, &claim).await;
        let entry = taken.map_err(Failure::Passing)?;
        Ok((opened, grant, role, claim, entry))
    };
    let admitted = tokio::select! {
        biased;
        () = stop.asked() => return Over::Stopped,
        admitted = admitted => admitted,
    };
    let (opened, grant, role, claim, entry) = match admitted {
        Ok(admitted) => admitted,
        Err(failure) => return Over::Failed(failure),
    };
    tracing::info!(
        stream = %job.stream, stream_id = entry.id, session = claim.session, url = job.shown, protocol = "pull",
        input = role.name(), admitted_by = grant.by, "publishing"
    );
    let (peer, client) = (job.shown.clone(), String::new());
    let about = About { role, protocol: Protocol::Pull.name(), peer, client, grant };
    let (key, ours) = (job.stream.clone(), claim.clone());
    let join = |source: Box<dyn TsSource>| {
        let counted = Counted { source, meter: job.meter.clone() };
        let wire = Wire::Ts(Box::new(TsInput::new(Box::new(counted))));
        shards.join(Join::Input { key, entry, about: Box::new(about), claim, wire });
        job.live();
    };
    let (writer, reader) = queue::queue();
    let carried = async {
        match opened {
            Opened::Srt(link) => {
                join(Box::new(SrtSource(link.clone())));
                closed(&link).await
            }
            Opened::Udp(udp) => {
                join(Box::new(reader));
                udp.carry(&writer, &job.meter).await
            }
            Opened::Http(http) => {
                join(Box::new(reader));
                http.carry(&writer).await
            }
            Opened::Hls(hls) => {
                join(Box::new(reader));
                hls.carry(&writer).await
            }
        }
    };
    let over = tokio::select! {
        biased;
        () = stop.asked() => Over::Stopped,
        failure = carried => Over::Failed(failure),
        () = lost(&ours) => Over::Failed(Failure::Passing(
            "the input was ended here: silent, over its limits or replaced; the log says which".into(),
        )),
    };
    // The shard lets go of what is over, and of what is held no more.
    writer.finish(if matches!(over, Over::Stopped) {
        "the source was stopped"
    } else {
        "the source is gone"
    });
    ours.lose(Lost::Over);
    over
}

async fn admit(job: &Job, peer: IpAddr, input: InputRole) -> Result<Grant, Failure> {
    let mut ask = Ask::new(job.stream.clone(), Action::Publish, Protocol::Pull, peer);
    ask.input = Some(match input {
        InputRole::Primary => Input::Primary,
        InputRole::Backup => Input::Backup,
    });
    let decided = job.hub.admission.decide(&ask, crate::clock::unix_s()).await;
    decided.map_err(|refusal| Failure::Slow(refusal.text))
}

/// Returns when the shard has let go of the input.
async fn lost(claim: &Arc<Claim>) {
    while !claim.is_lost() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns when the link has ended.
async fn closed(link: &Link) -> Failure {
    loop {
        if let Some(reason) = link.closed() {
            return Failure::Passing(format!("the connection ended: {reason}"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Counts what passes.
struct Counted {
    source: Box<dyn TsSource>,
    meter: Arc<Meter>,
}

impl TsSource for Counted {
    fn drain(&mut self, out: &mut Vec<Bytes>, max: usize) -> Result<(), String> {
        let before = out.len();
        let drained = self.source.drain(out, max);
        self.meter.passed(out.iter().skip(before).map(Bytes::len).sum());
        drained
    }

    fn link(&self) -> Option<nx_contract::streams::Link> {
        self.source.link()
    }

    fn close(&mut self) {
        self.source.close();
    }
}
