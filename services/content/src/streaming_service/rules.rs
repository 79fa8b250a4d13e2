//! What channels may be called, where they are, where they may be sent on to, and who may do what with them.

use nx_chassis::Caller;
use nx_contract::identity::OrgRole;
use nx_media::{CHANNELS, MEMBERS, StreamKey};
use schemars::JsonSchema;
use serde::Serialize;

/// Characters of a channel's name.
const HANDLE: std::ops::RangeInclusive<usize> = 3..=30;

/// A channel's name as it is kept: 3 to 30 of `a-z 0-9 -`, a letter or digit at both ends. It is part of every address of the
/// channel.
///
/// # Errors
/// In words, with what to do.
pub(super) fn handle(given: &str) -> Result<String, String> {
    let handle = given.trim().to_ascii_lowercase();
    let fine = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = handle.as_bytes();
    let good = HANDLE.contains(&bytes.len())
        && bytes.iter().all(|&c| fine(c) || c == b'-')
        && bytes.first().is_some_and(|&c| fine(c))
        && bytes.last().is_some_and(|&c| fine(c));
    if good {
        return Ok(handle);
    }
    Err("has 3 to 30 characters of a-z 0-9 - and begins and ends with a letter or digit".into())
}

/// What ties somebody to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tie {
    None,
    /// They are one of its members.
    Viewer,
    /// They are this in the organisation that it belongs to.
    Org(OrgRole),
    /// It is theirs.
    Own,
}

impl Tie {
    /// That of a member of it, or of nobody.
    pub(super) fn viewer(is_member: bool) -> Self {
        if is_member { Self::Viewer } else { Self::None }
    }
}

/// What somebody may do with a channel; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Right {
    /// See it.
    Watch,
    /// Publish it, plan and run broadcasts, see how that goes.
    Publish,
    /// Decide who watches, from where and where it is sent on to; rename and delete it, and what is on it.
    Manage,
    /// Give it away.
    Own,
}

/// What somebody may do with a channel, if they may know of it at all. Who lets an app speak for them has not asked the others in
/// the organisation: it does no more than publish there.
pub(super) fn right(tie: Tie, by: &Caller, members_only: bool) -> Option<Right> {
    match tie {
        _ if by.is_operator() => Some(Right::Own),
        Tie::Org(_) if by.scope.is_some() => Some(Right::Publish),
        Tie::Own | Tie::Org(OrgRole::Owner) => Some(Right::Own),
        Tie::Org(OrgRole::Manager) => Some(Right::Manage),
        Tie::Org(OrgRole::Publisher) => Some(Right::Publish),
        Tie::Viewer => Some(Right::Watch),
        Tie::None if members_only => None,
        Tie::None => Some(Right::Watch),
    }
}

/// The stream of a channel.
pub(super) fn stream(handle: &str, members_only: bool) -> String {
    format!("{}/{handle}", if members_only { MEMBERS } else { CHANNELS })
}

/// Whether a stream is that of a channel.
pub(super) fn is_channel(stream: &str) -> bool {
    StreamKey::parse(stream).is_ok_and(|key| key.is_channel())
}

/// A text of one line as it is kept.
///
/// # Errors
/// In words.
pub(super) fn line(given: &str) -> Result<String, &'static str> {
    let text = given.trim();
    let good = !text.is_empty() && !text.contains(char::is_control);
    if good { Ok(text.to_owned()) } else { Err("is some text on one line") }
}

/// An address that a stream can be sent to, and what of it may be shown: not its path behind the application, nor its query.
/// All else is for the core to check, which sends.
///
/// # Errors
/// In words, with what to do.
pub(super) fn target(given: &str) -> Result<(String, String), &'static str> {
    const FORM: &str = "is as rtmp://HOST/APP/KEY, rtmps://HOST/APP/KEY or srt://HOST:PORT?streamid=STREAM&passphrase=SECRET";
    let url = given.trim();
    let (scheme, rest) = url.split_once("://").ok_or(FORM)?;
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    let (server, path) = place.split_once('/').unwrap_or((place, ""));
    if server.is_empty()
        || server.contains('@')
        || url.contains(|c: char| c.is_control() || c.is_whitespace())
    {
        return Err(FORM);
    }
    let shown = match (scheme.to_ascii_lowercase().as_str(), path.rsplit_once('/')) {
        (scheme @ ("rtmp" | "rtmps"), Some((app, name))) if !app.starts_with('/') && !name.is_empty() => {
            let app = app.split('/').next().filter(|app| !app.is_empty()).ok_or(FORM)?;
            format!("{scheme}://{server}/{app}/***")
        }
        ("srt", _) if server.contains(':') => format!("srt://{server}{}", query.map_or("", |_| "?***")),
        _ => return Err(FORM),
    };
    Ok((url.to_owned(), shown))
}

