//! Keeps the programme as its scene says, whatever becomes of the streams in it.

use gst::ClockTime;
use nx_scene::{Begin, News, Rect, Scene};

use crate::input::Input;
use crate::output::{Branch, Broken, Output, Stage};
use crate::overlay::{Stills, compose};

/// A programme that makes no frame for this long is dead.
const STUCK: ClockTime = ClockTime::from_seconds(5);
/// Between two words about how it goes.
const NEWS: ClockTime = ClockTime::from_seconds(1);

/// See the module.
pub(crate) struct Programme {
    begin: Begin,
    inputs: Vec<Input>,
    /// Of inputs that left the scene, until the next frame is without them.
    leaving: Vec<Branch>,
    stills: Stills,
    /// Which inputs have a picture in what was staged last; `None` when the scene has changed since.
    staged: Option<Vec<bool>>,
    told: ClockTime,
    /// The last number of frames, and since when.
    frames: (u64, ClockTime),
    /// Last: it goes when nobody uses it any more.
    output: Output,
}

impl Programme {
    /// Begins to publish. In words when it cannot be.
    pub(crate) fn start(begin: Begin) -> Result<Self, String> {
        let output = Output::start(&begin)?;
        let scene = begin.scene.clone();
        let mut programme = Self {
            begin,
            inputs: Vec::new(),
            leaving: Vec::new(),
            stills: Stills::default(),
            staged: None,
            told: ClockTime::ZERO,
            frames: (0, ClockTime::ZERO),
            output,
        };
        programme.show(scene)?;
        Ok(programme)
    }

    /// It looks and sounds like this from the next frame on. Streams that stay are not connected anew.
    pub(crate) fn show(&mut self, scene: Scene) -> Result<(), String> {
        let mut before = std::mem::take(&mut self.inputs);
        for wanted in &scene.inputs {
            let at = before.iter().position(|input| input.stream() == wanted.stream);
            let mut input = match at {
                Some(at) => before.swap_remove(at),
                None => Input::new(&wanted.stream, self.location(&wanted.stream), &self.output)?,
            };
            input.set_gain(wanted.gain);
            self.inputs.push(input);
        }
        before.iter_mut().for_each(|input| input.set_gain(0.0));
        self.leaving.extend(before.into_iter().map(Input::leave));
        self.stills.load(&scene, self.begin.pictures.as_deref());
        self.begin.scene = scene;
        self.staged = None;
        Ok(())
    }

    fn location(&self, stream: &str) -> String {
        format!("{}/{stream}?key={}", self.begin.server, self.begin.play_key)
    }

    /// Looks after everything; what is to be told, now and then. In words when it cannot go on.
    pub(crate) fn tick(&mut self) -> Result<Option<News>, String> {
        for broken in self.output.broken() {
            match broken {
                Broken::Programme(why) => return Err(why),
                Broken::Branch(source) => {
                    self.inputs.iter_mut().try_for_each(|input| input.mend(&source, &self.output))?;
                    self.staged = None;
                }
            }
        }
        self.inputs.iter_mut().for_each(|input| input.tick(&self.output));
        let now = self.output.now();
        self.stage(now);
        if self.output.is_staged() {
            self.leaving.drain(..).for_each(|branch| self.output.detach(branch));
        }
        let frames = self.output.frames();
        if frames != self.frames.0 {
            self.frames = (frames, now);
        } else if now.saturating_sub(self.frames.1) > STUCK {
            return Err("no frame was made for 5 s: the encoder or the server takes none".into());
        }
        if now.saturating_sub(self.told) < NEWS {
            return Ok(None);
        }
        self.told = now;
        let inputs = self.inputs.iter().map(|input| input.seen(now)).collect();
        Ok(Some(News::Status { frames, inputs, faults: self.stills.faults() }))
    }

    /// Has the next frame look as the scene says and the streams that are there allow.
    fn stage(&mut self, now: ClockTime) {
        let shown: Vec<bool> = self.inputs.iter().map(|input| input.is_shown(now)).collect();
        if self.staged.as_ref() == Some(&shown) {
            return;
        }
        let rects = self.begin.scene.rects();
        let all = || self.inputs.iter().zip(&rects).zip(&shown);
        let absent: Vec<(Rect, &str)> =
            all().filter(|(_, shown)| !**shown).map(|((input, rect), _)| (*rect, input.stream())).collect();
        let above = compose(&self.begin.scene, &self.stills, &absent);
        let on = all().map(|((input, rect), shown)| (input.picture().clone(), shown.then_some(*rect)));
        let off = self.leaving.iter().map(|branch| (branch.picture.clone(), None));
        self.output.stage(Stage { places: on.chain(off).collect(), above });
        self.staged = Some(shown);
    }

    /// Ends the stream in good order.
    pub(crate) fn end(&self) {
        self.output.end();
    }
}
