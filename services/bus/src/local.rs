//! The bus within a process: what is handed on is in the inboxes when the call returns.

use std::collections::HashMap;
use std::sync::{Arc, RwLock, Weak};

use crate::{BusError, Inbox, Letter};

/// An inbox, and what is for it.
type Share = (Arc<dyn Inbox>, Vec<Letter>);

/// Who hears of which kinds of events.
#[derive(Default)]
pub struct Local(RwLock<HashMap<&'static str, Vec<Weak<dyn Inbox>>>>);

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Local")
    }
}

impl Local {
    pub(crate) fn join(&self, kinds: impl Iterator<Item = &'static str>, inbox: &Arc<dyn Inbox>) {
        if let Ok(mut topics) = self.0.write() {
            kinds.for_each(|kind| topics.entry(kind).or_default().push(Arc::downgrade(inbox)));
        }
    }

    pub(crate) async fn publish(&self, letters: &[Letter]) -> Result<(), BusError> {
        for (inbox, letters) in self.shared_out(letters)? {
            inbox.keep(&letters).await?;
        }
        Ok(())
    }

    /// The letters of each inbox.
    fn shared_out(&self, letters: &[Letter]) -> Result<Vec<Share>, BusError> {
        let topics = self.0.read().map_err(|_| BusError::Stopping)?;
        let mut out: Vec<Share> = Vec::new();
        for letter in letters {
            for inbox in topics.get(letter.kind.as_str()).into_iter().flatten() {
                let inbox = inbox.upgrade().ok_or(BusError::Stopping)?;
                match out.iter_mut().find(|(i, _)| Arc::ptr_eq(i, &inbox)) {
                    Some((_, of)) => of.push(letter.clone()),
                    None => out.push((inbox, vec![letter.clone()])),
                }
            }
        }
        Ok(out)
    }
}
