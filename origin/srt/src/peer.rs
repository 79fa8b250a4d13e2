//! One connection in the driver's hands: datagrams and time in, datagrams and messages out.

use std::time::{Duration, Instant};

use bytes::Bytes;
use srt_protocol::connection::{Connection, DuplexConnection};
use srt_protocol::packet::{
    AckStatistics, Acknowledgement, CompressedLossList, ControlPacket, ControlTypes, DataPacket,
    KeyingMaterialMessage, Packet, SeqNumber, SocketId, TimeSpan, TimeStamp,
};
use srt_protocol::protocol::encryption::Decryption;
use srt_protocol::protocol::handshake::Handshake;
use srt_protocol::protocol::time::Rtt;

use crate::config::window;
use crate::handshake::Agreement;
use crate::link::{Link, Shared};
use crate::receiver::{Receiver, Taken};
use crate::socket::Route;
use crate::stats::Stats;
use crate::wire::{Control, HEADER, Header, Outgoing, Rates, Sheet, control, key_material_is_sound};

const STATS_PERIOD: Duration = Duration::from_millis(250);
/// Time that a closing link has to get rid of its queue.
const CLOSE_MAX: Duration = Duration::from_secs(3);

/// See the module.
pub(crate) struct Peer {
    pub(crate) route: Route,
    pub(crate) remote_socket: u32,
    /// The datagram that concluded the handshake, for a caller that did not get it.
    pub(crate) concluded: Vec<u8>,
    link: std::sync::Arc<Shared>,
    machine: DuplexConnection,
    receiver: Receiver,
    decryption: Decryption,
    encrypted: bool,
    /// See [`Peer::patient`].
    patience: TimeSpan,
    /// Round trip by the peer's acknowledgements; microseconds.
    told_rtt_us: u32,
    /// Whether anything was sent yet.
    sending: bool,
    rates: Rates,
    sheet: Sheet,
    idle: Duration,
    latency: Duration,
    heard: Instant,
    /// The last round: nothing may happen before it.
    ticked: Instant,
    stats: Stats,
    stats_at: Instant,
    /// The peer has said goodbye, and so has the time for what is still held.
    leaving: Option<Instant>,
    closing: Option<Instant>,
    key_answer: Option<Vec<u8>>,
    /// Number of the acknowledgement that is to be confirmed; 0 of none.
    confirms: u32,
    fresh: Vec<Bytes>,
    queued: Vec<(Instant, Bytes)>,
}

impl Peer {
    pub(crate) fn new(
        agreed: &Agreement,
        link: &Link,
        concluded: Vec<u8>,
        idle: Duration,
        now: Instant,
    ) -> Self {
        let settings = agreed.settings();
        let latency = Duration::from_millis(u64::from(agreed.receive_ms));
        let (at, stamp_us) = agreed.peer_stamp;
        Self {
            route: agreed.route,
            remote_socket: agreed.remote_socket,
            concluded,
            link: std::sync::Arc::clone(&link.0),
            machine: DuplexConnection::new(Connection { settings, handshake: Handshake::Connector }),
            receiver: Receiver::new(agreed.sequence, window(agreed.receive_ms), latency, at, stamp_us),
            decryption: Decryption::new(agreed.cipher.clone()),
            encrypted: agreed.cipher.is_some(),
            patience: TimeSpan::from_millis(
                i32::try_from(agreed.send_ms).unwrap_or(i32::MAX).clamp(100, 10_000),
            ),
            told_rtt_us: 0,
            sending: false,
            rates: Rates::default(),
            sheet: Sheet { socket: agreed.remote_socket, epoch: agreed.epoch },
            idle,
            latency,
            heard: now,
            ticked: now,
            stats: Stats { latency_ms: agreed.receive_ms, key_bytes: agreed.key_bytes, ..Stats::default() },
            stats_at: now,
            leaving: None,
            closing: None,
            key_answer: None,
            confirms: 0,
            fresh: Vec::new(),
            queued: Vec::new(),
        }
    }

