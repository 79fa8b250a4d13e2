//! The seam to the network: whoever knows streams.

use std::pin::Pin;
use std::sync::Arc;

use nx_media::StreamKey;

use crate::images::Painter;
use crate::live::LiveStream;
use crate::metrics::Metrics;
use crate::problem::Problem;

/// Where streams are found by name.
pub trait Directory: Send + Sync + 'static {
    /// The stream of a name, if anybody knows it. Costs no memory for names that do not exist.
    fn find(&self, key: &StreamKey) -> Option<Arc<LiveStream>>;

    /// The stream of a name if it is, or is about to be, on: what other nodes may follow.
    fn live(&self, key: &StreamKey) -> Option<Arc<LiveStream>> {
        self.find(key)
    }

    /// Looks further away for a stream that is not here; `None` when nobody knows it. May take as long as a viewer
    /// waits.
    fn seek<'a>(&'a self, _key: &'a StreamKey) -> Seeking<'a> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Whether there is more of a stream here than what is live: its past, its pictures.
    fn has_stored(&self) -> bool {
        true
    }

    /// Who watches over HTTP.
    fn viewers(&self) -> usize {
        0
    }

    /// What health tells of where its streams come from, if that is elsewhere.
    fn health(&self) -> Option<serde_json::Value> {
        None
    }

    /// Adds to `/metrics`.
    fn metrics(&self, _out: &mut Metrics) {}

    /// Who draws pictures of streams here, if anybody does.
    fn painter(&self) -> Option<Arc<dyn Painter>> {
        None
    }
}

/// What [`Directory::seek`] finds.
pub type Seeking<'a> = Pin<Box<dyn Future<Output = Result<Option<Arc<LiveStream>>, Problem>> + Send + 'a>>;
