//! Languages by code and by name.

use serde::{Deserialize, Serialize};

/// ISO 639-2 (terminological and bibliographic where they differ), ISO 639-1, English name.
const KNOWN: &[(&[&str], &str, &str)] = &[
    (&["ara"], "ar", "Arabic"),
    (&["ben"], "bn", "Bengali"),
    (&["bul"], "bg", "Bulgarian"),
    (&["cat"], "ca", "Catalan"),
    (&["ces", "cze"], "cs", "Czech"),
    (&["cym", "wel"], "cy", "Welsh"),
    (&["dan"], "da", "Danish"),
    (&["deu", "ger"], "de", "German"),
    (&["ell", "gre"], "el", "Greek"),
    (&["eng"], "en", "English"),
    (&["est"], "et", "Estonian"),
    (&["eus", "baq"], "eu", "Basque"),
    (&["fas", "per"], "fa", "Persian"),
    (&["fin"], "fi", "Finnish"),
    (&["fra", "fre"], "fr", "French"),
    (&["gle"], "ga", "Irish"),
    (&["glg"], "gl", "Galician"),
    (&["heb"], "he", "Hebrew"),
    (&["hin"], "hi", "Hindi"),
    (&["hrv"], "hr", "Croatian"),
    (&["hun"], "hu", "Hungarian"),
    (&["ind"], "id", "Indonesian"),
    (&["isl", "ice"], "is", "Icelandic"),
    (&["ita"], "it", "Italian"),
    (&["jpn"], "ja", "Japanese"),
    (&["kor"], "ko", "Korean"),
    (&["lav"], "lv", "Latvian"),
    (&["lit"], "lt", "Lithuanian"),
    (&["msa", "may"], "ms", "Malay"),
    (&["nld", "dut"], "nl", "Dutch"),
    (&["nor"], "no", "Norwegian"),
    (&["pol"], "pl", "Polish"),
    (&["por"], "pt", "Portuguese"),
    (&["ron", "rum"], "ro", "Romanian"),
    (&["rus"], "ru", "Russian"),
    (&["slk", "slo"], "sk", "Slovak"),
    (&["slv"], "sl", "Slovenian"),
    (&["spa"], "es", "Spanish"),
    (&["srp"], "sr", "Serbian"),
    (&["swe"], "sv", "Swedish"),
    (&["tam"], "ta", "Tamil"),
    (&["tha"], "th", "Thai"),
    (&["tur"], "tr", "Turkish"),
    (&["ukr"], "uk", "Ukrainian"),
    (&["urd"], "ur", "Urdu"),
    (&["vie"], "vi", "Vietnamese"),
    (&["zho", "chi"], "zh", "Chinese"),
];

/// ISO 639-2 code of three lower-case letters, such as `eng`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language([u8; 3]);

impl Language {
    /// Takes three ASCII letters in either case; `None` for anything else, and for `und`, which says nothing.
    #[must_use]
    pub fn new(code: &[u8]) -> Option<Self> {
        let code: [u8; 3] = code.to_ascii_lowercase().try_into().ok()?;
        (code.iter().all(u8::is_ascii_lowercase) && &code != b"und").then_some(Self(code))
    }

    /// Takes a BCP 47 tag, such as `de` or `pt-BR`: only the language of it counts.
    #[must_use]
    pub fn from_tag(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_']).next()?.to_ascii_lowercase();
        let known = KNOWN.iter().find(|(_, two, _)| *two == primary).and_then(|(codes, ..)| codes.first());
        Self::new(known.map_or(primary.as_bytes(), |code| code.as_bytes()))
    }

    /// The three letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("und")
    }

    /// BCP 47 tag: two letters where there are two, else the three.
    #[must_use]
    pub fn tag(&self) -> &str {
        self.known().map_or(self.as_str(), |(_, tag, _)| tag)
    }

    /// English name where it is known, else the three letters.
    #[must_use]
    pub fn name(&self) -> &str {
        self.known().map_or(self.as_str(), |(.., name)| name)
    }

    fn known(&self) -> Option<&'static (&'static [&'static str], &'static str, &'static str)> {
        KNOWN.iter().find(|(codes, ..)| codes.contains(&self.as_str()))
    }
}

impl TryFrom<String> for Language {
    type Error = &'static str;

    fn try_from(code: String) -> Result<Self, Self::Error> {
        Self::new(code.as_bytes()).ok_or("a language has three letters")
    }
}

impl From<Language> for String {
    fn from(language: Language) -> Self {
        language.as_str().to_owned()
    }
}

impl std::fmt::Debug for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tags_and_names_mean_the_same_language() {
        for (tag, code, back, name) in [
            ("en", "eng", "en", "English"),
            ("de-AT", "deu", "de", "German"),
            ("GER", "ger", "de", "German"),
            ("pt_BR", "por", "pt", "Portuguese"),
            ("gsw", "gsw", "gsw", "gsw"),
        ] {
            let language = Language::from_tag(tag).expect(tag);
            assert_eq!((language.as_str(), language.tag(), language.name()), (code, back, name));
        }
        for nothing in ["", "und", "x", "e1", "english", "\u{e4}\u{f6}"] {
            assert_eq!(Language::from_tag(nothing), None, "{nothing}");
        }
    }
}
