//! Why a connection is refused, with SRT's codes.

/// A reason of refusal. The codes are those that libsrt reports (`srt_getrejectreason`): below 1000 the protocol's own,
/// from 1000 those of the Access Control guidelines; on the wire each has 1000 added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reject {
    /// 1400: the stream id cannot be understood.
    BadRequest,
    /// 1401: authentication failed.
    Unauthorized,
    /// 1402: too many connections or too much load.
    Overload,
    /// 1403: access denied.
    Forbidden,
    /// 1404: no such stream.
    NotFound,
    /// 1405: this mode is not possible for the stream.
    BadMode,
    /// 1406: what is asked cannot be had.
    Unacceptable,
    /// 1409: somebody else publishes.
    Conflict,
    /// 1415: the media are not supported.
    NotSupportedMedia,
    /// 1500: an error of the server.
    InternalError,
    /// 1503: the server is going down.
    Down,
    /// 2: refused without a reason.
    Peer,
    /// 8: the peer speaks a too old version.
    Version,
    /// 10: wrong passphrase.
    BadSecret,
    /// 11: one side wants encryption, the other does not.
    Unsecure,
    /// 13: a congestion control other than `live`.
    Congestion,
    /// 14: a packet filter.
    Filter,
    /// 15: a bonding group.
    Group,
    /// 16: no answer in time.
    Timeout,
    /// Any other code.
    Other(i32),
}

impl Reject {
    /// The code as libsrt reports it.
    pub fn code(self) -> i32 {
        match self {
            Self::BadRequest => 1400,
            Self::Unauthorized => 1401,
            Self::Overload => 1402,
            Self::Forbidden => 1403,
            Self::NotFound => 1404,
            Self::BadMode => 1405,
            Self::Unacceptable => 1406,
            Self::Conflict => 1409,
            Self::NotSupportedMedia => 1415,
            Self::InternalError => 1500,
            Self::Down => 1503,
            Self::Peer => 2,
            Self::Version => 8,
            Self::BadSecret => 10,
            Self::Unsecure => 11,
            Self::Congestion => 13,
            Self::Filter => 14,
            Self::Group => 15,
            Self::Timeout => 16,
            Self::Other(code) => code,
        }
    }

    /// The reason of a code.
    pub fn from_code(code: i32) -> Self {
        const KNOWN: [Reject; 19] = [
            Reject::BadRequest,
            Reject::Unauthorized,
            Reject::Overload,
            Reject::Forbidden,
            Reject::NotFound,
            Reject::BadMode,
            Reject::Unacceptable,
            Reject::Conflict,
            Reject::NotSupportedMedia,
            Reject::InternalError,
            Reject::Down,
            Reject::Peer,
            Reject::Version,
            Reject::BadSecret,
            Reject::Unsecure,
            Reject::Congestion,
            Reject::Filter,
            Reject::Group,
            Reject::Timeout,
        ];
        KNOWN.into_iter().find(|r| r.code() == code).unwrap_or(Self::Other(code))
    }

    /// The code as a handshake carries it: at least 1000.
    pub(crate) fn wire(self) -> i32 {
        self.code().clamp(0, i32::MAX - 1000) + 1000
    }
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self {
            Self::BadRequest => "bad stream id",
            Self::Unauthorized => "unauthorized",
            Self::Overload => "overloaded",
            Self::Forbidden => "forbidden",
            Self::NotFound => "no such stream",
            Self::BadMode => "mode not possible",
            Self::Unacceptable => "unacceptable",
            Self::Conflict => "already published",
            Self::NotSupportedMedia => "media not supported",
            Self::InternalError => "internal error",
            Self::Down => "going down",
            Self::Peer => "refused",
            Self::Version => "version too old",
            Self::BadSecret => "wrong passphrase",
            Self::Unsecure => "one side is encrypted, the other not",
            Self::Congestion => "congestion control is not live",
            Self::Filter => "packet filters are not supported",
            Self::Group => "bonding is not supported",
            Self::Timeout => "no answer in time",
            Self::Other(_) => "refused",
        };
        write!(f, "{what} ({})", self.code())
    }
}
