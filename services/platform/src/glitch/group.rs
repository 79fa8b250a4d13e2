//! Which reports are one issue: what the client says, else where it happened, else what it says, without what differs
//! from one time to the next.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::event::{exceptions, frames, str_of};

/// Most frames of a trace that count, from where it happened outwards.
const FRAMES_MAX: usize = 30;
/// Longest message that counts, characters.
const MESSAGE_CHARS_MAX: usize = 500;
/// Shortest run of hexadecimal digits that is an address or a checksum rather than a word.
const HEX_LEN_MIN: usize = 8;

/// The hash of the issue that an event belongs to.
pub(super) fn hash(event: &Value) -> String {
    let own = || digest(&parts(event));
    let given = event.get("fingerprint").and_then(Value::as_array).filter(|given| !given.is_empty());
    let Some(given) = given else { return own() };
    let given: Vec<String> = given
        .iter()
        .map(|part| match part.as_str().map(str::trim) {
            Some("{{ default }}" | "{{default}}") => own(),
            Some(part) => part.to_owned(),
            None => part.to_string(),
        })
        .collect();
    // What only says that it is the default is no fingerprint.
    if let [one] = given.as_slice()
        && *one == own()
    {
        one.clone()
    } else {
        digest(&given)
    }
}

/// What an event is grouped by while the client says nothing.
fn parts(event: &Value) -> Vec<String> {
    let thrown = exceptions(event);
    if !thrown.is_empty() {
        let traced = thrown.iter().any(|e| !frames(e).is_empty());
        return thrown
            .iter()
            .flat_map(|e| {
                let kind = str_of(e, "type").to_owned();
                let place = frames_of(e);
                // Of a chain, what has no trace is told by its type when another has one.
                let told = place.is_empty() && !traced;
                std::iter::once(kind).chain(place).chain(told.then(|| plain(str_of(e, "value"))))
            })
            .collect();
    }
    let trace = frames_of(event);
    if !trace.is_empty() {
        return trace;
    }
    let entry = event.get("logentry").unwrap_or(event);
    let template = Some(str_of(entry, "message")).filter(|m| !m.is_empty());
    let message = template.unwrap_or_else(|| str_of(entry, "formatted"));
    vec![str_of(event, "logger").to_owned(), str_of(event, "type").to_owned(), plain(message)]
}

/// The frames of the application, or all when none is; recursion counts once.
fn frames_of(traced: &Value) -> Vec<String> {
    let all = frames(traced);
    let own: Vec<_> = all.iter().filter(|f| f.get("in_app").and_then(Value::as_bool) == Some(true)).collect();
    let chosen = if own.is_empty() { all.iter().collect() } else { own };
    let mut named: Vec<String> = chosen.into_iter().rev().take(FRAMES_MAX).map(frame).collect();
    named.dedup();
    named
}

/// A frame by its module, or file, and its function; without line numbers, which every change moves.
fn frame(frame: &Value) -> String {
    let module = match str_of(frame, "module") {
        "" => file(str_of(frame, "filename")),
        module => symbol(module),
    };
    let function = match str_of(frame, "function") {
        "" | "?" | "<anonymous>" => str_of(frame, "context_line").trim().to_owned(),
        function => symbol(function),
    };
    format!("{module} {function}")
}

/// A name without what the compiler or bundler appends: `h0123456789abcdef`, `0x7f…`, `{{closure}}`.
fn symbol(name: &str) -> String {
    let parts = name.split("::").filter(|part| {
        let hash =
            part.strip_prefix('h').is_some_and(|h| h.len() == 16 && h.bytes().all(|b| b.is_ascii_hexdigit()));
        !hash && *part != "{{closure}}"
    });
    plain(&parts.collect::<Vec<_>>().join("::"))
}

/// The name of a file without its folders, query and checksum: `app.3f2a1b9c.js` is `app.js`.
fn file(path: &str) -> String {
    let name =
        path.split(['?', '#']).next().unwrap_or_default().rsplit(['/', '\\']).next().unwrap_or_default();
    let kept = name.split(['.', '-']).filter(|part| !is_checksum(part));
    kept.collect::<Vec<_>>().join(".")
}

fn is_checksum(part: &str) -> bool {
    part.len() >= HEX_LEN_MIN - 2
        && part.bytes().all(|b| b.is_ascii_hexdigit())
        && part.bytes().any(|b| b.is_ascii_digit())
}

/// A message without numbers, addresses, ids and times.
pub(super) fn plain(message: &str) -> String {
    let message: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
    let words: Vec<String> = message.split_whitespace().map(word).collect();
    words.join(" ")
}

fn word(word: &str) -> String {
    let edge = |c: char| !c.is_alphanumeric() && !['/', '[', ']', ':'].contains(&c);
    let core = word.trim_matches(edge).trim_end_matches(':');
    if core.is_empty() {
        return word.to_owned();
    }
    let (before, after) = word.split_once(core).unwrap_or_default();
    let has_digit = core.bytes().any(|b| b.is_ascii_digit());
    let kind = if core.contains("://") {
        "<url>"
    } else if core.contains('@') && core.contains('.') {
        "<email>"
    } else if core.parse::<IpAddr>().is_ok() || core.parse::<SocketAddr>().is_ok() {
        "<ip>"
    } else if has_digit && core.len() == 36 && core.split('-').map(str::len).eq([8, 4, 4, 4, 12]) {
        "<uuid>"
    } else if has_digit
        && core.bytes().all(|b| b.is_ascii_digit() || b"-:.TZ+".contains(&b))
        && core.contains(['-', ':'])
    {
        "<time>"
    } else {
        return format!("{before}{}{after}", numbers(core));
    };
    format!("{before}{kind}{after}")
}

/// Runs of digits, and what is hexadecimal and has one.
fn numbers(core: &str) -> String {
    let (mut out, mut rest) = (String::new(), core);
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| c.is_ascii_alphanumeric() != first.is_ascii_alphanumeric());
        let (run, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        let bare = run.strip_prefix("0x").unwrap_or(run);
        if !run.bytes().any(|b| b.is_ascii_digit()) {
            out += run;
        } else if bare.bytes().all(|b| b.is_ascii_hexdigit())
            && (bare.len() >= HEX_LEN_MIN || bare.len() < run.len())
        {
            out += "<n>";
        } else {
            let mut was_digit = false;
            for c in run.chars() {
                if !c.is_ascii_digit() {
                    out.push(c);
                } else if !was_digit {
                    out += "<n>";
                }
                was_digit = c.is_ascii_digit();
            }
        }
    }
    // `1.5` is one number.
    out.replace("<n>.<n>", "<n>")
}

fn digest(parts: &[String]) -> String {
    let sum =
        parts.iter().fold(Sha256::new(), |sum, part| sum.chain_update(part).chain_update([0])).finalize();
    sum.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