    /// Takes a datagram that came from this peer.
    pub(crate) fn receive(&mut self, at: Instant, header: Header, bytes: &[u8]) {
        let at = at.max(self.ticked);
        self.heard = at;
        if header.is_data() {
            self.data(at, header, bytes);
            return;
        }
        self.receiver.watch_clock(at, header.stamp_us);
        match control(header, bytes) {
            Control::Ack(number) => {
                self.confirms = number;
                self.hand_over(at, bytes);
            }
            Control::KeyResponse => self.hand_over(at, bytes),
            Control::Nak(ranges) => {
                for (from, to) in ranges {
                    let range = SeqNumber::new_truncate(from)..SeqNumber::new_truncate(to) + 1;
                    if let Some(list) = CompressedLossList::try_from_range(range) {
                        let (timestamp, dest_sockid) = self.address(header);
                        let control_type = ControlTypes::Nak(list);
                        self.feed(at, ControlPacket { timestamp, dest_sockid, control_type });
                    }
                }
            }
            Control::Ack2(number) => self.receiver.confirm(at, number),
            Control::Drop(from, to) => self.receiver.give_up(from, to),
            Control::KeyRequest(material) => self.new_key(material),
            Control::Shutdown => {
                self.leaving.get_or_insert(at + self.latency);
            }
            Control::Nothing => {}
        }
    }

    fn address(&self, header: Header) -> (TimeStamp, SocketId) {
        (TimeStamp::from_micros(header.stamp_us), self.machine.settings().local_sockid)
    }

    /// Gives a packet as it came to the sending machine.
    fn hand_over(&mut self, at: Instant, bytes: &[u8]) {
        if let Ok(Packet::Control(packet)) = Packet::parse(&mut &*bytes, self.route.peer.is_ipv6()) {
            let packet = self.patient(packet);
            self.feed(at, packet);
        }
    }

    fn feed(&mut self, at: Instant, packet: ControlPacket) {
        self.machine.handle_packet_input(at, Ok((Packet::Control(packet), self.route.peer)));
    }

    fn data(&mut self, at: Instant, header: Header, bytes: &[u8]) {
        self.stats.packets_received += 1;
        self.stats.packets_retransmitted += u64::from(header.is_repeated());
        let (encrypted, decryption) = (self.encrypted, &self.decryption);
        let mut unreadable = false;
        let taken = self.receiver.take(at, header.sequence(), header.stamp_us, || {
            let opened = if encrypted && header.is_encrypted() {
                let packet = DataPacket::parse(&mut &*bytes).ok();
                packet.and_then(|p| decryption.decrypt(p).ok()).map(|(_, packet)| packet.payload)
            } else if encrypted || header.is_encrypted() {
                None
            } else {
                bytes.get(HEADER..).map(Bytes::copy_from_slice)
            };
            unreadable = opened.is_none();
            opened
        });
        self.stats.packets_undecrypted += u64::from(unreadable);
        match taken {
            Taken::Kept => {}
            Taken::Gap(missing) => self.stats.packets_lost += u64::from(missing),
            Taken::Useless => self.stats.packets_useless += 1,
            Taken::NoRoom => return,
        }
        if !header.is_repeated() {
            self.rates.count(at, header.sequence(), bytes.len());
        }
    }

    /// The sender announces new keys; confirmed by sending the same back (§6.1.6). What does not open is left: the old
    /// keys hold.
    fn new_key(&mut self, material: &[u8]) {
        if !key_material_is_sound(material) {
            return;
        }
        let mut bytes = material;
        let Ok(message) = KeyingMaterialMessage::parse(&mut bytes) else { return };
        if self.decryption.refresh_key_material(message).is_ok() {
            self.key_answer = Some(material.to_vec());
        }
    }

    /// A round: sends what is owed and delivers what is due. Some with the reason when the connection is over.
    pub(crate) fn tick(&mut self, now: Instant, out: &mut Outgoing) -> Option<String> {
        self.ticked = now;
        self.link.collect(&mut self.queued);
        let begins = !self.sending && !self.queued.is_empty();
        for message in self.queued.drain(..) {
            self.machine.handle_data_input(now, Some(message));
        }
        if begins {
            self.begin_sending(now);
        }
        if let Some(material) = self.key_answer.take() {
            self.sheet.key_response(now, &material, out);
        }
        if let Some(ack) = self.receiver.acknowledge(now) {
            let rates = self.rates.at(now);
            self.sheet.ack(now, ack, rates, out);
        }
        match std::mem::take(&mut self.confirms) {
            0 => {}
            number => self.sheet.ack2(now, number, out),
        }
        let missing = self.receiver.report(now);
        if !missing.is_empty() {
            self.stats.naks_sent += 1;
            self.sheet.nak(now, &missing, out);
        }
        self.machine.check_timers(now);
        while let Some((packet, _)) = self.machine.next_packet(now) {
            packet.serialize(&mut out.bytes);
            out.end();
        }
        self.receiver.release(now, &mut self.fresh);
        self.stats.bytes_received += self.fresh.iter().map(|m| m.len() as u64).sum::<u64>();
        if !self.fresh.is_empty() && !self.link.deliver(&mut self.fresh) {
            return Some(format!(
                "the reader is too slow: more than {} bytes wait",
                self.link.queue_bytes_max()
            ));
        }
        if now >= self.stats_at {
            self.stats_at = now + STATS_PERIOD;
            self.publish(now);
        }
        self.over(now)
    }

