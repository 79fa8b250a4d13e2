//! What the server does with each command.

use super::{Connect, Event, Session, Stage};
use crate::amf0::Value;
use crate::chunk::Message;
use crate::link::status;
use crate::message::{Command, check_len, split_query};
use crate::{Error, enhanced};

impl Session {
    pub(super) fn command(&mut self, message: &Message) -> Result<(), Error> {
        let command = Command::parse(message)?;
        self.count_command()?;
        match command.name.as_str() {
            "connect" => self.on_connect(&command),
            "createStream" => self.on_create_stream(&command),
            "publish" => self.on_publish(&command, message.stream_id),
            "play" => self.on_play(&command, message.stream_id),
            "deleteStream" => {
                let id = command.args.first().and_then(Value::as_number);
                self.end(id.is_none_or(|id| id == f64::from(self.stream_id)));
                Ok(())
            }
            "closeStream" => {
                self.end(message.stream_id == self.stream_id);
                Ok(())
            }
            "FCUnpublish" => {
                self.end(matches!(self.stage, Stage::PublishPending | Stage::Publishing));
                self.answer(&command, Value::Undefined);
                Ok(())
            }
            "releaseStream" | "FCPublish" | "_checkbw" => {
                self.answer(&command, Value::Undefined);
                Ok(())
            }
            "FCSubscribe" => {
                self.answer(&command, Value::Undefined);
                self.fc_subscribed(command.text(0).unwrap_or_default());
                Ok(())
            }
            "getStreamLength" => {
                self.answer(&command, Value::Number(0.0)); // live: no length
                Ok(())
            }
            "pause" => {
                let paused = command.args.first() == Some(&Value::Bool(true));
                let code = if paused { "NetStream.Pause.Notify" } else { "NetStream.Unpause.Notify" };
                self.player_status("status", code);
                Ok(())
            }
            "seek" => {
                self.player_status("error", "NetStream.Seek.Failed");
                Ok(())
            }
            // answers to calls we never make, and wishes a live stream does not know
            "_result" | "_error" | "onStatus" | "play2" | "receiveAudio" | "receiveVideo" => Ok(()),
            _ => {
                self.unknown(&command);
                Ok(())
            }
        }
    }

    fn count_command(&mut self) -> Result<(), Error> {
        if matches!(self.stage, Stage::Publishing | Stage::Playing) {
            return Ok(());
        }
        self.commands += 1;
        let max = self.config.limits.commands_max;
        if self.commands > max { Err(Error::TooMany { what: "commands", max }) } else { Ok(()) }
    }

    fn out_of_order(&self, command: &'static str) -> Error {
        Error::OutOfOrder { command, phase: self.phase().name() }
    }

    /// Fails unless `connect` came first. Its answer may be outstanding: peers send ahead.
    fn connected(&self, command: &'static str) -> Result<(), Error> {
        if self.connect == Connect::Awaited { Err(self.out_of_order(command)) } else { Ok(()) }
    }

    fn on_connect(&mut self, command: &Command) -> Result<(), Error> {
        if self.connect != Connect::Awaited {
            return Err(self.out_of_order("connect"));
        }
        let limits = &self.config.limits;
        let text = |name: &str| command.object.property(name).and_then(Value::as_str).unwrap_or_default();
        let (app, query) = split_query("app", text("app"), limits)?;
        check_len("tcUrl", text("tcUrl"), limits)?;
        check_len("flashVer", text("flashVer"), limits)?;
        let announced = enhanced::announced(&command.object);
        self.caps_ex = announced.as_ref().map(|a| a.caps_ex);
        self.connect = Connect::Pending(command.transaction);
        self.events.push_back(Event::Connect {
            app: app.trim_matches('/').to_owned(),
            query,
            tc_url: text("tcUrl").to_owned(),
            flash_ver: text("flashVer").to_owned(),
            fourcc: announced.map_or_else(Vec::new, |a| a.fourcc),
            caps_ex: self.caps_ex.unwrap_or(0),
        });
        Ok(())
    }

    fn on_create_stream(&mut self, command: &Command) -> Result<(), Error> {
        self.connected("createStream")?;
        let max = self.config.limits.create_streams_max;
        if self.streams_created >= max {
            return Err(Error::TooMany { what: "createStream calls", max });
        }
        self.streams_created += 1;
        self.answer(command, Value::Number(f64::from(self.streams_created)));
        Ok(())
    }

    fn on_publish(&mut self, command: &Command, stream_id: u32) -> Result<(), Error> {
        self.connected("publish")?;
        if self.stage != Stage::Idle {
            return Err(self.out_of_order("publish"));
        }
        let text = command.text(0).unwrap_or_default();
        let (name, query) = split_query("stream name", text, &self.config.limits)?;
        self.request(Stage::PublishPending, stream_id, &name);
        self.events.push_back(Event::Publish { name, query });
        Ok(())
    }

    fn on_play(&mut self, command: &Command, stream_id: u32) -> Result<(), Error> {
        self.connected("play")?;
        if self.stage != Stage::Idle {
            return Err(self.out_of_order("play"));
        }
        let text = command.text(0).unwrap_or_default();
        let (name, query) = split_query("stream name", text, &self.config.limits)?;
        self.request(Stage::PlayPending, stream_id, &name);
        self.events.push_back(Event::Play { name, query });
        Ok(())
    }

    fn request(&mut self, stage: Stage, stream_id: u32, name: &str) {
        self.stage = stage;
        self.stream_id = stream_id;
        name.clone_into(&mut self.name);
        if stage == Stage::PublishPending {
            self.link.reader.allow_media();
        }
    }

    /// The peer ends what it does, when `ours` says that it means the active stream.
    fn end(&mut self, ours: bool) {
        let (event, next) = match self.stage {
            _ if !ours => return,
            Stage::Publishing => (Event::Unpublish, Stage::Idle),
            Stage::Playing => (Event::StopPlay, Stage::Idle),
            Stage::PublishPending => (Event::Unpublish, Stage::Cancelled),
            Stage::PlayPending => (Event::StopPlay, Stage::Cancelled),
            Stage::Idle | Stage::Cancelled => return,
        };
        self.stage = next;
        self.events.push_back(event);
    }

    /// `_result` for a call that wants one.
    fn answer(&mut self, command: &Command, value: Value) {
        if command.transaction != 0.0 {
            self.link.command(0, &["_result".into(), command.transaction.into(), Value::Null, value]);
        }
    }

    fn unknown(&mut self, command: &Command) {
        if command.transaction != 0.0 {
            let info = status("error", "NetConnection.Call.Failed", "unknown command");
            self.link.command(0, &["_error".into(), command.transaction.into(), Value::Null, info]);
        }
    }
}
