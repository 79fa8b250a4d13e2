//! The source's sound: decoded once, coded for each output. Time is counted in samples, and set anew at gaps.

use bytes::Bytes;
use ffmpeg_next::codec::{self, Id, decoder, encoder};
use ffmpeg_next::format::sample;
use ffmpeg_next::frame::Audio;
use ffmpeg_next::{ChannelLayout, Dictionary, Packet, format};
use nx_codec::aac::{self, Adts};
use nx_codec::opus;
use nx_media::{AudioCodec, Sample, VIDEO_TIMESCALE, rescale};
use nx_worker_protocol::{AAC_RATES_HZ, AudioSource, Reply, Sound};

use super::Out;
use crate::graph::{Chain, came};
use crate::sheet::Why;

/// Part of a second by which the source's times may miss the count of its samples.
const GAP: i64 = 20;

/// See the module.
pub(crate) struct Sounds {
    decoder: decoder::Audio,
    /// AAC is told to the decoder in front of each access unit.
    adts: Option<Adts>,
    timescale: u32,
    voices: Vec<Voice>,
    /// Where the next sample should begin.
    due: Option<i64>,
    /// Of the samples that were decoded last: rate, format, loudspeakers.
    form: Option<(u32, format::Sample, u64)>,
    damaged: u64,
}

impl Sounds {
    pub(crate) fn new(source: &AudioSource, sounds: Vec<(u8, Sound)>, out: &Out) -> Result<Self, Why> {
        let found = match source.codec {
            AudioCodec::Aac => decoder::find(Id::AAC),
            AudioCodec::Opus => decoder::find(Id::OPUS),
            AudioCodec::Flac => decoder::find(Id::FLAC),
            AudioCodec::Ac3 => decoder::find(Id::AC3),
            AudioCodec::Eac3 => decoder::find(Id::EAC3),
            AudioCodec::Mpa => decoder::find(Id::MP3),
            _ => None,
        };
        let adts = match source.codec {
            AudioCodec::Aac => Some(Adts::new(&aac::parse_config(&source.config)?)?),
            _ => None,
        };
        let found = found.ok_or("this libav has no decoder for the sound")?;
        let mut options = Dictionary::new();
        options.set("threads", "1");
        options.set("ar", &source.sample_rate.to_string());
        options.set("ac", &source.channels.to_string());
        let opened = codec::Context::new_with_codec(found).decoder().open_as_with(found, options);
        let decoder = opened.and_then(decoder::Opened::audio)?;
        let voice = |(index, sound)| Voice {
            index,
            sound,
            out: out.clone(),
            state: State::On(None),
            after: i64::MIN,
        };
        let voices = sounds.into_iter().map(voice).collect();
        Ok(Self { decoder, adts, timescale: source.sample_rate, voices, due: None, form: None, damaged: 0 })
    }

    /// The next sample. What cannot be decoded is counted.
    pub(crate) fn take(&mut self, sample: &Sample) -> Result<(), Why> {
        if self.voices.iter().all(|voice| !matches!(voice.state, State::On(_))) {
            return Ok(());
        }
        let header = match self.adts.map(|adts| adts.header(sample.payload.len())) {
            Some(Ok(header)) => Bytes::copy_from_slice(&header),
            None => Bytes::new(),
            Some(Err(_)) => {
                self.damaged += 1;
                return Ok(());
            }
        };
        let mut packet = Packet::copy(&[header, sample.payload.clone()].concat());
        packet.set_pts(Some(sample.pts));
        self.damaged += u64::from(self.decoder.send_packet(&packet).is_err());
        self.drain()
    }

    /// Up to where all that are on are coded, 90 kHz.
    pub(crate) fn coded(&self) -> Option<i64> {
        self.voices.iter().filter_map(Voice::coded).min()
    }

    pub(crate) fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Those that can still be had.
    pub(crate) fn outputs(&self) -> Vec<u8> {
        let had = self.voices.iter().filter(|voice| !matches!(voice.state, State::Refused));
        had.map(|voice| voice.index).collect()
    }

    pub(crate) fn want(&mut self, output: u8, on: bool) -> Result<(), Why> {
        self.voices.iter_mut().filter(|voice| voice.index == output).try_for_each(|voice| voice.want(on))
    }

