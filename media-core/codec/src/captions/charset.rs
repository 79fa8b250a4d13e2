//! Characters of CEA-608.
//!
//! Spec: CEA-608 annex A (standard characters), §6.4.2 (special characters), annex D (extended characters).

/// Special characters, 0x30 to 0x3f behind 0x11.
const SPECIAL: [char; 16] =
    ['®', '°', '½', '¿', '™', '¢', '£', '♪', 'à', '\u{a0}', 'è', 'â', 'ê', 'î', 'ô', 'û'];

/// Spanish, various and French, 0x20 to 0x3f behind 0x12.
const EXTENDED_1: [char; 32] = [
    'Á', 'É', 'Ó', 'Ú', 'Ü', 'ü', '‘', '¡', '*', '’', '—', '©', '℠', '•', '“', '”', 'À', 'Â', 'Ç', 'È', 'Ê',
    'Ë', 'ë', 'Î', 'Ï', 'ï', 'Ô', 'Ù', 'ù', 'Û', '«', '»',
];

/// Portuguese, German and Danish, 0x20 to 0x3f behind 0x13.
const EXTENDED_2: [char; 32] = [
    'Ã', 'ã', 'Í', 'Ì', 'ì', 'Ò', 'ò', 'Õ', 'õ', '{', '}', '\\', '^', '_', '¦', '~', 'Ä', 'ä', 'Ö', 'ö', 'ß',
    '¥', '¤', '|', 'Å', 'å', 'Ø', 'ø', '┌', '┐', '└', '┘',
];

/// A standard character, 0x20 to 0x7f; nearly ASCII.
pub(super) fn standard(byte: u8) -> Option<char> {
    Some(match byte {
        0x2a => 'á',
        0x5c => 'é',
        0x5e => 'í',
        0x5f => 'ó',
        0x60 => 'ú',
        0x7b => 'ç',
        0x7c => '÷',
        0x7d => 'Ñ',
        0x7e => 'ñ',
        0x7f => '█',
        0x20..=0x7a => char::from(byte),
        _ => return None,
    })
}

/// A special character.
pub(super) fn special(byte: u8) -> Option<char> {
    SPECIAL.get(usize::from(byte.checked_sub(0x30)?)).copied()
}

/// An extended character of the set that `first` (0x12, 0x13) chooses. It takes the place of the character before it.
pub(super) fn extended(first: u8, second: u8) -> Option<char> {
    let set = if first == 0x12 { &EXTENDED_1 } else { &EXTENDED_2 };
    set.get(usize::from(second.checked_sub(0x20)?)).copied()
}
