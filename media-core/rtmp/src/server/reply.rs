//! The caller's answers, put into RTMP words.

use super::{Connect, ConnectRefusal, PlayStatus, PublishRefusal, Session, Stage};
use crate::amf0::Value;
use crate::enhanced::{self, RECONNECT_REQUEST, caps_ex};
use crate::link::{object, status};
use crate::message::user_control;

/// Version text players know how to read.
const FMS_VER: &str = "FMS/3,5,7,7009";

impl Session {
    /// Lets the peer in: window, bandwidth and chunk size, then the result of `connect`.
    pub fn accept_connect(&mut self) {
        let (Connect::Pending(transaction), false) = (self.connect, self.failed) else { return };
        self.connect = Connect::Accepted;
        self.link.window_ack_size(self.config.window_ack);
        self.link.peer_bandwidth(self.config.peer_bandwidth);
        self.link.set_chunk_size(self.config.chunk_size_out);
        let mut properties =
            vec![("fmsVer", FMS_VER.into()), ("capabilities", 31.0.into()), ("mode", 1.0.into())];
        if self.caps_ex.is_some() {
            properties.extend(enhanced::server_fields());
        }
        let info = object(&[
            ("level", "status".into()),
            ("code", "NetConnection.Connect.Success".into()),
            ("description", "Connection succeeded.".into()),
            ("objectEncoding", 0.0.into()),
        ]);
        self.link.command(0, &["_result".into(), transaction.into(), object(&properties), info]);
    }

    /// Sends the peer away with `text`. Close the connection once the bytes are out.
    pub fn refuse_connect(&mut self, reason: ConnectRefusal, text: &str) {
        let Connect::Pending(transaction) = self.connect else { return };
        self.connect = Connect::Refused;
        self.events.clear();
        let code = match reason {
            ConnectRefusal::Rejected => "NetConnection.Connect.Rejected",
            ConnectRefusal::InvalidApp => "NetConnection.Connect.InvalidApp",
            ConnectRefusal::Shutdown => "NetConnection.Connect.AppShutdown",
        };
        let info = status("error", code, text);
        self.link.command(0, &["_error".into(), transaction.into(), Value::Null, info]);
    }

    /// Asks the peer to connect anew, to `tc_url` when there is one, and to leave this connection at its next
    /// key frame; serve it until then. Returns whether it was asked: only a connected peer that can.
    ///
    /// Spec: Enhanced RTMP v2, "Reconnect Request".
    pub fn request_reconnect(&mut self, tc_url: Option<&str>, text: &str) -> bool {
        let can = self.caps_ex.is_some_and(|caps| caps & caps_ex::RECONNECT != 0);
        if !can || self.connect != Connect::Accepted || self.failed {
            return false;
        }
        let mut fields = vec![
            ("level", "status".into()),
            ("code", RECONNECT_REQUEST.into()),
            ("description", text.into()),
        ];
        fields.extend(tc_url.map(|url| ("tcUrl", url.into())));
        self.link.command(0, &["onStatus".into(), 0.0.into(), Value::Null, object(&fields)]);
        true
    }

    /// Tells the publisher to start.
    pub fn accept_publish(&mut self) {
        if !self.answers(Stage::PublishPending, Stage::Publishing) {
            return;
        }
        self.link.user_control(user_control::STREAM_BEGIN, self.stream_id);
        let text = format!("{} is now published.", self.name);
        self.on_status("status", "NetStream.Publish.Start", &text);
    }

    /// Sends the publisher away; media it sent ahead is dropped. It may try another name on this connection.
    pub fn refuse_publish(&mut self, reason: PublishRefusal, text: &str) {
        if !self.answers(Stage::PublishPending, Stage::Idle) {
            return;
        }
        self.events.clear();
        let code = match reason {
            PublishRefusal::BadName => "NetStream.Publish.BadName",
            PublishRefusal::Unauthorized => "NetStream.Publish.Unauthorized",
            PublishRefusal::Denied => "NetStream.Publish.Denied",
            PublishRefusal::Failed => "NetStream.Publish.Failed",
        };
        self.on_status("error", code, text);
    }

    /// Tells the player that media follows.
    pub fn accept_play(&mut self) {
        if !self.answers(Stage::PlayPending, Stage::Playing) {
            return;
        }
        self.link.user_control(user_control::STREAM_BEGIN, self.stream_id);
        let name = self.name.clone();
        self.on_status("status", "NetStream.Play.Reset", &format!("Playing and resetting {name}."));
        self.on_status("status", "NetStream.Play.Start", &format!("Started playing {name}."));
        self.link.data(self.stream_id, &["|RtmpSampleAccess".into(), true.into(), true.into()]);
        let started = object(&[("code", "NetStream.Data.Start".into())]);
        self.link.data(self.stream_id, &["onStatus".into(), started]);
    }

    /// Sends the player away. It may try another name on this connection.
    pub fn refuse_play(&mut self, text: &str) {
        if self.answers(Stage::PlayPending, Stage::Idle) {
            self.on_status("error", "NetStream.Play.StreamNotFound", text);
        }
    }

    /// Tells a player what became of its stream; nothing while it does not play. After
    /// [`PlayStatus::Stop`] the session is idle again.
    pub fn play_status(&mut self, what: PlayStatus) {
        let (code, text) = match what {
            PlayStatus::PublishNotify => ("NetStream.Play.PublishNotify", "is now published."),
            PlayStatus::UnpublishNotify => ("NetStream.Play.UnpublishNotify", "is now unpublished."),
            PlayStatus::Stop => ("NetStream.Play.Stop", "has ended."),
        };
        if self.stage != Stage::Playing {
            return;
        }
        let text = format!("{} {text}", self.name);
        self.on_status("status", code, &text);
        if what == PlayStatus::Stop {
            self.link.user_control(user_control::STREAM_EOF, self.stream_id);
            self.stage = Stage::Idle;
        }
    }

    /// Status a player asked for; nothing while it does not play.
    pub(super) fn player_status(&mut self, level: &str, code: &str) {
        if self.stage == Stage::Playing {
            self.on_status(level, code, "live stream");
        }
    }

    pub(super) fn fc_subscribed(&mut self, name: &str) {
        let info = status("status", "NetStream.Play.Start", name);
        self.link.command(0, &["onFCSubscribe".into(), 0.0.into(), Value::Null, info]);
    }

    fn on_status(&mut self, level: &str, code: &str, text: &str) {
        let info = status(level, code, text);
        self.link.command(self.stream_id, &["onStatus".into(), 0.0.into(), Value::Null, info]);
    }

    /// Moves from `pending` to `next` when that answer is due. A request the peer took back is only settled.
    fn answers(&mut self, pending: Stage, next: Stage) -> bool {
        if self.stage == Stage::Cancelled {
            self.stage = Stage::Idle;
            return false;
        }
        let due = self.stage == pending && self.connect == Connect::Accepted && !self.failed;
        if due {
            self.stage = next;
        }
        due
    }
}