    pub(crate) fn flush(&mut self) -> Result<(), Why> {
        // One that was told of an end before takes it again.
        let _ = self.decoder.send_eof();
        self.drain()?;
        self.decoder.flush();
        self.end_run()?;
        self.voices.iter_mut().for_each(|voice| voice.after = i64::MIN);
        Ok(())
    }

    fn end_run(&mut self) -> Result<(), Why> {
        self.due = None;
        self.voices.iter_mut().try_for_each(Voice::end_run)
    }

    fn drain(&mut self) -> Result<(), Why> {
        let mut frame = Audio::empty();
        loop {
            match came(self.decoder.receive_frame(&mut frame)) {
                Ok(true) if frame.samples() > 0 && frame.rate() > 0 => self.share(&frame)?,
                Ok(true) => (),
                Ok(false) => return Ok(()),
                Err(_) => {
                    self.damaged += 1;
                    return Ok(());
                }
            }
        }
    }

    fn share(&mut self, frame: &Audio) -> Result<(), Why> {
        let Some(pts) = frame.pts().or(self.due) else { return Ok(()) };
        let gap = i64::from(self.timescale) / GAP;
        let form = Some((frame.rate(), frame.format(), frame.channel_layout().bits()));
        let jumps = self.due.is_some_and(|due| pts.saturating_sub(due).saturating_abs() > gap);
        if jumps || form != self.form {
            self.end_run()?;
            self.form = form;
        }
        let due = self.due.unwrap_or(pts);
        self.due =
            Some(due.saturating_add(rescale(i64::try_from(frame.samples())?, frame.rate(), self.timescale)));
        self.voices.iter_mut().try_for_each(|voice| voice.take(frame, pts, self.timescale))
    }
}

/// One output.
struct Voice {
    index: u8,
    sound: Sound,
    out: Out,
    state: State,
    /// The end of what was coded before: nothing begins earlier.
    after: i64,
}

enum State {
    Off,
    /// Between its first sample and the end of a run.
    On(Option<Run>),
    Refused,
}

impl Voice {
    fn coded(&self) -> Option<i64> {
        match &self.state {
            State::On(Some(run)) => {
                Some(rescale(run.coded.max(run.begin), self.sound.sample_rate, VIDEO_TIMESCALE))
            }
            _ => None,
        }
    }

    fn want(&mut self, on: bool) -> Result<(), Why> {
        match (on, &self.state) {
            (true, State::Off) => self.state = State::On(None),
            (false, State::On(_)) => {
                self.end_run()?;
                self.state = State::Off;
            }
            _ => (),
        }
        Ok(())
    }

    fn end_run(&mut self) -> Result<(), Why> {
        let State::On(run) = &mut self.state else { return Ok(()) };
        let Some(mut run) = run.take() else { return Ok(()) };
        let ended = run.end(self.index, &self.out);
        self.after = run.coded;
        self.refused_if(ended)
    }

    fn take(&mut self, frame: &Audio, pts: i64, timescale: u32) -> Result<(), Why> {
        let State::On(run) = &mut self.state else { return Ok(()) };
        let taken = match run {
            Some(run) => Ok(run),
            none => Run::begin(&self.sound, frame, pts, timescale, self.after).and_then(|begun| {
                let (encoder, config) = (begun.name.to_owned(), config(&self.sound));
                self.out.say(&Reply::Opened { output: self.index, config, encoder })?;
                Ok(none.insert(begun))
            }),
        };
        let taken = taken.and_then(|run| run.take(frame, self.index, &self.out));
        self.refused_if(taken)
    }

    /// What ends one output leaves the others; that nobody listens ends all.
    fn refused_if(&mut self, done: Result<(), Why>) -> Result<(), Why> {
        if let Err(why) = done {
            self.state = State::Refused;
            self.out.refuse(&[self.index], &why)?;
        }
        Ok(())
    }
}

