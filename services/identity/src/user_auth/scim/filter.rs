//! Filters and paths as clients write them (RFC 7644 §3.4.2.2 and §3.5.2): text in, a small tree out.
//!
//! Length, depth and number of terms are bounded, so that what a filter costs is.

use serde_json::Value;

use super::schema::SPACES;

/// Longest filter or path, bytes.
const BYTES_MAX: usize = 4096;
/// How deep groups and value paths may lie in each other.
const DEPTH_MAX: usize = 16;
/// Comparisons in a filter.
const TERMS_MAX: usize = 64;

/// The name of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AttrPath {
    /// The name space that it is written in.
    pub(super) space: Option<&'static str>,
    /// The attribute and perhaps a part of it; empty stands for the whole name space.
    pub(super) steps: Vec<String>,
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Eq,
    Ne,
    Co,
    Sw,
    Ew,
    Gt,
    Ge,
    Lt,
    Le,
}

/// Which resources, or which values of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    /// The attribute has a value.
    Present(AttrPath),
    Compare(AttrPath, Op, Value),
    /// Some value of the attribute is such.
    Any(AttrPath, Box<Self>),
}

/// What a change is made to: an attribute, perhaps those of its values that a filter picks, perhaps a part of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    pub(super) path: AttrPath,
    pub(super) filter: Option<Filter>,
    /// What follows the filter.
    pub(super) part: Option<String>,
}

/// Why a text is no filter or no path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slip {
    /// Bytes before it.
    at: usize,
    why: &'static str,
}

impl std::fmt::Display for Slip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at byte {}: {}", self.at, self.why)
    }
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// Where it is none.
    pub(super) fn parse(text: &str) -> Result<Self, Slip> {
        let mut parser = Parser::new(text)?;
        let filter = parser.any_of()?;
        parser.end()?;
        Ok(filter)
    }

    /// Whether it looks at an attribute of this name.
    pub(super) fn mentions(&self, name: &str) -> bool {
        let is = |path: &AttrPath| path.steps.first().is_some_and(|step| step.eq_ignore_ascii_case(name));
        match self {
            Self::And(all) | Self::Or(all) => all.iter().any(|filter| filter.mentions(name)),
            Self::Not(filter) => filter.mentions(name),
            Self::Present(path) | Self::Compare(path, ..) | Self::Any(path, _) => is(path),
        }
    }
}

impl Target {
    /// Reads the path of a change.
    ///
    /// # Errors
    /// Where it is none.
    pub(super) fn parse(text: &str) -> Result<Self, Slip> {
        let mut parser = Parser::new(text)?;
        let path = parser.path()?;
        let (mut filter, mut part) = (None, None);
        if parser.next_is('[') {
            filter = Some(parser.of_values()?);
            if parser.next_is('.') {
                part = Some(parser.word().to_owned());
            }
        }
        if part.as_deref().is_some_and(|part| !is_name(part)) {
            return Err(parser.slip("what follows the point is no name"));
        }
        parser.end()?;
        Ok(Self { path, filter, part })
    }
}

impl AttrPath {
    /// Reads the name of an attribute; a text that is none names nothing.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parser = Parser::new(text.trim()).ok()?;
        let path = parser.path().ok()?;
        parser.end().ok().map(|()| path)
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    terms: usize,
    /// Between the brackets of a value path, where there are no others.
    inside: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self, Slip> {
        let parser = Self { text, at: 0, depth: 0, terms: 0, inside: false };
        if text.len() > BYTES_MAX {
            return Err(parser.slip("it is too long"));
        }
        Ok(parser)
    }

    fn slip(&self, why: &'static str) -> Slip {
        Slip { at: self.at, why }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches(' ').len();
    }

    /// Takes this character when it is the next.
    fn next_is(&mut self, c: char) -> bool {
        let is = self.rest().starts_with(c);
        self.at += if is { c.len_utf8() } else { 0 };
        is
    }

