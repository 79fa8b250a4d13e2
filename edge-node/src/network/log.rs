//! The purges that a network knows: each edge keeps the newest on disk, so that one that was away learns what it missed.
//!
//! Names of orders begin with the time, so that their order is one for all edges, and all keep the same.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cache::Order;

/// Orders that are kept; the oldest go first.
const ORDERS_MAX: usize = 512;
/// Longest line of the file, bytes: what is longer was not written by us.
const LINE_BYTES_MAX: usize = 256 << 10;

/// Orders by name.
pub(crate) type Orders = BTreeMap<String, Order>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Log {
    orders: Orders,
    path: PathBuf,
    file: File,
    /// Lines in the file, known ones and forgotten ones.
    lines: usize,
}

#[derive(Serialize, Deserialize)]
struct Line {
    id: String,
    order: Order,
}

/// A name for an order that is taken at this time (Unix milliseconds).
pub(crate) fn new_id(now_ms: i64) -> String {
    format!("{now_ms:013}-{}", nx_delivery::random_id())
}

impl Log {
    /// Reads a file, or makes it. A last line that is torn is left out.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        let mut log = Self { orders: Orders::new(), path: path.to_owned(), file, lines: 0 };
        for line in BufReader::new(log.file.try_clone()?).split(b'\n') {
            let line = line?;
            if let Some(Line { id, order }) =
                Some(&line).filter(|l| l.len() <= LINE_BYTES_MAX).and_then(|l| serde_json::from_slice(l).ok())
            {
                log.note(id, order);
            }
        }
        log.write_anew()?;
        Ok(log)
    }

    /// Adds what has been carried out; it is on disk when this returns.
    ///
    /// # Errors
    /// It cannot be written; it is known all the same.
    pub(crate) fn add(&mut self, id: String, order: Order) -> io::Result<()> {
        if self.orders.contains_key(&id) {
            return Ok(());
        }
        let line = line(&id, &order)?;
        self.note(id, order);
        if self.lines >= 2 * ORDERS_MAX {
            return self.write_anew();
        }
        self.lines += 1;
        self.file.write_all(&line)?;
        self.file.sync_data()
    }

    /// All of them.
    pub(crate) fn orders(&self) -> &Orders {
        &self.orders
    }

    /// The same on every edge that knows the same.
    pub(crate) fn digest(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.orders.keys().for_each(|id| id.hash(&mut hasher));
        format!("{:016x}", hasher.finish())
    }

    /// What another edge knows and this one does not. `None`: what was missed began before what that one still knows, so
    /// that everything has to go.
    pub(crate) fn news(&self, theirs: &Orders) -> Option<Orders> {
        let full = |orders: &Orders| orders.len() >= ORDERS_MAX;
        if full(theirs) && self.orders.keys().next_back() < theirs.keys().next() {
            return None;
        }
        let floor = self.orders.keys().next().filter(|_| full(&self.orders));
        let new = |id: &String| !self.orders.contains_key(id) && floor.is_none_or(|floor| id > floor);
        Some(theirs.iter().filter(|(id, _)| new(id)).map(|(id, order)| (id.clone(), order.clone())).collect())
    }

    fn note(&mut self, id: String, order: Order) {
        self.orders.insert(id, order);
        while self.orders.len() > ORDERS_MAX {
            self.orders.pop_first();
        }
    }

    /// The file is there whole or as it was.
    fn write_anew(&mut self) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&new)?;
        for (id, order) in &self.orders {
            file.write_all(&line(id, order)?)?;
        }
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.lines = self.orders.len();
        Ok(())
    }
}

fn line(id: &str, order: &Order) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Line { id: id.to_owned(), order: order.clone() })?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("nexus-purges-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&folder).expect("a folder");
            Self(folder)
        }

        fn log(&self, name: &str) -> Log {
            Log::open(&self.0.join(name)).expect("a log")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn order(url: &str) -> Order {
        Order { urls: vec![url.into()], ..Order::default() }
    }

    fn id(at_ms: i64) -> String {
        format!("{at_ms:013}-x")
    }

    #[test]
    fn what_was_added_is_there_after_a_restart_and_what_is_torn_is_not() {
        let folder = Folder::new("restart");
        let mut log = folder.log("a");
        let empty = log.digest();
        log.add(id(1), order("/a")).expect("written");
        log.add(id(2), order("/b")).expect("written");
        log.add(id(2), order("/b")).expect("known");
        let again = folder.log("a");
        assert_eq!((again.orders(), again.digest()), (log.orders(), log.digest()));
        assert!(again.orders().len() == 2 && again.digest() != empty);
        let mut file = OpenOptions::new().append(true).open(folder.0.join("a")).expect("it is there");
        file.write_all(b"{\"id\":\"3\",\"ord").expect("torn");
        let mut torn = folder.log("a");
        assert_eq!(torn.orders(), log.orders());
        torn.add(id(4), order("/c")).expect("written");
        assert_eq!(folder.log("a").orders().len(), 3, "what comes behind it is whole");
    }

    #[test]
    fn who_was_away_learns_what_was_missed_and_no_more() {
        let folder = Folder::new("away");
        let (mut here, mut there) = (folder.log("here"), folder.log("there"));
        for at in 1..=3 {
            there.add(id(at), order("/x")).expect("written");
        }
        here.add(id(2), order("/x")).expect("written");
        let news = here.news(there.orders()).expect("all of it is known");
        assert_eq!(news.keys().cloned().collect::<Vec<_>>(), [id(1), id(3)]);
        for (id, order) in news {
            here.add(id, order).expect("written");
        }
        assert_eq!((here.news(there.orders()), here.digest()), (Some(Orders::new()), there.digest()));
    }

    #[test]
    fn logs_are_bounded_and_who_missed_more_is_told_so() {
        let folder = Folder::new("full");
        let (mut here, mut there) = (folder.log("here"), folder.log("there"));
        here.add(id(5), order("/x")).expect("written");
        for at in 0..1_200 {
            there.note(id(at), order("/x"));
        }
        assert_eq!(there.orders().len(), ORDERS_MAX);
        assert_eq!(here.news(there.orders()), None, "orders 6 to 687 are not known any more");
        here.add(id(700), order("/x")).expect("written");
        assert_eq!(here.news(there.orders()).map(|n| n.len()), Some(ORDERS_MAX - 1));
        // Who has forgotten old ones does not take them for new.
        let old: Orders = (0..3).map(|at| (id(at), order("/x"))).collect();
        assert_eq!(there.news(&old), Some(Orders::new()));
        assert!(there.write_anew().is_ok() && folder.log("there").digest() == there.digest());
    }
}
