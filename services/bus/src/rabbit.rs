//! RabbitMQ: one exchange that all events go through, a queue for each service that hears of some.
//!
//! Whoever connects declares all of it, so that what is told before a service has ever run waits for it. Each message is
//! confirmed before its outbox forgets it, and acknowledged after an inbox has it: it comes at least once. Of each subject one
//! message is on its way to the broker at a time, and one consumer at a time reads a queue: it comes in order.

use std::collections::HashSet;
use std::pin::Pin;
use std::task::Poll;

use futures_core::Stream;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};
use tokio::sync::Mutex;

use crate::{BusError, Inbox, Letter};

const EXCHANGE: &str = "nexus.events";
/// Messages that an inbox takes at a time.
const PREFETCH: u16 = 100;
/// A message that outlives the broker.
const DURABLE: u8 = 2;

/// A service, and the kinds of events that it hears of.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Its name.
    pub service: &'static str,
    /// What it hears of.
    pub kinds: Vec<&'static str>,
}

/// Where the broker is, and what it has to have.
pub struct Rabbit {
    url: String,
    topics: Vec<Topic>,
}

impl std::fmt::Debug for Rabbit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may hold a password.
        f.debug_struct("Rabbit").field("topics", &self.topics).finish_non_exhaustive()
    }
}

/// The connection over which a service hands its letters on; made when it is needed.
#[derive(Debug, Default)]
pub struct Publisher(Mutex<Option<(Connection, Channel)>>);

impl Rabbit {
    /// A broker at `url`; `topics` are those of every service there is, wherever it runs.
    #[must_use]
    pub fn new(url: String, topics: Vec<Topic>) -> Self {
        Self { url, topics }
    }

    async fn connect(&self) -> Result<(Connection, Channel), BusError> {
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel
            .exchange_declare(EXCHANGE.into(), ExchangeKind::Direct, options, FieldTable::default())
            .await?;
        for topic in self.topics.iter().filter(|t| !t.kinds.is_empty()) {
            let queue = queue(topic.service);
            let mut arguments = FieldTable::default();
            arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
            arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
            let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            channel.queue_declare(queue.as_str().into(), options, arguments).await?;
            for &kind in &topic.kinds {
                let (options, none) = (QueueBindOptions::default(), FieldTable::default());
                channel
                    .queue_bind(queue.as_str().into(), EXCHANGE.into(), kind.into(), options, none)
                    .await?;
            }
        }
        Ok((connection, channel))
    }

    pub(crate) async fn fetch(&self, service: &str, inbox: &dyn Inbox) -> Result<(), BusError> {
        if !self.topics.iter().any(|t| t.service == service && !t.kinds.is_empty()) {
            return std::future::pending().await;
        }
        // The connection lives as long as it is read.
        let (_connection, channel) = self.connect().await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let (queue, options) = (queue(service), BasicConsumeOptions::default());
        let consumer =
            channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default());
        let mut consumer = consumer.await?;
        loop {
            let batch = ready(&mut consumer).await?;
            let letters: Vec<Letter> = batch.iter().map(|delivery| Letter::read(&delivery.data)).collect();
            // Those that are not acknowledged come again, in their order, to the next consumer.
            inbox.keep(&letters).await?;
            let Some(last) = batch.last() else { return Err(BusError::Stopping) };
            last.acker.ack(BasicAckOptions { multiple: true }).await?;
        }
    }
}

fn queue(service: &str) -> String {
    format!("nexus.{service}")
}

/// Waits for a message, and takes along those that are here; none when the consumer has ended.
async fn ready(consumer: &mut Consumer) -> Result<Vec<Delivery>, BusError> {
    let mut batch = Vec::new();
    std::future::poll_fn(|cx| {
        while batch.len() < usize::from(PREFETCH) {
            match Pin::new(&mut *consumer).poll_next(cx) {
                Poll::Ready(Some(Ok(delivery))) => batch.push(delivery),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => break,
                Poll::Pending if batch.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    })
    .await?;
    Ok(batch)
}

impl Publisher {
    pub(crate) async fn publish(&self, rabbit: &Rabbit, letters: &[Letter]) -> Result<(), BusError> {
        let mut held = self.0.lock().await;
        let (connection, channel) = match held.take() {
            Some(open) if open.1.status().connected() => open,
            _ => {
                let (connection, channel) = rabbit.connect().await?;
                channel.confirm_select(ConfirmSelectOptions::default()).await?;
                (connection, channel)
            }
        };
        // Kept only when all went well: what a channel that failed has still to say concerns nobody.
        let mut rest: Vec<&Letter> = letters.iter().collect();
        while !rest.is_empty() {
            rest = round(&channel, rest).await?;
        }
        *held = Some((connection, channel));
        Ok(())
    }
}

/// Publishes the first letter about each subject, and waits until the broker has all of them; those that are left.
async fn round<'a>(channel: &Channel, letters: Vec<&'a Letter>) -> Result<Vec<&'a Letter>, BusError> {
    let mut subjects = HashSet::new();
    let (now, later): (Vec<&Letter>, Vec<_>) = letters.into_iter().partition(|l| subjects.insert(&l.subject));
    let mut sent = Vec::with_capacity(now.len());
    for letter in now {
        let properties = BasicProperties::default()
            .with_delivery_mode(DURABLE)
            .with_message_id(letter.id.as_str().into())
            .with_content_type("application/cloudevents+json".into());
        let (kind, options) = (letter.kind.as_str().into(), BasicPublishOptions::default());
        let confirm =
            channel.basic_publish(EXCHANGE.into(), kind, options, letter.body.as_bytes(), properties);
        sent.push((letter, confirm.await?));
    }
    for (letter, confirm) in sent {
        if !confirm.await?.is_ack() {
            return Err(BusError::Refused(letter.id.clone()));
        }
    }
    Ok(later)
}
