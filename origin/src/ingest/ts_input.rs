//! A publisher that sends a transport stream: over SRT, UDP or as HLS segments.

use bytes::Bytes;

use crate::ingest::input::{End, Reading};
use crate::ingest::ts_reader::TsReader;
use crate::media::Media;

/// Pieces taken before others get their turn.
const PIECES_MAX: usize = 4_096;

/// Where the bytes of a transport stream come from; never waits.
pub(crate) trait TsSource: Send {
    /// Appends at most `max` pieces of what has come.
    ///
    /// # Errors
    /// The source is over; the text says why.
    fn drain(&mut self, out: &mut Vec<Bytes>, max: usize) -> Result<(), String>;

    /// Figures of the link for the status page.
    fn link(&self) -> Option<nx_contract::streams::Link> {
        None
    }

    /// Ends it.
    fn close(&mut self) {}
}

pub(crate) struct TsInput {
    source: Box<dyn TsSource>,
    reader: TsReader,
    pieces: Vec<Bytes>,
}

impl TsInput {
    pub(crate) fn new(source: Box<dyn TsSource>) -> Self {
        Self { source, reader: TsReader::new(), pieces: Vec::new() }
    }

    /// Takes what has come; `took` hears how much.
    pub(crate) fn read(&mut self, took: &mut dyn FnMut(usize), sink: &mut dyn FnMut(Media)) -> Reading {
        let state = self.source.drain(&mut self.pieces, PIECES_MAX);
        let more = self.pieces.len() >= PIECES_MAX;
        let bytes: usize = self.pieces.iter().map(Bytes::len).sum();
        if bytes > 0 {
            took(bytes);
        }
        for piece in self.pieces.drain(..) {
            self.reader.push(&piece, sink);
        }
        match state {
            Err(reason) => Reading::Closed(End::Left(reason)),
            Ok(()) if more => Reading::More,
            Ok(()) => Reading::Drained,
        }
    }

    pub(crate) fn close(&mut self) {
        self.source.close();
    }

    pub(crate) fn link(&self) -> Option<nx_contract::streams::Link> {
        self.source.link()
    }

    pub(crate) fn reader(&self) -> &TsReader {
        &self.reader
    }
}
