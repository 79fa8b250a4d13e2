//! The client's calls, and what it makes of the answers.

use super::{Event, Intent, Session, Stage};
use crate::amf0::Value;
use crate::chunk::Message;
use crate::link::object;
use crate::message::{Command, check_len};
use crate::{Error, enhanced};

/// Transaction ids of the calls whose answers matter.
const CONNECT: f64 = 1.0;
const RELEASE_STREAM: f64 = 2.0;
const FC_PUBLISH: f64 = 3.0;
const CREATE_STREAM: f64 = 4.0;
const REQUEST: f64 = 5.0;
const GOODBYE: f64 = 6.0;
/// How much a player wants buffered, milliseconds.
const BUFFER_MS: u32 = 1000;

impl Session {
    pub(super) fn call_connect(&mut self) {
        let config = &self.config;
        let mut fields = vec![
            ("app", config.app.as_str().into()),
            ("flashVer", "FMLE/3.0 (compatible; nx-rtmp)".into()),
            ("tcUrl", config.tc_url.as_str().into()),
        ];
        fields.extend(enhanced::client_fields());
        if config.intent == Intent::Publish {
            fields.push(("type", "nonprivate".into()));
        } else {
            fields.extend([
                ("fpad", false.into()),
                ("capabilities", 15.0.into()),
                ("audioCodecs", 4071.0.into()),
                ("videoCodecs", 252.0.into()),
                ("videoFunction", 1.0.into()),
            ]);
        }
        self.link.command(0, &["connect".into(), CONNECT.into(), object(&fields)]);
    }

    pub(super) fn command(&mut self, message: &Message) -> Result<(), Error> {
        let command = Command::parse(message)?;
        match command.name.as_str() {
            "_result" => self.on_result(&command),
            "_error" => self.on_error(&command),
            "onStatus" => return self.on_status(&command),
            _ => {} // onBWDone, onFCPublish and the like want nothing
        }
        Ok(())
    }

    fn on_result(&mut self, command: &Command) {
        if self.stage == Stage::Connect && command.transaction == CONNECT {
            self.stage = Stage::CreateStream;
            self.link.set_chunk_size(self.config.chunk_size_out);
            let name: Value = self.config.stream.as_str().into();
            if self.config.intent == Intent::Publish {
                self.call("releaseStream", RELEASE_STREAM, &name);
                self.call("FCPublish", FC_PUBLISH, &name);
            }
            self.link.command(0, &["createStream".into(), CREATE_STREAM.into(), Value::Null]);
        } else if self.stage == Stage::CreateStream && command.transaction == CREATE_STREAM {
            self.stage = Stage::Request;
            self.stream_id = command.args.first().and_then(Value::as_u32).unwrap_or(1);
            self.request();
        }
    }

    fn request(&mut self) {
        let name: Value = self.config.stream.as_str().into();
        let id = self.stream_id;
        if self.config.intent == Intent::Publish {
            let live = Value::from("live");
            self.link.command(id, &["publish".into(), REQUEST.into(), Value::Null, name, live]);
        } else {
            let live_only = Value::Number(-1000.0);
            self.link.command(id, &["play".into(), REQUEST.into(), Value::Null, name, live_only]);
            self.link.set_buffer_length(id, BUFFER_MS);
        }
    }

    fn call(&mut self, name: &str, transaction: f64, argument: &Value) {
        self.link.command(0, &[name.into(), transaction.into(), Value::Null, argument.clone()]);
    }

    /// A refused call counts only where the dialogue cannot go on without it.
    fn on_error(&mut self, command: &Command) {
        if [CONNECT, CREATE_STREAM, REQUEST].contains(&command.transaction) {
            self.stage = Stage::Over;
            self.status(command.args.first().unwrap_or(&command.object), "error");
        }
    }

    fn on_status(&mut self, command: &Command) -> Result<(), Error> {
        let info = command.args.first().unwrap_or(&command.object);
        if info.property("code").and_then(Value::as_str) == Some(enhanced::RECONNECT_REQUEST) {
            return self.on_reconnect_request(info);
        }
        let (code, level) = self.status(info, "status");
        let started = match self.config.intent {
            Intent::Publish => "NetStream.Publish.Start",
            Intent::Play => "NetStream.Play.Start",
        };
        if level == "error" {
            self.stage = Stage::Over;
        } else if code == started && self.stage == Stage::Request {
            self.stage = Stage::Ready;
            self.events.push_back(Event::Ready);
        }
        Ok(())
    }

    fn on_reconnect_request(&mut self, info: &Value) -> Result<(), Error> {
        let text = |name: &str| info.property(name).and_then(Value::as_str);
        let tc_url = text("tcUrl").filter(|url| !url.is_empty());
        check_len("tcUrl", tc_url.unwrap_or_default(), &self.config.limits)?;
        self.events.push_back(Event::ReconnectRequest {
            tc_url: tc_url.map(str::to_owned),
            description: text("description").unwrap_or_default().to_owned(),
        });
        Ok(())
    }

    /// Reports a status object; returns its code and level.
    fn status(&mut self, info: &Value, level_default: &str) -> (String, String) {
        let text = |name: &str| info.property(name).and_then(Value::as_str).map(str::to_owned);
        let code = text("code").unwrap_or_default();
        let level = text("level").unwrap_or_else(|| level_default.to_owned());
        let description = text("description").unwrap_or_default();
        self.events.push_back(Event::Status { code: code.clone(), level: level.clone(), description });
        (code, level)
    }

    pub(super) fn say_goodbye(&mut self) {
        let id = self.stream_id;
        if self.config.intent == Intent::Publish {
            let name: Value = self.config.stream.as_str().into();
            self.call("FCUnpublish", GOODBYE, &name);
        }
        self.link.command(id, &["closeStream".into(), 0.0.into(), Value::Null]);
        self.call("deleteStream", 0.0, &Value::Number(f64::from(id)));
    }
}
