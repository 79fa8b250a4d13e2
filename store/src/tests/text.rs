//! Text beside the media: kept with the segments, passed over by who does not look for it.

use nx_hls::{Captions, TextRendition};
use nx_media::rescale;

use super::*;
use crate::text::{TEXT, read, text_segment};

fn english() -> Captions {
    let (language, name) = ("en".into(), "English".into());
    let rendition = TextRendition { language, name, captions: true, forced: false, default: false };
    Captions { embedded: Vec::new(), renditions: vec![rendition] }
}

fn vtt(text: &str) -> Vec<Bytes> {
    vec![Bytes::copy_from_slice(text.as_bytes())]
}

#[test]
fn text_is_listed_once_and_read_by_number_after_a_restart() {
    let folder = Folder::new("text");
    let of = run(0);
    let picture = |msn| segment(&of, 0, msn);
    let kept = |store: &Store, msns: std::ops::Range<u64>| {
        let log = store.log(&key());
        for msn in msns {
            store.keep(&log, &of, 0, picture(msn));
            // What was before there were captions has none.
            if msn > 10 {
                let text = text_segment(&picture(msn), &english(), &vtt(&format!("WEBVTT {msn}")));
                store.keep(&log, &of, TEXT, text.expect("fits"));
            }
        }
        store.confirm();
    };
    kept(&folder.open(EVER), 10..14);
    let store = folder.open(EVER);
    let log = store.find(&key()).expect("it is there");
    let events = log.read(&mut Cursor::from(0), i64::MAX).expect("reads");
    let told: Vec<&Event> = events.iter().filter(|e| matches!(e, Event::Captions(_))).collect();
    assert_eq!(told, [&Event::Captions(english())]);
    assert_eq!(events.iter().filter(|e| matches!(e, Event::Stored { .. })).count(), 4);
    assert_eq!(log.text(0, 12).expect("reads"), Some(Bytes::from_static(b"WEBVTT 12")));
    let empty = |msn| Some(nx_hls::empty_text(rescale(picture(msn).parts[0].pts, 90_000, 1_000_000)));
    assert_eq!(log.text(0, 10).expect("reads"), empty(10), "from before it began");
    assert_eq!(log.text(1, 12).expect("reads"), empty(12), "a rendition that began later");
    assert_eq!(log.text(0, 99).expect("reads"), None);
    let stretch = log.stretch(0, i64::MAX / 4, &[]).expect("reads").expect("something");
    assert_eq!(stretch.bytes, 4 * 80, "text is nothing to show in a file");
}

#[test]
fn too_much_text_is_not_kept() {
    let leader = segment(&run(0), 0, 10);
    let long = "x".repeat(1 << 20);
    assert!(text_segment(&leader, &english(), &vtt(&long)).is_none());
    assert!(text_segment(&leader, &english(), &vtt(&long[..(1 << 20) / 2])).is_some());
}

proptest! {
    #[test]
    fn what_is_damaged_is_no_text_and_no_panic(at in 0usize..400, flip in any::<u8>(), cut in 0usize..400) {
        let leader = segment(&run(0), 0, 10);
        let whole = text_segment(&leader, &english(), &vtt("WEBVTT\n\nHello")).expect("fits").parts[0].bytes.clone();
        prop_assert_eq!(read(&whole), Some((english(), vtt("WEBVTT\n\nHello"))));
        let mut bytes = whole.to_vec();
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= flip;
        }
        bytes.truncate(cut);
        let _ = read(&bytes.into());
    }
}
