//! A programme that goes nowhere.

use std::sync::mpsc::channel;
use std::time::Duration;

use super::*;

const CANVAS: Canvas = Canvas { width: 320, height: 180, fps: 25, bitrate_bps: 500_000 };

fn nowhere() -> gst::Pipeline {
    gst::init().unwrap();
    launch(&format!("{} ! fakesink sync=false", description(CANVAS))).unwrap()
}

#[test]
fn frames_are_made_before_the_black_picture_comes() {
    let pipeline = nowhere();
    let held = pipeline.by_name("mix").and_then(|mix| mix.static_pad("sink_0")).unwrap();
    let held = held.peer().unwrap();
    // Never let go: the first frame waits in it until the programme ends.
    held.add_probe(gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER, |_, _| gst::PadProbeReturn::Ok)
        .unwrap();
    let (made, frames) = channel();
    let end = pipeline.by_name("above").and_then(|above| above.static_pad("src")).unwrap();
    end.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let _ = made.send(());
        gst::PadProbeReturn::Ok
    });
    let output = Output::run(pipeline).unwrap();
    let third = (0..3).map(|_| frames.recv_timeout(Duration::from_secs(10))).find(Result::is_err);
    let broken = output.broken().len();
    assert_eq!((third, broken), (None, 0));
}

#[test]
fn every_element_knows_when_it_begins_before_it_has_a_clock() {
    let pipeline = nowhere();
    begin_now(&pipeline);
    pipeline.set_state(gst::State::Paused).unwrap();
    let begun = pipeline.base_time().filter(|begun| !begun.is_zero());
    let wrong = |element: &gst::Element| element.base_time() != begun;
    let wrong: Vec<_> = pipeline.children().into_iter().filter(wrong).map(|e| e.name()).collect();
    let _ = pipeline.set_state(gst::State::Null);
    assert!(wrong.is_empty() && begun.is_some(), "{begun:?} {wrong:?}");
}
