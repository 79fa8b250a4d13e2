//! Fetches the indexes that object storage has and the disk has not, as after the disk was lost.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use nx_media::StreamKey;

use super::{Cloud, upload};
use crate::log::Log;
use crate::marker;
use crate::run;
use crate::store::Shared;
use crate::volume::Volume;

/// Until everything is known.
pub(crate) fn run(shared: &Shared, cloud: &Cloud) {
    let mut failures = 0;
    while !cloud.is_stopped() {
        match all(shared, cloud) {
            Ok(0) => break,
            Ok(volumes) => {
                tracing::info!(volumes, "the past that was in object storage is back");
                break;
            }
            Err(error) if failures == 0 && !cloud.is_stopped() => {
                tracing::warn!(%error, "object storage cannot be listed; it is tried again until it can");
            }
            Err(_) => {}
        }
        cloud.rest(upload::pause(failures));
        failures += 1;
    }
    cloud.set_restored();
}

/// How many volumes came back.
fn all(shared: &Shared, cloud: &Cloud) -> io::Result<u64> {
    let mut count = 0;
    for app in cloud.tier.objects.list("", true)? {
        for name in cloud.tier.objects.list(&app, true)? {
            let Ok(key) = StreamKey::new(&app, &name) else { continue };
            count += stream(cloud, &shared.log(&key), &format!("{app}/{name}"))?;
        }
    }
    Ok(count)
}

fn stream(cloud: &Cloud, log: &Arc<Log>, folder: &str) -> io::Result<u64> {
    let names = cloud.tier.objects.list(folder, false)?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| marker::number(name, "index")).collect();
    numbers.retain(|number| !log.knows(*number));
    numbers.sort_unstable();
    let (mut volumes, mut known) = (Vec::new(), HashSet::new());
    let mut done = Ok(());
    for number in numbers {
        match volume(cloud, log, folder, number, &mut known) {
            Ok(volume) => volumes.extend(volume),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => {
                done = Err(e);
                break;
            }
        }
    }
    let count = volumes.len() as u64;
    log.restore(volumes);
    done.map(|()| count)
}

/// `None` of what is not to be used. `known` are runs that are here as they are there.
fn volume(
    cloud: &Cloud,
    log: &Log,
    folder: &str,
    number: u64,
    known: &mut HashSet<u32>,
) -> io::Result<Option<Volume>> {
    let (objects, here) = (&cloud.tier.objects, log.folder());
    let index = objects.get(&format!("{folder}/{number:020}.index"), None)?;
    let Some((volume, records)) = Volume::described(number, &index) else {
        tracing::warn!(folder, number, "volume of object storage without a whole index left out");
        return Ok(None);
    };
    fs::create_dir_all(here)?;
    let mut runs: Vec<u32> = records.iter().map(|r| r.run).collect();
    runs.dedup();
    for run in runs.into_iter().filter(|run| known.insert(*run)).collect::<Vec<_>>() {
        let bytes = objects.get(&format!("{folder}/run-{run}"), None)?;
        match fs::read(run::path(here, run)).map(Bytes::from) {
            // It may have had further keys since, here or there.
            Ok(known) if run::continues(run, &bytes, &known) => {}
            Ok(known) if run::continues(run, &known, &bytes) => {
                marker::place(here, &format!("run-{run}"), &bytes)?;
            }
            Ok(_) => {
                known.remove(&run);
                tracing::warn!(folder, number, run, "volume of object storage with other tracks left out");
                return Ok(None);
            }
            Err(_) => {
                run::parse(run, &bytes)?;
                marker::place(here, &format!("run-{run}"), &bytes)?;
            }
        }
    }
    marker::remove(&volume.media_path(here))?;
    // The mark first: an index without media is nothing without it.
    marker::set_safe(here, number, &marker::proof(&index, volume.bytes))?;
    marker::place(here, &format!("{number:020}.index"), &index)?;
    Ok(Some(Volume { safe: true, away: true, ..volume }))
}