    fn over(&mut self, now: Instant) -> Option<String> {
        if self.leaving.is_some_and(|until| self.receiver.is_empty() || now > until) {
            return Some("closed by the peer".to_owned());
        }
        if now.saturating_duration_since(self.heard) > self.idle {
            return Some(format!("nothing heard for {} s", self.idle.as_secs()));
        }
        // The driver's hold is the last: nobody reads.
        if self.closing.is_none()
            && (self.link.close_asked() || std::sync::Arc::strong_count(&self.link) == 1)
        {
            self.machine.handle_data_input(now, None);
            self.closing = Some(now + CLOSE_MAX);
        }
        match self.closing {
            Some(until)
                if !self.machine.is_open() || self.machine.statistics().tx_data == 0 || now > until =>
            {
                Some("closed here".to_owned())
            }
            _ => None,
        }
    }

    fn publish(&mut self, now: Instant) {
        self.machine.update_statistics(now);
        let sent = self.machine.statistics();
        let (held, span) = self.receiver.held();
        let [_, capacity, _] = self.rates.at(now);
        self.stats.rtt_us = self.receiver.rtt_us().unwrap_or(self.told_rtt_us);
        self.stats.packets_dropped = self.receiver.dropped;
        self.stats.receive_buffer_packets = held;
        self.stats.receive_buffer_ms = u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
        self.stats.bandwidth_bps = u64::from(capacity) * 1_500 * 8;
        self.stats.packets_sent = sent.tx_data;
        self.stats.packets_resent = sent.tx_retransmit_data;
        self.stats.packets_send_dropped = sent.tx_dropped_data;
        self.stats.bytes_sent = sent.tx_all_bytes;
        self.link.publish(self.stats);
    }

    /// The end: tells the peer, if it does not know, and the owner.
    pub(crate) fn finish(&mut self, now: Instant, reason: String, out: &mut Outgoing) {
        if self.leaving.is_none() {
            self.sheet.shutdown(now, out);
        }
        self.publish(now);
        self.link.finish(reason);
    }

    pub(crate) fn stream_id(&self) -> &str {
        self.link.stream_id()
    }

    /// Acknowledgements are of everything before the first hole, and the machine sends each packet again that is not
    /// acknowledged after the round trip and four times its variance: behind a hole, all of them. A receiver of SRT
    /// reports what it misses, so the machine is told of a variance that keeps it from guessing. Nor does it see an
    /// acknowledgement's own number, from which it would count on past 32 bits: the round confirms it.
    fn patient(&mut self, mut packet: ControlPacket) -> ControlPacket {
        let ControlTypes::Ack(ack) = &mut packet.control_type else { return packet };
        let (Acknowledgement::Small(next, stats) | Acknowledgement::Full(next, stats, _)) = ack else {
            return packet;
        };
        // More than ten seconds is nonsense, and the machine's arithmetic has 32 bits.
        let mean_us = stats.rtt.mean().as_micros().clamp(0, 10_000_000);
        self.told_rtt_us = mean_us.unsigned_abs();
        stats.rtt = Rtt::new(TimeSpan::from_micros(mean_us), self.patience);
        *ack = Acknowledgement::Small(*next, stats.clone());
        packet
    }

    /// The same before the first acknowledgement: one of nothing.
    fn begin_sending(&mut self, now: Instant) {
        let settings = self.machine.settings();
        let rtt = Rtt::new(TimeSpan::from_millis(100), self.patience);
        let nothing = AckStatistics {
            rtt,
            buffer_available: 0,
            packet_receive_rate: None,
            estimated_link_capacity: None,
            data_receive_rate: None,
        };
        let packet = ControlPacket {
            timestamp: TimeStamp::MIN,
            dest_sockid: settings.local_sockid,
            control_type: ControlTypes::Ack(Acknowledgement::Small(settings.init_seq_num, nothing)),
        };
        self.sending = true;
        self.feed(now, packet);
    }
}
