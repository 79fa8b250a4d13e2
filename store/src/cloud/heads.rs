//! The headers of a volume's fragments, as an object: place (8 bytes, little-endian), length (4 bytes) and bytes of each, at
//! the end a CRC-32 of it all.

use std::collections::HashMap;
use std::io;

use bytes::{Buf, Bytes};

use crate::movie::header;
use crate::record::Record;
use crate::source::Source;

/// Reads them from the media of a volume.
pub(crate) fn write(media: &dyn Source, records: &[Record]) -> io::Result<Bytes> {
    let mut out = Vec::new();
    for record in records {
        let mut at = record.offset;
        while at < record.end() {
            // Media that no MP4 can be made of is kept all the same.
            let Ok((_, len, end)) = header(media, at, record.end() - at) else { break };
            let bytes = media.read(at, len as u64)?;
            out.extend_from_slice(&at.to_le_bytes());
            out.extend_from_slice(&u32::try_from(len).map_err(io::Error::other)?.to_le_bytes());
            out.extend_from_slice(&bytes);
            at += end as u64;
        }
    }
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    Ok(out.into())
}

/// Headers by the places of their fragments. Reading gives as much of one as there is.
#[derive(Debug)]
pub(crate) struct Heads(HashMap<u64, Bytes>);

impl Heads {
    pub(crate) fn read(object: &Bytes) -> io::Result<Self> {
        let broken = || io::Error::new(io::ErrorKind::InvalidData, "the headers of a volume are not whole");
        let (body, crc) = object.split_last_chunk::<4>().ok_or_else(broken)?;
        if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
            return Err(broken());
        }
        let mut left = object.slice(..body.len());
        let mut heads = HashMap::new();
        while left.len() >= 12 {
            let (at, len) = (left.get_u64_le(), left.get_u32_le() as usize);
            if len > left.len() {
                return Err(broken());
            }
            heads.insert(at, left.split_to(len));
        }
        Ok(Self(heads))
    }
}

impl Source for Heads {
    fn read(&self, at: u64, len: u64) -> io::Result<Bytes> {
        let head = self.0.get(&at).ok_or(io::ErrorKind::InvalidData)?;
        Ok(head.slice(..head.len().min(usize::try_from(len).unwrap_or(usize::MAX))))
    }
}
