//! The report as text for people, as JSON, and as JUnit for a build server.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Breach, Finding, Report, Rule, Severity};

/// Colours of a terminal, or nothing.
struct Paint(bool);

impl Paint {
    fn wrap(&self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn severity(&self, severity: Severity) -> String {
        match severity {
            Severity::Error => self.wrap("1;31", "error"),
            Severity::Warning => self.wrap("1;33", "warning"),
        }
    }

    fn faint(&self, text: &str) -> String {
        self.wrap("2", text)
    }
}

impl Report {
    /// For people: grouped by rule, with the lines and the remedy. `subject` is what was watched and how.
    #[must_use]
    pub fn text(&self, subject: &str, colour: bool) -> String {
        let paint = Paint(colour);
        let mut out = String::new();
        for breach in self.breaches() {
            write_breach(&mut out, breach, &paint);
        }
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let verdict = match (errors, warnings) {
            (0, 0) => paint.wrap("1;32", "no findings"),
            (0, _) => paint.wrap("1;33", &counted(warnings, "warning")),
            (_, 0) => paint.wrap("1;31", &counted(errors, "error")),
            _ => {
                paint.wrap("1;31", &format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")))
            }
        };
        let _ = writeln!(out, "{subject}: {verdict}");
        out
    }

    /// For programs: one object.
    #[must_use]
    pub fn json(&self, subject: &str) -> String {
        let breaches: Vec<Value> = self.breaches().into_iter().map(breach_json).collect();
        let all = json!({
            "subject": subject,
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "findings": breaches,
        });
        format!("{all:#}\n")
    }

    /// For build servers: one test case per rule of `table`. A warning fails its case only when `strict`.
    #[must_use]
    pub fn junit(&self, subject: &str, table: &[&'static Rule], strict: bool) -> String {
        let fails = |b: &Breach| strict || b.severity == Severity::Error;
        let failures = self.breaches.values().filter(|b| fails(b)).count();
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let _ = writeln!(
            out,
            "<testsuites><testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\">",
            xml(subject),
            table.len()
        );
        for rule in table {
            let family = rule.id.split('-').next().unwrap_or(rule.id);
            let _ = write!(
                out,
                "  <testcase classname=\"{}\" name=\"{}: {}\"",
                xml(family),
                xml(rule.id),
                xml(rule.title)
            );
            match self.breaches.get(rule.id) {
                None => out.push_str("/>\n"),
                Some(breach) => {
                    let tag = if fails(breach) { "failure" } else { "system-out" };
                    let what = breach.examples.first().map_or("", |e| e.what.as_str());
                    let head =
                        if fails(breach) { format!(" message=\"{}\"", xml(what)) } else { String::new() };
                    let mut body = String::new();
                    write_breach(&mut body, breach, &Paint(false));
                    let _ = writeln!(out, "><{tag}{head}>{}</{tag}></testcase>", xml(&body));
                }
            }
        }
        out.push_str("</testsuite></testsuites>\n");
        out
    }
}

fn counted(n: usize, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}

fn write_breach(out: &mut String, breach: &Breach, paint: &Paint) {
    let Breach { rule, severity, count, examples } = breach;
    let _ = writeln!(
        out,
        "{} {}  {}  {}",
        paint.severity(*severity),
        paint.wrap("1", rule.id),
        rule.title,
        paint.faint(&format!("[{}]", rule.spec))
    );
    examples.iter().for_each(|finding| write_finding(out, finding, paint));
    let more = count.saturating_sub(u64::try_from(examples.len()).unwrap_or(u64::MAX));
    if more > 0 {
        let _ = writeln!(out, "  {}", paint.faint(&format!("… and {more} more")));
    }
    let _ = writeln!(out, "  {} {}\n", paint.wrap("1;36", "remedy:"), rule.remedy);
}

fn write_finding(out: &mut String, finding: &Finding, paint: &Paint) {
    let at = if finding.at_us == 0 {
        String::new()
    } else {
        format!(" at {}.{:03} s", finding.at_us / 1_000_000, finding.at_us / 1000 % 1000)
    };
    let _ = writeln!(out, "  {}{}", finding.url, paint.faint(&at));
    let _ = writeln!(out, "    {}", finding.what);
    for line in &finding.lines {
        let _ = writeln!(out, "    {} {}", paint.faint(&format!("{:>5} │", line.number)), line.text);
    }
}

fn breach_json(breach: &Breach) -> Value {
    let examples: Vec<Value> = breach
        .examples
        .iter()
        .map(|f| {
            let lines: Vec<Value> =
                f.lines.iter().map(|l| json!({"number": l.number, "text": l.text})).collect();
            json!({"url": f.url, "at_us": f.at_us, "what": f.what, "lines": lines})
        })
        .collect();
    json!({
        "rule": breach.rule.id,
        "severity": breach.severity.name(),
        "title": breach.rule.title,
        "spec": breach.rule.spec,
        "remedy": breach.rule.remedy,
        "count": breach.count,
        "examples": examples,
    })
}

/// Text for XML, in attributes as well.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
