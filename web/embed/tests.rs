//! What holds for the pages, built or not, and what holds for built ones only.

use super::{Asset, BUILT, CSP, Page, asset, page};

const PAGES: [Page; 8] = [
    Page::Watch,
    Page::Status,
    Page::Recordings,
    Page::Errors,
    Page::Account,
    Page::People,
    Page::Channels,
    Page::Server,
];

fn text(asset: &Asset) -> &str {
    std::str::from_utf8(&asset.bytes).expect("pages are UTF-8")
}

/// Values of `src="…"` and `href="…"` that name a file of this listener.
fn references(html: &str) -> Vec<&str> {
    html.split(['"', '\'']).filter_map(|word| word.strip_prefix("/assets/").map(|_| &word[1..])).collect()
}

#[test]
fn each_page_is_whole_and_revalidated() {
    for name in PAGES {
        let page = page(name);
        assert_eq!(page.content_type, "text/html; charset=utf-8");
        assert!(!page.immutable && page.cache_control() == "no-cache");
        assert!(page.etag.starts_with('"') && page.etag.ends_with('"') && page.etag.len() > 2);
        assert!(text(&page).trim_end().ends_with("</html>"), "{name:?}");
    }
    assert_ne!(page(Page::Watch).etag, page(Page::Status).etag);
}

#[test]
fn a_page_that_is_missing_says_what_to_run() {
    if BUILT {
        return;
    }
    assert!(text(&page(Page::Watch)).contains("make web"));
    assert!(text(&page(Page::Watch)).contains("/APP/STREAM/index.m3u8"));
    for name in &PAGES[1..] {
        assert!(text(&page(*name)).contains("make web"), "{name:?}");
    }
}

#[test]
fn every_file_a_page_names_is_there_and_immutable() {
    if !BUILT {
        return;
    }
    for name in PAGES {
        let page = page(name);
        let named = references(text(&page));
        assert!(named.len() >= 2, "{name:?} names its script and its style");
        for path in named {
            let file = asset(path).unwrap_or_else(|| panic!("{path} is missing"));
            assert!(
                file.immutable && !file.bytes.is_empty() && file.content_type.starts_with("text/"),
                "{path}"
            );
        }
    }
}

#[test]
fn pages_keep_to_the_policy() {
    if !BUILT {
        return;
    }
    for name in PAGES {
        let page = page(name);
        let html = text(&page);
        for tag in html.split("<script").skip(1) {
            assert!(
                tag.split('>').next().is_some_and(|tag| tag.contains("src=")),
                "{name:?} has an inline script"
            );
        }
        for url in html.split(['"', '\'']).filter(|word| word.starts_with("http")) {
            assert_eq!(url, "http://www.w3.org/2000/svg", "{name:?} names another host");
        }
    }
}

#[test]
fn the_watch_page_alone_is_embedded_elsewhere_and_that_of_channels_embeds_it() {
    for name in PAGES {
        let policy = page(name).csp;
        assert!(!policy.contains("  ") && policy.starts_with("default-src 'self';"), "{name:?}: {policy}");
        assert_eq!(policy.contains("frame-ancestors *;"), name == Page::Watch, "{name:?}: {policy}");
        assert_eq!(policy.contains("frame-ancestors 'self';"), name != Page::Watch, "{name:?}: {policy}");
        assert_eq!(policy.contains("frame-src http: https:;"), name == Page::Channels, "{name:?}: {policy}");
    }
    assert_eq!(page(Page::Recordings).csp, CSP);
}

#[test]
fn only_assets_are_served_by_path() {
    for path in ["", "/", "watch.html", "/assets/x.js", "assets/", "assets/../watch.html", "assets/absent.js"]
    {
        assert!(asset(path).is_none(), "{path:?}");
    }
}
