//! What a player is going to ask for next.

/// What `relative` names, seen from `path`; `None` when it leaves the host or is no plain path.
#[must_use]
pub fn relative(path: &str, relative: &str) -> Option<String> {
    let (relative, query) = relative.split_once('?').map_or((relative, None), |(r, q)| (r, Some(q)));
    if relative.is_empty() || relative.contains(':') || relative.contains('#') || relative.starts_with("//") {
        return None;
    }
    let mut segments: Vec<&str> = match relative.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => path.rsplit_once('/')?.0.split('/').filter(|s| !s.is_empty()).collect(),
    };
    for segment in relative.split('/').filter(|s| !s.is_empty()) {
        match segment {
            "." => {}
            ".." => drop(segments.pop()?),
            other => segments.push(other),
        }
    }
    let path = format!("/{}", segments.join("/"));
    let good = path.bytes().all(|b| b.is_ascii_graphic()) && crate::is_plain(&path);
    good.then(|| query.map_or(path.clone(), |query| format!("{path}?{query}")))
}

/// The path of the next segment when the file's name ends in a number, as `/v1/17.m4s` and `/seg-00017.ts` do. A
/// number of leading zeros keeps its width.
#[must_use]
pub fn by_number(path: &str) -> Option<String> {
    let (folder, file) = path.rsplit_once('/')?;
    let (stem, ending) = file.rsplit_once('.')?;
    let digits = stem.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (front, number) = stem.split_at_checked(stem.len().checked_sub(digits)?)?;
    let next = number.parse::<u64>().ok()?.checked_add(1)?;
    Some(format!("{folder}/{front}{next:0digits$}.{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_within_the_host() {
        for (base, name, want) in [
            ("/vod/a/v1/1.m4s", "2.m4s", Some("/vod/a/v1/2.m4s")),
            ("/vod/a/v1/1.m4s", "../v2/2.m4s?x=1", Some("/vod/a/v2/2.m4s?x=1")),
            ("/vod/a/v1/1.m4s", "/b/./3", Some("/b/3")),
            ("/1", "../2", None),
            ("/vod/1", "//evil/2", None),
            ("/vod/1", "http://evil/2", None),
            ("/vod/1", "2#x", None),
            ("/vod/1", "", None),
            ("/vod/1", "%2e%2e/2", None),
            ("/vod/1", "a b", None),
            ("/vod/1", "a\r\nb", None),
        ] {
            assert_eq!(relative(base, name).as_deref(), want, "{base} {name}");
        }
    }

    #[test]
    fn counts_up() {
        for (path, want) in [
            ("/v1/17.m4s", Some("/v1/18.m4s")),
            ("/seg-00099.ts", Some("/seg-00100.ts")),
            ("/seg-99.ts", Some("/seg-100.ts")),
            ("/v1/17.3.m4s", Some("/v1/17.4.m4s")),
            ("/v1/init.mp4", None),
            ("/v1/17", None),
            ("/18446744073709551615.ts", None),
            ("/99999999999999999999999.ts", None),
        ] {
            assert_eq!(by_number(path).as_deref(), want, "{path}");
        }
    }
}
