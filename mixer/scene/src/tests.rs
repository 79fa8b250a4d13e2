//! Scenes: what is right and wrong with them, where their pixels are, and how they travel.

use proptest::prelude::*;

use super::*;

fn scene(inputs: usize, layout: Layout) -> Scene {
    let input = |nth| Input { stream: format!("live/cam{nth}"), gain: 1.0 };
    let inputs = (0..inputs).map(input).collect();
    Scene { canvas: Canvas::default(), inputs, layout, pictures: Vec::new(), texts: Vec::new() }
}

fn inset(corner: Corner, share: f64) -> Layout {
    Layout::PictureInPicture { corner, share }
}

fn rect(left: u16, top: u16, width: u16, height: u16) -> Rect {
    Rect { left, top, width, height }
}

fn keys(scene: &Scene) -> Vec<String> {
    scene.faults().into_iter().map(|fault| fault.0).collect()
}

/// Worked out by hand, on 1280x720.
#[test]
fn streams_lie_where_the_layout_says() {
    let all = rect(0, 0, 1280, 720);
    let half = Place { left: 0.25, top: 0.5, width: 0.5, height: 0.5 };
    for (name, layout, want) in [
        ("beside", Layout::SideBySide, vec![rect(0, 0, 640, 720), rect(640, 0, 640, 720)]),
        ("top left", inset(Corner::TopLeft, 0.25), vec![all, rect(38, 22, 320, 180)]),
        ("top right", inset(Corner::TopRight, 0.25), vec![all, rect(922, 22, 320, 180)]),
        ("bottom left", inset(Corner::BottomLeft, 0.25), vec![all, rect(38, 518, 320, 180)]),
        ("bottom right", inset(Corner::BottomRight, 0.25), vec![all, rect(922, 518, 320, 180)]),
        ("places", Layout::Places(vec![half, half]), vec![rect(320, 360, 640, 360); 2]),
    ] {
        let scene = scene(2, layout);
        assert_eq!(keys(&scene), Vec::<String>::new(), "{name}");
        assert_eq!(scene.rects(), want, "{name}");
    }
    let row = scene(3, inset(Corner::TopLeft, 0.25)).rects();
    assert_eq!(row.last(), Some(&rect(396, 22, 320, 180)), "the second inset is right of the first");
}

#[test]
fn every_mistake_is_told_at_once() {
    let place = Place { left: 0.5, top: f64::NAN, width: 0.6, height: 0.2 };
    let mut wrong = scene(2, Layout::Places(vec![place]));
    wrong.canvas = Canvas { width: 641, height: 20, fps: 0, bitrate_bps: 1 };
    wrong.inputs.push(Input { stream: "nonsense".into(), gain: -1.0 });
    wrong.inputs.push(Input { gain: f64::NAN, ..wrong.inputs[0].clone() });
    wrong.pictures.push(Picture { file: "../key.pem".into(), place });
    wrong.texts.push(Text { text: String::new(), left: 1.0, top: -0.1, height: 0.01 });
    assert_eq!(
        keys(&wrong),
        [
            "canvas.width",
            "canvas.height",
            "canvas.fps",
            "canvas.bitrate_bps",
            "inputs.2.stream",
            "inputs.2.gain",
            "inputs.3.stream",
            "inputs.3.gain",
            "layout.places",
            "layout.places.0.width",
            "layout.places.0.height",
            "pictures.0.place.width",
            "pictures.0.place.height",
            "pictures.0.file",
            "texts.0.text",
            "texts.0.left",
            "texts.0.top",
            "texts.0.height",
        ]
    );
    assert_eq!(keys(&scene(0, Layout::SideBySide)), ["inputs"]);
    assert_eq!(keys(&scene(INPUTS_MAX + 1, Layout::SideBySide)), ["inputs"]);
    for (count, share, good) in
        [(2, 0.5, true), (2, 0.51, false), (3, 0.45, true), (3, 0.46, false), (2, 0.04, false)]
    {
        assert_eq!(keys(&scene(count, inset(Corner::TopLeft, share))).is_empty(), good, "{count} {share}");
    }
}

#[test]
fn pictures_are_files_of_one_folder() {
    for (file, good) in [
        ("logo.png", true),
        ("A b.JPG", true),
        ("x.jpeg", true),
        ("x.svg", false),
        ("png", false),
        (".png", false),
        ("..", false),
        ("a/b.png", false),
        ("/etc/x.png", false),
        ("..\\x.png", false),
    ] {
        let mut scene = scene(1, Layout::SideBySide);
        let place = Place { left: 0.0, top: 0.0, width: 0.1, height: 0.1 };
        scene.pictures.push(Picture { file: file.into(), place });
        assert_eq!(keys(&scene).is_empty(), good, "{file}");
    }
}

