//! Prometheus text exposition, written at the moment of the scrape.

use std::fmt::{Display, Write};

/// A page of metrics being written.
#[derive(Debug, Default)]
pub struct Metrics {
    text: String,
}

impl Metrics {
    /// Begins a family; `kind` is `counter` or `gauge`.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// One value of the family `name`.
    pub fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(name);
        for (nth, (label, of)) in labels.iter().enumerate() {
            let open = if nth == 0 { '{' } else { ',' };
            let escaped = of.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{open}{label}=\"{escaped}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {value}");
    }

    /// A family with one value and no labels.
    pub fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.value(name, &[], value);
    }

    /// Families that another room has written.
    pub fn written(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// The page.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn escapes_labels_and_leaves_out_empty_braces() {
        let mut m = Metrics::default();
        m.single("a", "gauge", "An a.", 1);
        m.value("b", &[("x", "q\"\\"), ("y", "2")], 2.5);
        assert_eq!(m.into_text(), "# HELP a An a.\n# TYPE a gauge\na 1\nb{x=\"q\\\"\\\\\",y=\"2\"} 2.5\n");
    }
}
