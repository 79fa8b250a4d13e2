//! Both halves of the simple handshake: C0 C1 C2 against S0 S1 S2.
//!
//! Encoders that send a C1 with a digest (ffmpeg, OBS, librtmp, GStreamer) fall back to the simple form when
//! bytes 4..8 of S1 are zero and S2 echoes their C1, which is all this server ever answers.
//!
//! Spec: RTMP §5.2.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of caller randomness one handshake needs; it seeds the filler of C1 or S1, which is no secret.
pub const NONCE_LEN: usize = 16;
/// Bytes in each of C1, C2, S1 and S2 (RTMP §5.2.3).
pub const PACKET_LEN: usize = 1536;

const VERSION: u8 = 3;

/// The peer broke the handshake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// C0 or S0 is not 3 (RTMP §5.2.2).
    #[error("first byte is {got:#04x}, expected version 3: {}", looks_like(*.got))]
    Version {
        /// The byte.
        got: u8,
    },
}

/// Names the protocol a wrong first byte belongs to, for the operator who reads the log.
fn looks_like(first: u8) -> &'static str {
    match first {
        b'A'..=b'Z' | b'a'..=b'z' => "looks like HTTP or another text protocol",
        0x16 => "looks like TLS (RTMPS to a plain RTMP port)",
        0x80 => "looks like SSL 2",
        6 | 8 | 9 => "looks like RTMPE (encrypted RTMP), which is not supported",
        _ => "not an RTMP peer",
    }
}

/// What the caller must do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The input is used up; feed more.
    More,
    /// Write these bytes to the peer, then call again.
    Send(Bytes),
    /// The handshake is over; what is left of the input belongs to the chunk stream.
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The client has not sent C0 C1 yet.
    Hello,
    Version,
    First,
    /// Bytes of the second packet still to skip; an echo that differs is accepted like everywhere else.
    Echo(usize),
    Done,
}

/// State machine of one connection.
#[derive(Debug)]
pub struct Handshake {
    stage: Stage,
    server: bool,
    seed: u64,
    first: Vec<u8>,
}

impl Handshake {
    /// The accepting half.
    #[must_use]
    pub fn server(nonce: [u8; NONCE_LEN]) -> Self {
        Self { stage: Stage::Version, server: true, seed: seed(nonce), first: vec![] }
    }

    /// The connecting half: its first step, with no input, is to send C0 C1.
    #[must_use]
    pub fn client(nonce: [u8; NONCE_LEN]) -> Self {
        Self { stage: Stage::Hello, server: false, seed: seed(nonce), first: vec![] }
    }

    /// Consumes from the front of `input`, in any split. Call until [`Step::More`] or [`Step::Done`].
    ///
    /// `now_ms` is the time field of our packet, milliseconds since the connection began.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::Version`] at the first byte when it is not 3. The connection must be dropped.
    pub fn advance(&mut self, now_ms: u32, input: &mut &[u8]) -> Result<Step, HandshakeError> {
        loop {
            match self.stage {
                Stage::Hello => {
                    self.stage = Stage::Version;
                    let mut hello = BytesMut::with_capacity(1 + PACKET_LEN);
                    hello.put_u8(VERSION);
                    self.put_own_packet(&mut hello, now_ms);
                    return Ok(Step::Send(hello.freeze()));
                }
                Stage::Version => match input.split_off_first() {
                    None => return Ok(Step::More),
                    Some(&VERSION) => self.stage = Stage::First,
                    Some(&other) => return Err(HandshakeError::Version { got: other }),
                },
                Stage::First => {
                    self.first.extend_from_slice(front(input, PACKET_LEN - self.first.len()));
                    if self.first.len() < PACKET_LEN {
                        return Ok(Step::More);
                    }
                    self.stage = Stage::Echo(PACKET_LEN);
                    return Ok(Step::Send(self.answer(now_ms)));
                }
                Stage::Echo(left) => {
                    let left = left - front(input, left).len();
                    self.stage = if left == 0 { Stage::Done } else { Stage::Echo(left) };
                    if left > 0 {
                        return Ok(Step::More);
                    }
                }
                Stage::Done => return Ok(Step::Done),
            }
        }
    }

    /// S0 S1 S2, or C2: the last packet is the peer's first one, unchanged.
    fn answer(&mut self, now_ms: u32) -> Bytes {
        let echo = std::mem::take(&mut self.first);
        if !self.server {
            return Bytes::from(echo);
        }
        let mut out = BytesMut::with_capacity(1 + 2 * PACKET_LEN);
        out.put_u8(VERSION);
        self.put_own_packet(&mut out, now_ms);
        out.put_slice(&echo);
        out.freeze()
    }

    fn put_own_packet(&mut self, out: &mut BytesMut, now_ms: u32) {
        out.put_u32(now_ms);
        out.put_u32(0); // not a version number: tells digest clients to use the simple form
        for _ in 0..(PACKET_LEN - 8) / 8 {
            // xorshift64: filler only has to differ between connections
            self.seed ^= self.seed << 13;
            self.seed ^= self.seed >> 7;
            self.seed ^= self.seed << 17;
            out.put_u64(self.seed);
        }
    }
}

fn seed(nonce: [u8; NONCE_LEN]) -> u64 {
    let folded = u128::from_be_bytes(nonce);
    let [high, low] =
        [folded >> 64, folded & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or(1));
    (high ^ low.rotate_left(29)).max(1)
}

/// Takes at most `max` bytes off the front of `input`.
fn front<'a>(input: &mut &'a [u8], max: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(max.min(input.len()));
    *input = rest;
    taken
}

#[cfg(test)]
mod tests;