#[test]
fn a_scene_is_as_short_as_it_can_be() {
    let read = |text: &str| serde_json::from_str::<Scene>(text);
    let short = read(r#"{"inputs": [{"stream": "live/cam0"}, {"stream": "live/cam1"}]}"#).unwrap();
    assert_eq!(short, scene(2, inset(Corner::BottomRight, 0.3)));
    let beside = read(r#"{"inputs": [{"stream": "live/cam0"}], "layout": "side_by_side"}"#).unwrap();
    assert_eq!(beside, scene(1, Layout::SideBySide));
    let corner = r#"{"inputs": [], "layout": {"picture_in_picture": {"corner": "top_left"}}}"#;
    assert_eq!(read(corner).unwrap().layout, inset(Corner::TopLeft, 0.3));
    for wrong in [
        r#"{"inputs": [], "layuot": "side_by_side"}"#,
        r#"{"inputs": [{"stream": "live/a", "gian": 1}]}"#,
        "{}",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn lines_come_back_and_broken_ones_are_refused_without_showing_them() {
    let begin = Begin {
        server: "rtmp://127.0.0.1:1935".into(),
        stream: "live/show".into(),
        play_key: "secret-a".into(),
        publish_key: "secret-b".into(),
        pictures: None,
        scene: scene(3, Layout::SideBySide),
    };
    let whole = line(&Order::Begin(Box::new(begin)));
    let Order::Begin(back) = read::<Order>(&whole).unwrap() else { panic!("another order") };
    assert_eq!(line(&Order::Begin(back)), whole);
    for end in 0..whole.len() {
        assert!(read::<Order>(&whole[..end]).is_err(), "{end}");
        let error = read::<Order>(&[&whole[..end], b"\n"].concat()).err().filter(|_| end + 1 < whole.len());
        assert!(error.is_some_and(|e| !e.to_string().contains("secret")) || end + 1 == whole.len(), "{end}");
    }
    assert_eq!(line(&News::Hello(VERSION)), b"{\"hello\":1}\n");
    assert!(read::<News>(b"{\"hullo\":1}\n").is_err());
}

fn share() -> impl Strategy<Value = f64> {
    (0..=1000_u32).prop_map(|n| f64::from(n) / 1000.0)
}

fn layout() -> impl Strategy<Value = Layout> {
    let corner = prop::sample::select(vec![
        Corner::TopLeft,
        Corner::TopRight,
        Corner::BottomLeft,
        Corner::BottomRight,
    ]);
    let place = [share(), share(), share(), share()].prop_map(|[a, b, c, d]| {
        let side = |from: f64, share: f64| (from * 0.9, 0.05 + (share * (0.95 - from * 0.9)));
        let ((left, width), (top, height)) = (side(a, b), side(c, d));
        Place { left, top, width, height }
    });
    prop_oneof![
        Just(Layout::SideBySide),
        (corner, share()).prop_map(|(corner, share)| Layout::PictureInPicture { corner, share }),
        prop::collection::vec(place, INPUTS_MAX).prop_map(Layout::Places),
    ]
}

proptest! {
    #[test]
    fn what_is_not_at_fault_has_even_pixels_within_the_canvas_near_its_shares(
        mut layout in layout(),
        inputs in 1..=INPUTS_MAX,
        width in 32..=1920_u16,
        height in 32..=1080_u16,
    ) {
        if let Layout::Places(places) = &mut layout {
            places.truncate(inputs);
        }
        let (width, height) = (2 * width, 2 * height);
        let mut scene = scene(inputs, layout);
        scene.canvas = Canvas { width, height, ..Canvas::default() };
        prop_assume!(scene.faults().is_empty());
        let rects = scene.rects();
        prop_assert_eq!(rects.len(), inputs);
        for (nth, Rect { left, top, width: w, height: h }) in rects.into_iter().enumerate() {
            prop_assert!([left, top, w, h].iter().all(|n| n.is_multiple_of(2)) && w > 0 && h > 0);
            prop_assert!(left + w <= width && top + h <= height);
            if let Layout::Places(places) = &scene.layout {
                let near = |pixels: u16, share: f64, all: u16| (f64::from(pixels) - share * f64::from(all)).abs() <= 2.0;
                let place = places[nth];
                prop_assert!(near(left, place.left, width) && near(w, place.width, width));
                prop_assert!(near(top, place.top, height) && near(h, place.height, height));
            }
        }
    }

    #[test]
    fn columns_and_insets_do_not_overlap(count in 1..=INPUTS_MAX, share in share(), beside: bool) {
        let layout = if beside { Layout::SideBySide } else { inset(Corner::BottomRight, share) };
        let scene = scene(count, layout);
        prop_assume!(scene.faults().is_empty());
        let mut rects = scene.rects();
        if !beside {
            rects.remove(0);
        }
        rects.sort_by_key(|rect| rect.left);
        prop_assert!(rects.windows(2).all(|two| two[0].left + two[0].width <= two[1].left));
    }

    #[test]
    fn any_bytes_are_a_line_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read::<Order>(&bytes);
        let _ = read::<News>(&bytes);
    }
}
