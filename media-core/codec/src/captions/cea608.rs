//! Decoder of one channel of CEA-608 captions: pairs of bytes in, what the screen shows out.
//!
//! Pop-on, roll-up and paint-on; colours and flashing are left out, text mode and data services are passed over.
//!
//! Spec: CEA-608 §6.4 (codes), annex B, 47 CFR §15.119.

use super::charset;

const ROWS: usize = 15;
const COLUMNS: usize = 32;
/// Captions that grow letter by letter are shown again at most this often, microseconds.
const GROW_US: i64 = 1_000_000;

/// A row of text on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// 1 to 15 from the top.
    pub row: u8,
    /// Column of the first letter, 0 to 31.
    pub column: u8,
    /// Letters in pieces of one style; no blanks at either end.
    pub text: Vec<Run>,
}

/// Letters of one style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The letters.
    pub text: String,
    /// Slanted.
    pub italic: bool,
    /// With a line under them.
    pub underline: bool,
}

/// What a channel's screen shows from a time on; empty when nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screen {
    /// From here on, in the caller's microseconds.
    pub at_us: i64,
    /// From the top.
    pub rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    letter: char,
    italic: bool,
    underline: bool,
}

type Line = [Option<Cell>; COLUMNS];

#[derive(Debug, Clone, PartialEq, Eq)]
struct Memory([Line; ROWS]);

impl Memory {
    fn new() -> Self {
        Self([[None; COLUMNS]; ROWS])
    }

    fn line(&mut self, row: usize) -> Option<&mut Line> {
        self.0.get_mut(row)
    }
}

/// How captions come onto the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Nothing yet, or text that is no caption.
    Off,
    PopOn,
    /// With so many rows.
    RollUp(usize),
    PaintOn,
}

/// State machine of a field: its two channels, of which one is being sent at a time.
#[derive(Debug, Clone)]
pub struct Decoder {
    channels: [Channel; 2],
    /// Channel that was last addressed; `None` within data services.
    current: Option<usize>,
    /// The control code before, which is often sent twice.
    last: Option<[u8; 2]>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { channels: [Channel::new(), Channel::new()], current: None, last: None }
    }
}

impl Decoder {
    /// Takes a pair of the field, with parity, in the order of presentation. A letter with wrong parity is a block, as
    /// the specification wants it; a control code with wrong parity is passed over.
    pub fn push(&mut self, bytes: [u8; 2]) {
        let [first, second] = bytes.map(|b| (b.count_ones() % 2 == 1).then_some(b & 0x7f));
        match (first, second) {
            (Some(0), Some(0)) => {}
            (Some(code @ 0x10..=0x1f), Some(second)) => self.control(code, second),
            (Some(0x01..=0x0f), _) => (self.current, self.last) = (None, None),
            (Some(0x10..=0x1f), None) => self.last = None,
            (first, second) => {
                self.last = None;
                let Some(channel) = self.current.and_then(|c| self.channels.get_mut(c)) else { return };
                for byte in [first, second] {
                    byte.map_or(Some('█'), charset::standard).into_iter().for_each(|c| channel.write(c));
                }
            }
        }
    }

    /// What each channel (0 and 1) newly shows at `at_us`; to be asked once for each picture.
    pub fn poll(&mut self, at_us: i64) -> impl Iterator<Item = (usize, Screen)> {
        self.channels.iter_mut().enumerate().filter_map(move |(nth, c)| Some((nth, c.poll(at_us)?)))
    }

    fn control(&mut self, code: u8, second: u8) {
        let pair = [code, second];
        if self.last.take_if(|last| *last == pair).is_some() {
            return;
        }
        self.last = Some(pair);
        let nth = usize::from(code >> 3 & 1);
        self.current = Some(nth);
        if let Some(channel) = self.channels.get_mut(nth) {
            channel.control(code & !8, second);
        }
    }
}

#[derive(Debug, Clone)]
struct Channel {
    mode: Mode,
    shown: Memory,
    hidden: Memory,
    row: usize,
    column: usize,
    italic: bool,
    underline: bool,
    /// What was last given out.
    told: Memory,
    told_us: i64,
    /// The screen is to be told now, not when it has grown for a while.
    now: bool,
}

impl Channel {
    fn new() -> Self {
        Self {
            mode: Mode::Off,
            shown: Memory::new(),
            hidden: Memory::new(),
            row: ROWS - 1,
            column: 0,
            italic: false,
            underline: false,
            told: Memory::new(),
            told_us: i64::MIN,
            now: false,
        }
    }

    fn memory(&mut self) -> Option<&mut Memory> {
        match self.mode {
            Mode::Off => None,
            Mode::PopOn => Some(&mut self.hidden),
            Mode::RollUp(_) | Mode::PaintOn => Some(&mut self.shown),
        }
    }

    fn put(&mut self, column: usize, cell: Option<Cell>) {
        let row = self.row;
        let line = self.memory().and_then(|m| m.line(row));
        if let Some(place) = line.and_then(|l| l.get_mut(column)) {
            *place = cell;
        }
    }

    fn write(&mut self, letter: char) {
        let cell = Cell { letter, italic: self.italic, underline: self.underline };
        self.put(self.column, Some(cell));
        // The last column is written over and over.
        self.column = (self.column + 1).min(COLUMNS - 1);
    }

