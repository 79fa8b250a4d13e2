//! Takes secrets out of what was reported, before anything of it is stored: by the name of a field, and by what a text
//! looks like.

use serde_json::Value;

/// What stands where a secret stood.
pub(super) const FILTERED: &str = "[Filtered]";

/// A field whose name has one of these in it holds a secret; dashes and underscores do not count.
const NAMES: [&str; 22] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "apikey",
    "authorization",
    "cookie",
    "csrf",
    "xsrf",
    "credential",
    "privatekey",
    "accesskey",
    "streamkey",
    "signature",
    "sessionid",
    "dsn",
    "cardnumber",
    "creditcard",
    "securitycode",
    "iban",
];
/// A field of exactly this name does.
const WHOLE_NAMES: [&str; 9] = ["auth", "pwd", "sid", "cvv", "cvc", "pin", "ssn", "key", "jwt"];
/// What begins like this and goes on for a while is a secret.
const PREFIXES: [&str; 12] = [
    "eyJ",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "whsec_",
    "ghp_",
    "gho_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "AKIA",
];
/// Shortest text behind such a beginning, bytes.
const TAIL_BYTES_MIN: usize = 12;

/// Scrubs a document; keys stay.
pub(super) fn scrub(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                hide_or_go_on(name, value);
            }
        }
        // A list of pairs, as headers come.
        Value::Array(items) => match items.as_mut_slice() {
            [Value::String(name), value] => {
                let name = name.clone();
                hide_or_go_on(&name, value);
                items.iter_mut().for_each(scrub_text);
            }
            items => items.iter_mut().for_each(scrub),
        },
        Value::Number(number) if is_card(number.to_string().as_bytes()) => *value = FILTERED.into(),
        other => scrub_text(other),
    }
}

fn hide_or_go_on(name: &str, value: &mut Value) {
    match value {
        Value::Null | Value::Bool(_) => {}
        _ if is_secret(name) => *value = FILTERED.into(),
        _ => scrub(value),
    }
}

fn scrub_text(value: &mut Value) {
    if let Value::String(text) = value {
        let clean = self::text(text);
        *text = clean;
    }
}

/// Whether a field of this name holds a secret.
fn is_secret(name: &str) -> bool {
    let plain: String =
        name.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect();
    NAMES.iter().any(|n| plain.contains(n)) || WHOLE_NAMES.contains(&plain.as_str())
}

/// A text without the secrets that can be seen in it.
pub(super) fn text(text: &str) -> String {
    let text = text.replace('\0', "");
    cards(&pairs(&private_keys(&text)))
}

/// Blocks of PEM.
fn private_keys(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(begin) = rest.find("-----BEGIN ") {
        let (before, block) = rest.split_at(begin);
        let end = block.find("-----END ").map_or(block.len(), |end| {
            let (_, tail) = block.split_at(end);
            end + tail
                .char_indices()
                .map(|(i, _)| i)
                .find(|&i| i > 9 && tail.split_at(i).0.ends_with("-----"))
                .unwrap_or(tail.len())
        });
        let (block, after) = block.split_at(end);
        let is_key = block.contains("PRIVATE KEY");
        out += before;
        out += if is_key { FILTERED } else { block };
        rest = after;
    }
    out + rest
}

/// `name=value`, `"name": "value"`, `Bearer value`, `scheme://user:password@host`, and what begins like a secret.
fn pairs(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(first) = rest.chars().next() {
        if let Some((user, after)) = rest.strip_prefix("://").and_then(userinfo) {
            out += "://";
            out += if user.is_empty() { user } else { FILTERED };
            rest = after;
            continue;
        }
        if !is_word(first) {
            out.push(first);
            rest = rest.split_at(first.len_utf8()).1;
            continue;
        }
        let (word, after) = split_while(rest, is_word);
        let tail = PREFIXES.iter().find_map(|p| word.strip_prefix(p)).map_or(0, str::len);
        if tail >= TAIL_BYTES_MIN {
            // The rest of a JWT hangs on by its dots.
            rest = split_while(after, |c| is_word(c) || c == '.').1;
            out += FILTERED;
            continue;
        }
        out += word;
        rest = after;
        let is_scheme = ["bearer", "basic"].contains(&word.to_ascii_lowercase().as_str());
        if let Some((between, behind)) = value_of(word, after, is_scheme) {
            out += between;
            out += FILTERED;
            rest = behind;
        }
    }
    out
}

/// What stands between the name of a secret and its value, and what follows that.
fn value_of<'a>(word: &str, after: &'a str, is_scheme: bool) -> Option<(&'a str, &'a str)> {
    let (_, behind) = split_while(after, |c| c == ' ' || (!is_scheme && "\"'\\:=>".contains(c)));
    let between = after.split_at(after.len() - behind.len()).0;
    let names = is_secret(word) && between.contains([':', '=']);
    let shows = is_scheme && between.len() == 1;
    if !names && !shows {
        return None;
    }
    // `authorization: Bearer abc` and `Bearer abc` have one value.
    let lower = behind.get(..7).map(str::to_ascii_lowercase).unwrap_or_default();
    let value = ["bearer ", "basic "]
        .iter()
        .find(|s| lower.starts_with(**s))
        .map_or(behind, |s| behind.split_at(s.len()).1);
    let quote = between.chars().next_back().filter(|c| ['"', '\''].contains(c));
    let ends = |c: char| quote.map_or(c.is_whitespace() || "\"',;&)}]<".contains(c), |q| c == q || c == '\n');
    let (value, rest) = split_while(value, |c| !ends(c));
    (value.len() >= if shows { TAIL_BYTES_MIN } else { 1 }).then_some((between, rest))
}

/// Who is named before the host of an address, and the rest from `@` on.
fn userinfo(authority: &str) -> Option<(&str, &str)> {
    let (host, _) = split_while(authority, |c| !c.is_whitespace() && !"/?#\"'<>".contains(c));
    let at = host.rfind('@')?;
    Some(authority.split_at(at))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

fn split_while(text: &str, mut good: impl FnMut(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !good(c)).unwrap_or(text.len()))
}

/// Numbers of payment cards.
fn cards(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(first) = rest.chars().next() {
        if !first.is_ascii_digit() {
            let (other, after) = split_while(rest, |c| !c.is_ascii_digit());
            out += other;
            rest = after;
            continue;
        }
        let mut last = ' ';
        let (number, after) = split_while(rest, |c| {
            let good = c.is_ascii_digit() || ([' ', '-'].contains(&c) && last.is_ascii_digit());
            last = c;
            good
        });
        let trimmed = number.trim_end_matches([' ', '-']);
        let digits: Vec<u8> = trimmed.bytes().filter(u8::is_ascii_digit).collect();
        out += if is_card(&digits) { FILTERED } else { trimmed };
        out += number.split_at(trimmed.len()).1;
        rest = after;
    }
    out
}

/// Whether these digits are those of a card: a beginning that is given out (ISO/IEC 7812), and the check digit of Luhn.
fn is_card(digits: &[u8]) -> bool {
    if !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let begins = match (digits.len(), digits) {
        (13 | 19, [first, ..]) => *first == b'4',
        (14, [b'3', b'0' | b'6' | b'8', ..]) | (15, [b'3', b'4' | b'7', ..]) => true,
        (16, [first, ..]) => (b'2'..=b'6').contains(first),
        _ => false,
    };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| {
            let digit = u32::from(d - b'0') << (i % 2);
            digit / 10 + digit % 10
        })
        .sum();
    begins && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests;
