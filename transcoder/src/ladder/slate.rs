//! A picture as a clip: a key frame, and frames that repeat it.

use std::io;

use ffmpeg_next::color::{Primaries, Range, Space, TransferCharacteristic};
use ffmpeg_next::frame::Video;
use nx_worker_protocol::{Reply, Rung, Slate};

use super::{Out, rung};
use crate::decode;
use crate::graph::Chain;
use crate::sheet::Why;
use crate::turn::{Turn, inside};

/// Makes the clip, or says why not; either way it comes to its end.
pub(crate) fn make(slate: &Slate, out: &Out) -> io::Result<()> {
    let picture = decode::image(&slate.image).and_then(|image| fitted(&image, &slate.rung));
    if let Err(why) = picture.and_then(|picture| rung::stand(slate, &picture, out)) {
        out.refuse(&[0], &why)?;
    }
    out.say(&Reply::Flushed)
}

/// In the rung's size and the colours of BT.709, on black.
fn fitted(image: &Video, rung: &Rung) -> Result<Video, Why> {
    let turn = Turn::of(image);
    let (width, height) = (u32::from(rung.width), u32::from(rung.height));
    let (wide, high) = inside((width, height), turn.shape(image));
    // What is multiplied with its opacity lies on black.
    let spec = format!(
        "[in]{}format=gbrap,premultiply=inplace=1,\
         scale={wide}:{high}:flags=bicubic:out_color_matrix=bt709:out_range=limited,format=yuv420p,\
         pad={width}:{height}:-1:-1,setsar=1[out0]",
        turn.filter()
    );
    let mut chain = Chain::video(image, &spec, 1)?;
    chain.push(&image.clone())?;
    chain.end()?;
    let mut picture = Video::empty();
    if !chain.pull(0, &mut picture)? {
        return Err("the scaler gave nothing".into());
    }
    picture.set_color_space(Space::BT709);
    picture.set_color_range(Range::MPEG);
    picture.set_color_primaries(Primaries::BT709);
    picture.set_color_transfer_characteristic(TransferCharacteristic::BT709);
    Ok(picture)
}