    fn control(&mut self, code: u8, second: u8) {
        match (code, second) {
            (0x10..=0x17, 0x40..=0x7f) => self.place(code, second),
            (0x11, 0x20..=0x2f) => {
                // A style takes the place of a blank.
                (self.italic, self.underline) = (second & 0xe == 0xe, second & 1 == 1);
                self.write(' ');
            }
            (0x11, 0x30..=0x3f) => charset::special(second).into_iter().for_each(|c| self.write(c)),
            (0x12 | 0x13, 0x20..=0x3f) => {
                // Sets that do not know it show the character before it.
                self.column = self.column.saturating_sub(1);
                charset::extended(code, second).into_iter().for_each(|c| self.write(c));
            }
            (0x17, 0x21..=0x23) => {
                self.column = (self.column + usize::from(second - 0x20)).min(COLUMNS - 1);
            }
            (0x14 | 0x15, 0x20..=0x2f) => self.command(second),
            _ => {}
        }
    }

    fn command(&mut self, second: u8) {
        match second {
            0x20 => self.mode = Mode::PopOn,
            0x21 => {
                self.column = self.column.saturating_sub(1);
                self.put(self.column, None);
            }
            0x24 => (self.column..COLUMNS).for_each(|column| self.put(column, None)),
            0x25..=0x27 => self.roll_up(usize::from(second - 0x23)),
            0x29 => self.mode = Mode::PaintOn,
            0x2a | 0x2b => self.mode = Mode::Off,
            0x2c => self.erase(),
            0x2d => self.carriage_return(),
            0x2e => self.hidden = Memory::new(),
            0x2f => {
                self.mode = Mode::PopOn;
                std::mem::swap(&mut self.shown, &mut self.hidden);
                self.now = true;
            }
            _ => {}
        }
    }

    fn erase(&mut self) {
        self.shown = Memory::new();
        self.now = true;
    }

    fn roll_up(&mut self, rows: usize) {
        if !matches!(self.mode, Mode::RollUp(_)) {
            self.erase();
            self.hidden = Memory::new();
            (self.row, self.column) = (ROWS - 1, 0);
            (self.italic, self.underline) = (false, false);
        }
        self.mode = Mode::RollUp(rows);
    }

    fn carriage_return(&mut self) {
        let Mode::RollUp(rows) = self.mode else { return };
        let (top, bottom) = (self.row.saturating_sub(rows - 1), self.row);
        // The line that is complete shall be seen.
        self.now = true;
        for row in 0..ROWS {
            let below = self.shown.0.get(row + 1).copied();
            let Some(line) = self.shown.line(row) else { continue };
            if (top..bottom).contains(&row) {
                *line = below.unwrap_or([None; COLUMNS]);
            } else {
                *line = [None; COLUMNS];
            }
        }
        self.column = 0;
        (self.italic, self.underline) = (false, false);
    }

    /// A preamble address code.
    fn place(&mut self, code: u8, second: u8) {
        let low = second & 0x20 != 0;
        let row = match (code, low) {
            (0x10, _) => 10,
            (0x11, _) => usize::from(low),
            (0x12, _) => 2 + usize::from(low),
            (0x15, _) => 4 + usize::from(low),
            (0x16, _) => 6 + usize::from(low),
            (0x17, _) => 8 + usize::from(low),
            (0x13, _) => 11 + usize::from(low),
            _ => 13 + usize::from(low),
        };
        if let Mode::RollUp(rows) = self.mode {
            self.move_window(rows, row);
        }
        self.row = row;
        let indented = second & 0x10 != 0;
        self.column = if indented { usize::from(second >> 1 & 7) * 4 } else { 0 };
        self.italic = !indented && second & 0xe == 0xe;
        self.underline = second & 1 == 1;
    }

    /// The rows that roll stand elsewhere from now on.
    fn move_window(&mut self, rows: usize, to: usize) {
        let from = self.row;
        if from == to {
            return;
        }
        let mut moved = Memory::new();
        for up in 0..rows {
            let (Some(old), Some(new)) = (from.checked_sub(up), to.checked_sub(up)) else { break };
            if let (Some(line), Some(place)) = (self.shown.0.get(old), moved.line(new)) {
                *place = *line;
            }
        }
        self.shown = moved;
        self.now = true;
    }

    fn poll(&mut self, at_us: i64) -> Option<Screen> {
        let due = self.told_us.saturating_add(GROW_US) <= at_us;
        if !(self.now || due) || self.shown == self.told {
            self.now = false;
            return None;
        }
        self.now = false;
        let changed = rows(&self.told) != rows(&self.shown);
        self.told = self.shown.clone();
        self.told_us = at_us;
        changed.then(|| Screen { at_us, rows: rows(&self.shown) })
    }
}

/// What is written, without blanks around it.
fn rows(memory: &Memory) -> Vec<Row> {
    let row = |(nth, line): (usize, &Line)| {
        let blank = |cell: &Option<Cell>| cell.is_none_or(|c| c.letter.is_whitespace());
        let first = line.iter().position(|c| !blank(c))?;
        let last = line.iter().rposition(|c| !blank(c))?;
        let mut text: Vec<Run> = Vec::new();
        for cell in line.get(first..=last)? {
            let Cell { letter, italic, underline } =
                cell.unwrap_or(Cell { letter: ' ', italic: false, underline: false });
            match text.last_mut() {
                // A blank has no style of its own.
                Some(run) if letter == ' ' || (run.italic, run.underline) == (italic, underline) => {
                    run.text.push(letter);
                }
                _ => text.push(Run { text: letter.to_string(), italic, underline }),
            }
        }
        Some(Row { row: u8::try_from(nth + 1).ok()?, column: u8::try_from(first).ok()?, text })
    };
    memory.0.iter().enumerate().filter_map(row).collect()
}
