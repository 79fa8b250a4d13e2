//! Pictures as files that an operator names: logos, slates. Read whole, looked at from outside, decoded by a worker.

use std::path::Path;

use bytes::Bytes;

/// What files begin and end with.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const PNG_END: &[u8] = b"IEND\xae\x42\x60\x82";
const JPEG: &[u8] = &[0xff, 0xd8, 0xff];
const JPEG_END: &[u8] = &[0xff, 0xd9];
/// Pixels, across or down.
const SIDE_MAX: u32 = 8192;

/// Whether a file says that it is a picture.
pub(crate) fn is_picture(file: &[u8]) -> bool {
    file.starts_with(PNG) || file.starts_with(JPEG)
}

/// Reads a PNG or a JPEG of so many bytes at most.
///
/// # Errors
/// In words, with what to do.
pub(crate) fn read(path: &Path, bytes_max: usize) -> Result<Bytes, String> {
    let name = path.display();
    let unreadable = |e: std::io::Error| format!("{name} cannot be read: {e}; check the path and its rights");
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > bytes_max as u64 {
        return Err(format!("{name} has {bytes} bytes; {bytes_max} are possible: use a smaller picture"));
    }
    let file = Bytes::from(std::fs::read(path).map_err(unreadable)?);
    look(&file).map_err(|why| format!("{name} {why}; use a PNG or a JPEG that other programs can show"))?;
    Ok(file)
}

/// What can be seen without decoding it.
fn look(file: &[u8]) -> Result<(), String> {
    let has = |end: &[u8]| file.windows(end.len()).rev().any(|bytes| bytes == end);
    let whole = if file.starts_with(PNG) {
        // Behind the head of the first chunk (PNG §11.2.1).
        let side = |at: usize| file.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        if let (Some(width), Some(height)) = (side(16), side(20))
            && ![width, height].iter().all(|side| (1..=SIDE_MAX).contains(side))
        {
            return Err(format!("has {width} x {height} pixels, and {SIDE_MAX} a side are possible"));
        }
        has(PNG_END)
    } else if file.starts_with(JPEG) {
        has(JPEG_END)
    } else {
        return Err("is neither PNG nor JPEG".into());
    };
    if whole { Ok(()) } else { Err("ends before the picture does".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_picture_or_not_whole_or_too_large_is_refused() {
        let png = |width: u32, height: u32| {
            let head = [PNG, &[0, 0, 0, 13], b"IHDR", &width.to_be_bytes(), &height.to_be_bytes()].concat();
            [&head, PNG_END].concat()
        };
        let jpeg = [JPEG, &[0; 9], JPEG_END, b"something behind it"].concat();
        for (name, file, want) in [
            ("a PNG", png(1920, 1080), ""),
            ("the largest", png(SIDE_MAX, 1), ""),
            ("too wide", png(SIDE_MAX + 1, 1), "8193 x 1 pixels"),
            ("too high", png(1, u32::MAX), "1 x 4294967295 pixels"),
            ("empty", png(0, 9), "0 x 9 pixels"),
            ("cut", png(9, 9)[..24].to_vec(), "ends before"),
            ("only its head", PNG.to_vec(), "ends before"),
            ("a JPEG", jpeg.clone(), ""),
            ("half a JPEG", jpeg[..8].to_vec(), "ends before"),
            ("a GIF", b"GIF89a".to_vec(), "neither"),
            ("nothing", Vec::new(), "neither"),
        ] {
            let told = look(&file).err().unwrap_or_default();
            assert!(told.contains(want) && told.is_empty() == want.is_empty(), "{name}: {told}");
        }
        let folder = std::env::temp_dir().join(format!("nexus-picture-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("logo.png");
        std::fs::write(&file, png(16, 16)).unwrap();
        assert_eq!(read(&file, 64).map(|bytes| bytes.len()), Ok(32));
        assert!(read(&file, 31).unwrap_err().contains("has 32 bytes; 31 are possible"));
        assert!(read(&folder.join("none.png"), 64).unwrap_err().contains("cannot be read"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