/// What decoders of an output have to know.
fn config(sound: &Sound) -> Bytes {
    if sound.codec == AudioCodec::Opus {
        return opus::params(sound.channels, None).config;
    }
    // AAC LC, its rate and its loudspeakers (ISO/IEC 14496-3 §1.6.2.1).
    let rate = AAC_RATES_HZ.iter().position(|rate| *rate == sound.sample_rate).unwrap_or(0);
    let bits = 2 << 11 | u16::try_from(rate).unwrap_or(0) << 7 | u16::from(sound.channels) << 3;
    Bytes::copy_from_slice(&bits.to_be_bytes())
}

/// Sound without a gap.
struct Run {
    name: &'static str,
    chain: Chain,
    encoder: encoder::audio::Encoder,
    frame_samples: u32,
    /// Where it begins, and samples since then; in the output's rate.
    begin: i64,
    samples: i64,
    /// The end of what is coded.
    coded: i64,
}

impl Run {
    fn begin(sound: &Sound, frame: &Audio, pts: i64, timescale: u32, after: i64) -> Result<Self, Why> {
        let (name, frame_samples, form) = match sound.codec {
            AudioCodec::Opus => ("libopus", 960, format::Sample::F32(sample::Type::Packed)),
            _ => ("aac", 1024, format::Sample::F32(sample::Type::Planar)),
        };
        let layout = match sound.channels {
            1 => ChannelLayout::MONO,
            6 => ChannelLayout::_5POINT1_BACK,
            _ => ChannelLayout::STEREO,
        };
        let codec = encoder::find_by_name(name).ok_or_else(|| format!("this libav lacks {name}"))?;
        let mut encoder = codec::Context::new_with_codec(codec).encoder().audio()?;
        encoder.set_rate(i32::try_from(sound.sample_rate)?);
        encoder.set_format(form);
        encoder.set_channel_layout(layout);
        encoder.set_channels(sound.channels.into());
        encoder.set_time_base((1, i32::try_from(sound.sample_rate)?));
        encoder.set_bit_rate(usize::try_from(sound.bitrate_bps)?);
        let encoder = encoder.open_as(codec)?;
        // Looks ahead a quarter of a second; louder by 20 dB at most.
        let evening = if sound.evened { "dynaudnorm=f=100:g=5:r=0.1," } else { "" };
        let spec = format!(
            "[in]{evening}aformat=sample_fmts={}:sample_rates={}:channel_layouts=0x{:x},\
             asetnsamples=n={frame_samples}:p=0[out0]",
            form.name(),
            sound.sample_rate,
            layout.bits()
        );
        let chain = Chain::audio(frame, timescale, &spec)?;
        let begin = rescale(pts, timescale, sound.sample_rate);
        Ok(Self { name, chain, encoder, frame_samples, begin, samples: 0, coded: after })
    }

    fn take(&mut self, frame: &Audio, index: u8, out: &Out) -> Result<(), Why> {
        self.chain.push(&frame.clone())?;
        self.code(index, out)
    }

    fn end(&mut self, index: u8, out: &Out) -> Result<(), Why> {
        self.chain.end()?;
        self.code(index, out)?;
        self.encoder.send_eof()?;
        self.drain(index, out)
    }

    fn code(&mut self, index: u8, out: &Out) -> Result<(), Why> {
        let mut frame = Audio::empty();
        while self.chain.pull(0, &mut frame)? {
            frame.set_pts(Some(self.begin.saturating_add(self.samples)));
            self.samples = self.samples.saturating_add(i64::try_from(frame.samples())?);
            self.encoder.send_frame(&frame)?;
            self.drain(index, out)?;
        }
        Ok(())
    }

    fn drain(&mut self, index: u8, out: &Out) -> Result<(), Why> {
        let mut packet = Packet::empty();
        while came(self.encoder.receive_packet(&mut packet))? {
            let pts = packet.pts().ok_or("the encoder of sound gives no times")?;
            let end = pts.saturating_add(self.frame_samples.into());
            // An access unit from before the beginning only warms decoders up; where time jumped back, others have
            // been there.
            if end <= self.begin || pts < self.coded {
                continue;
            }
            let payload = Bytes::copy_from_slice(packet.data().unwrap_or_default());
            let sample = Sample { dts: pts, pts, duration: Some(self.frame_samples), key: true, payload };
            out.say(&Reply::Coded { output: index, sample })?;
            self.coded = end;
        }
        Ok(())
    }
}