/// The host in an address.
pub(super) fn host(url: &str) -> Option<&str> {
    let server = url.split_once("://")?.1.split(['/', '?']).next()?;
    match server.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, _)| host),
        None => server.split(':').next(),
    }
}

#[cfg(test)]
mod tests {
    use nx_contract::targets::is_public;

    use super::*;

    #[test]
    fn who_may_do_what_with_a_channel() {
        let org = Tie::Org;
        let (ada, operator) = (Caller::new("ada", &["creator"]), Caller::operator());
        let app = Caller { scope: Some("channels.write".into()), ..ada.clone() };
        for (tie, open, closed) in [
            (Tie::None, Some(Right::Watch), None),
            (Tie::Viewer, Some(Right::Watch), Some(Right::Watch)),
            (org(OrgRole::Publisher), Some(Right::Publish), Some(Right::Publish)),
            (org(OrgRole::Manager), Some(Right::Manage), Some(Right::Manage)),
            (org(OrgRole::Owner), Some(Right::Own), Some(Right::Own)),
            (Tie::Own, Some(Right::Own), Some(Right::Own)),
        ] {
            assert_eq!((right(tie, &ada, false), right(tie, &ada, true)), (open, closed), "{tie:?}");
            assert_eq!(right(tie, &operator, true), Some(Right::Own), "an operator");
        }
        for (tie, want) in [
            (Tie::None, None),
            (Tie::Viewer, Some(Right::Watch)),
            (org(OrgRole::Publisher), Some(Right::Publish)),
            (org(OrgRole::Manager), Some(Right::Publish)),
            (org(OrgRole::Owner), Some(Right::Publish)),
            (Tie::Own, Some(Right::Own)),
        ] {
            assert_eq!(right(tie, &app, true), want, "an app for {tie:?}");
        }
    }

    #[test]
    fn secrets_of_targets_are_not_shown() {
        for (given, want) in [
            ("rtmp://live.example/app/key", Some("rtmp://live.example/app/***")),
            (" RTMPS://live.example:444/app/inst/key?a=b ", Some("rtmps://live.example:444/app/***")),
            ("srt://192.0.2.1:9000?streamid=x&passphrase=y", Some("srt://192.0.2.1:9000?***")),
            ("srt://[2001:db8::1]:9000", Some("srt://[2001:db8::1]:9000")),
            ("srt://live.example", None),
            ("rtmp://live.example/app", None),
            ("rtmp://live.example/app/", None),
            ("rtmp://live.example//key", None),
            ("rtmp://me:secret@live.example/app/key", None),
            ("rtmp://live.example/app/a key", None),
            ("https://live.example/app/key", None),
            ("live.example/app/key", None),
            ("rtmp:///app/key", None),
        ] {
            assert_eq!(target(given).ok().map(|(_, shown)| shown).as_deref(), want, "{given}");
        }
    }

    #[test]
    fn what_is_outside_is_known() {
        for (url, public) in [
            ("rtmp://192.0.2.1:1935/app/key", true),
            ("srt://[2001:db8::1]:9000?streamid=x", true),
            ("rtmp://127.0.0.1/app/key", false),
            ("rtmp://10.1.2.3/app/key", false),
            ("rtmp://169.254.169.254/app/key", false),
            ("rtmp://100.64.0.1/app/key", false),
            ("rtmp://0.0.0.0/app/key", false),
            ("srt://[::1]:9000", false),
            ("srt://[::ffff:10.0.0.1]:9000", false),
            ("srt://[fe80::1]:9000", false),
            ("srt://[fd00::1]:9000", false),
            ("srt://[64:ff9b::a00:1]:9000", false),
            ("srt://[2002:a00:1::]:9000", false),
        ] {
            assert_eq!(host(url).unwrap().parse::<std::net::IpAddr>().map(is_public), Ok(public), "{url}");
        }
        assert_eq!(host("rtmp://live.example:1935/app/key"), Some("live.example"));
    }

    #[test]
    fn names_are_safe_in_addresses() {
        for (given, want) in [
            (" Show-1 ", Some("show-1")),
            ("abc", Some("abc")),
            ("ab", None),
            ("-abc", None),
            ("abc-", None),
            ("a/c", None),
            ("a.c", None),
            ("a*c", None),
            ("show?key=x", None),
            ("caf\u{e9}", None),
            (&"x".repeat(31), None),
        ] {
            assert_eq!(handle(given).ok().as_deref(), want, "{given}");
            if let Ok(handle) = handle(given) {
                for members_only in [false, true] {
                    let key = StreamKey::parse(&stream(&handle, members_only)).unwrap();
                    assert_eq!((key.is_channel(), key.is_for_members()), (true, members_only));
                }
            }
        }
    }
}
