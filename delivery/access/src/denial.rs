//! Why somebody may not watch.

use http::StatusCode;

/// Why somebody may not watch. Nothing in it tells what a token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// There is no token.
    #[error(
        "this stream asks for a token: in the address as /token=TOKEN/APP/STREAM/… or ?token=TOKEN, in the header \
         CTA-Common-Access-Token or a cookie of that name"
    )]
    Missing,
    /// It is none.
    #[error("the token is no Common Access Token (CTA-5007), or not all of it came")]
    Malformed,
    /// No key fits it.
    #[error("the token was altered, or made with a key that is not known here")]
    Unproven,
    /// It says something that is not looked at here, and that may forbid something.
    #[error("the token has a claim that is not understood here: number {0}")]
    NotUnderstood(i64),
    /// It has no end, or that has passed.
    #[error("the token has expired")]
    Expired,
    /// It holds later.
    #[error("the token does not hold yet")]
    NotYet,
    /// It was made by somebody else, or for somebody else.
    #[error("the token was not made for this service")]
    Foreign,
    /// It is for another address of the network.
    #[error("the token is not for this address")]
    Elsewhere,
    /// It is for other methods.
    #[error("the token is not for this method")]
    Method,
    /// It is for another viewer's address or country.
    #[error("the token is not for where you are")]
    Place,
    /// It was taken back.
    #[error("the token was taken back")]
    Revoked,
    /// What was taken back is not known yet.
    #[error("this node does not know yet which tokens were taken back; try again")]
    NotReady,
}

impl Denial {
    /// As HTTP says it.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Missing => StatusCode::UNAUTHORIZED,
            Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::FORBIDDEN,
        }
    }

    /// A stable name.
    #[must_use]
    pub fn slug(self) -> &'static str {
        match self {
            Self::Missing => "token-missing",
            Self::Malformed => "token-malformed",
            Self::Unproven => "token-unproven",
            Self::NotUnderstood(_) => "token-not-understood",
            Self::Expired => "token-expired",
            Self::NotYet => "token-not-yet",
            Self::Foreign => "token-foreign",
            Self::Elsewhere => "token-elsewhere",
            Self::Method => "token-method",
            Self::Place => "token-place",
            Self::Revoked => "token-revoked",
            Self::NotReady => "token-not-ready",
        }
    }
}