    /// Takes what can be the name of an attribute, with its name space.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "$_-:.".contains(c)));
        let word = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        self.at += word.len();
        word
    }

    /// Takes this word when it is the next, in whatever case it is written.
    fn keyword(&mut self, keyword: &str) -> bool {
        let before = self.at;
        self.skip_spaces();
        let is = self.word().eq_ignore_ascii_case(keyword);
        if !is {
            self.at = before;
        }
        is
    }

    fn end(&mut self) -> Result<(), Slip> {
        self.skip_spaces();
        if self.rest().is_empty() { Ok(()) } else { Err(self.slip("nothing more is expected here")) }
    }

    fn any_of(&mut self) -> Result<Filter, Slip> {
        let mut all = vec![self.all_of()?];
        while self.keyword("or") {
            all.push(self.all_of()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Filter::Or(all) })
    }

    fn all_of(&mut self) -> Result<Filter, Slip> {
        let mut all = vec![self.one()?];
        while self.keyword("and") {
            all.push(self.one()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Filter::And(all) })
    }

    fn one(&mut self) -> Result<Filter, Slip> {
        if self.keyword("not") {
            self.skip_spaces();
            if !self.next_is('(') {
                return Err(self.slip("a ( is expected behind not"));
            }
            return Ok(Filter::Not(Box::new(self.deeper(')')?)));
        }
        self.skip_spaces();
        if self.next_is('(') {
            return self.deeper(')');
        }
        self.term()
    }

    /// What stands between an opening mark, which is taken, and its closing one.
    fn deeper(&mut self, close: char) -> Result<Filter, Slip> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.slip("it is too deep"));
        }
        let filter = self.any_of()?;
        self.depth -= 1;
        self.skip_spaces();
        if self.next_is(close) { Ok(filter) } else { Err(self.slip("a closing mark is missing")) }
    }

    /// A filter of values, behind its opening bracket.
    fn of_values(&mut self) -> Result<Filter, Slip> {
        if std::mem::replace(&mut self.inside, true) {
            return Err(self.slip("brackets do not lie in each other"));
        }
        let filter = self.deeper(']')?;
        self.inside = false;
        Ok(filter)
    }

    fn term(&mut self) -> Result<Filter, Slip> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(self.slip("it has too many comparisons"));
        }
        let path = self.path()?;
        if self.next_is('[') {
            return Ok(Filter::Any(path, Box::new(self.of_values()?)));
        }
        self.skip_spaces();
        let op = match &*self.word().to_ascii_lowercase() {
            "pr" => return Ok(Filter::Present(path)),
            "eq" => Op::Eq,
            "ne" => Op::Ne,
            "co" => Op::Co,
            "sw" => Op::Sw,
            "ew" => Op::Ew,
            "gt" => Op::Gt,
            "ge" => Op::Ge,
            "lt" => Op::Lt,
            "le" => Op::Le,
            _ => return Err(self.slip("one of eq ne co sw ew gt ge lt le pr is expected")),
        };
        self.skip_spaces();
        Ok(Filter::Compare(path, op, self.literal()?))
    }

    /// A text, a number, a truth value or null, as JSON writes them.
    fn literal(&mut self) -> Result<Value, Slip> {
        let rest = self.rest();
        let end = if rest.starts_with('"') {
            let mut escaped = false;
            let quote = rest.char_indices().skip(1).find(|&(_, c)| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            quote.map_or(rest.len(), |(at, _)| at + 1)
        } else {
            rest.find([' ', ')', ']']).unwrap_or(rest.len())
        };
        let value = serde_json::from_str(rest.get(..end).unwrap_or_default()).unwrap_or(Value::Array(vec![]));
        let nul = value.as_str().is_some_and(|text| text.contains('\0'));
        if nul || value.is_array() || value.is_object() {
            return Err(self.slip("a value is expected: \"text\", a number, true, false or null"));
        }
        self.at += end;
        Ok(value)
    }

    fn path(&mut self) -> Result<AttrPath, Slip> {
        let (start, word) = (self.at, self.word());
        let found = in_space(word);
        // Where it begins is the place to look at.
        self.at = if found.is_some() { self.at } else { start };
        found.ok_or_else(|| self.slip("the name of an attribute is expected"))
    }
}

/// An attribute's name with what stands before it.
fn in_space(word: &str) -> Option<AttrPath> {
    let of = |space: &&'static str| {
        let (before, after) = word.split_at_checked(space.len())?;
        let fits = before.eq_ignore_ascii_case(space) && (after.is_empty() || after.starts_with(':'));
        fits.then_some((*space, after))
    };
    let (space, name) = match SPACES.iter().find_map(of) {
        Some((space, "")) => return Some(AttrPath { space: Some(space), steps: vec![] }),
        Some((space, after)) => (Some(space), after.get(1..)?),
        None => (None, word),
    };
    let steps: Vec<String> = name.split('.').map(str::to_owned).collect();
    (steps.len() <= 2 && steps.iter().all(|step| is_name(step))).then_some(AttrPath { space, steps })
}

fn is_name(step: &str) -> bool {
    let mut rest = step.strip_prefix('$').unwrap_or(step).chars();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    rest.next().is_some_and(|c| c.is_ascii_alphabetic()) && rest.all(plain)
}
