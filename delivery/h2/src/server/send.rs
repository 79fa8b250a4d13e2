//! Frames that go.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::{Credit, Server};
use crate::frame::{self, HEAD_LEN, Head, PAYLOAD_MAX, Reason};
use crate::out::Out;

/// What a stream had to send in its turn.
enum Turn {
    Nothing,
    /// A frame with this many bytes of the body.
    Frame(usize),
    /// The same, and the stream is done.
    Last(usize),
}

impl Server {
    /// Answers a request; with `more`, the body goes on by [`Server::push`]. Nothing happens when the stream is gone.
    pub fn respond<'a>(
        &mut self,
        stream: u32,
        status: StatusCode,
        fields: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
        body: VecDeque<Bytes>,
        more: bool,
        out: &mut Out,
    ) {
        let Some(found) = self.streams.find(stream).filter(|s| !s.begun) else { return };
        found.begun = true;
        found.more = more;
        found.queue = body;
        found.queue.retain(|slice| !slice.is_empty());
        let ends = found.queue.is_empty() && !more;
        let at = out.own.len();
        let end_stream = if ends { frame::END_STREAM } else { 0 };
        let head = Head { len: 0, kind: frame::HEADERS, flags: frame::END_HEADERS | end_stream, stream };
        out.own.extend_from_slice(&head.bytes());
        self.encoder.status(&mut out.own, status);
        for (name, value) in fields {
            if *name != header::CONNECTION && *name != header::TRANSFER_ENCODING {
                self.encoder.field(&mut out.own, name, value);
            }
        }
        finish_head(&mut out.own, at, head);
        if ends {
            self.done(stream, out);
        }
    }

    /// Sends more of a body; without `more` it ends.
    pub fn push(&mut self, stream: u32, data: Bytes, more: bool) {
        let Some(stream) = self.streams.find(stream).filter(|s| s.begun && s.more) else { return };
        stream.more = more;
        if !data.is_empty() {
            stream.queue.push_back(data);
        }
    }

    /// The body cannot go on: nobody shall take a part for the whole.
    pub fn fail(&mut self, stream: u32, out: &mut Out) {
        if self.remove(stream, out).is_some() {
            frame::write(&mut out.own, frame::RST_STREAM, 0, stream, &Reason::InternalError.code());
        }
    }

    /// Whether everything that was given for this stream has been sent, and more may come.
    #[must_use]
    pub fn is_hungry(&mut self, stream: u32) -> bool {
        self.streams.find(stream).is_some_and(|s| s.begun && s.more && s.queue.is_empty())
    }

    /// Makes frames of what is to be sent, at most about this many bytes; streams take turns. Whether a further call
    /// would make more.
    pub fn transmit(&mut self, out: &mut Out, bytes_max: usize, now_s: u32) -> bool {
        let (mut left, mut without) = (bytes_max, 0);
        while left > 0 && without < self.streams.len() {
            self.turn %= self.streams.len();
            let (bytes, next) = match self.frame_of(self.turn, out, now_s) {
                Turn::Nothing => {
                    without += 1;
                    (0, self.turn + 1)
                }
                Turn::Frame(bytes) => {
                    without = 0;
                    (bytes, self.turn + 1)
                }
                // The next one is in its place now.
                Turn::Last(bytes) => {
                    without = 0;
                    (bytes, self.turn)
                }
            };
            self.turn = next;
            left = left.saturating_sub(bytes + HEAD_LEN);
        }
        if left > 0 {
            self.note_waits(now_s);
        }
        left == 0
    }

    /// A frame of the stream at this place.
    fn frame_of(&mut self, place: usize, out: &mut Out, now_s: u32) -> Turn {
        let Some(stream) = self.streams.at(place).filter(|s| s.has_frame()) else { return Turn::Nothing };
        let room = stream.window.min(self.window).clamp(0, PAYLOAD_MAX as i64) as usize;
        if room == 0 && !stream.queue.is_empty() {
            return Turn::Nothing;
        }
        let at = out.own.len();
        out.own.extend_from_slice(&[0; HEAD_LEN]);
        let mut len = 0;
        while len < room
            && let Some(front) = stream.queue.front_mut()
        {
            let piece = front.split_to(front.len().min(room - len));
            len += piece.len();
            out.piece(piece);
            if front.is_empty() {
                stream.queue.pop_front();
            }
        }
        let last = stream.queue.is_empty() && !stream.more;
        let flags = if last { frame::END_STREAM } else { 0 };
        patch(&mut out.own, at, Head { len, kind: frame::DATA, flags, stream: stream.id });
        stream.window -= len as i64;
        self.window -= len as i64;
        stream.patience.sent(len, now_s, self.bounds);
        self.patience.sent(len, now_s, self.bounds);
        self.credit.earn_data(len);
        let id = stream.id;
        if last {
            self.done(id, out);
            return Turn::Last(len);
        }
        Turn::Frame(len)
    }

    /// The answer was sent to its end.
    fn done(&mut self, stream: u32, out: &mut Out) {
        self.credit.earn(Credit::ANSWER);
        if self.remove(stream, out).is_some_and(|s| s.request.is_some()) {
            // What is still to come of the request is not wanted (RFC 9113 §8.1).
            frame::write(&mut out.own, frame::RST_STREAM, 0, stream, &Reason::NoError.code());
        }
    }

    /// Notes who waits for a window: the connection for its own, else each stream.
    fn note_waits(&mut self, now_s: u32) {
        let mut any = false;
        for stream in self.streams.iter_mut() {
            let waits = stream.has_frame() && !stream.queue.is_empty();
            any |= waits;
            if waits && stream.window <= 0 {
                stream.patience.waits(now_s);
            } else {
                stream.patience.goes_on(now_s);
            }
        }
        if any && self.window <= 0 {
            self.patience.waits(now_s);
        } else {
            self.patience.goes_on(now_s);
        }
    }
}

/// Writes a head in the place of one.
fn patch(own: &mut [u8], at: usize, head: Head) {
    if let Some(place) = own.get_mut(at..at + HEAD_LEN) {
        place.copy_from_slice(&head.bytes());
    }
}

/// Puts the length into the head at `at`, and cuts what is too long for a frame (RFC 9113 §6.10).
fn finish_head(own: &mut Vec<u8>, at: usize, head: Head) {
    let len = own.len() - at - HEAD_LEN;
    if len <= PAYLOAD_MAX {
        return patch(own, at, Head { len, ..head });
    }
    let block = own.split_off(at + HEAD_LEN);
    own.truncate(at);
    let mut pieces = block.chunks(PAYLOAD_MAX).peekable();
    let mut kind = frame::HEADERS;
    let mut flags = head.flags & !frame::END_HEADERS;
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            flags |= frame::END_HEADERS;
        }
        frame::write(own, kind, flags, head.stream, piece);
        (kind, flags) = (frame::CONTINUATION, 0);
    }
}
