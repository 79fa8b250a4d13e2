//! Pages.

use super::*;

#[test]
fn reads_paging_and_refuses_what_makes_none() {
    for (query, want) in [
        ("", Some((51, ""))),
        ("limit=200&x=y", Some((201, ""))),
        (&*format!("cursor={}&limit=1", Page::cursor("k/ä")), Some((2, "k/ä"))),
        ("limit=0", None),
        ("limit=201", None),
        ("cursor=%%%", None),
    ] {
        let got = Page::parse(query).ok();
        assert_eq!(got.as_ref().map(|p| (p.rows(), p.after.as_str())), want, "{query}");
    }
}
