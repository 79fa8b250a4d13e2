//! Resumable uploads: tus 1.0 at `…/uploads`.
//!
//! Core, and the extensions creation, creation-with-upload, expiration, checksum and termination. An offset that is told
//! is on the disk. Spec: <https://tus.io/protocols/resumable-upload>.

mod checksum;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use nx_contract::titles::{Append, NewUpload, Titles, Upload, UploadFault};
use nx_delivery::{Problem, Response};

use crate::desired::{self, Asked};
use crate::serve::UPLOADS;
use checksum::Checksum;

const VERSION: &str = "1.0.0";
const EXTENSIONS: &str = "creation,creation-with-upload,expiration,checksum,termination";
const CONTENT_TYPE: &str = "application/offset+octet-stream";
/// Longest silence within a request; what came until then counts.
const SILENCE: Duration = Duration::from_secs(30);
/// Bytes that are written at a time, about.
const WRITE_BYTES: usize = 1 << 20;
/// Longest metadata, bytes.
const METADATA_MAX: usize = 4 << 10;

const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");

/// Answers; `rest` is what follows `…/uploads`. An error says the version too.
pub(crate) async fn answer<B>(titles: &Arc<dyn Titles>, rest: &str, asked: Asked<'_>, body: B) -> Response
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut response = match try_answer(titles, rest, asked, body).await {
        Ok(response) => response,
        Err(problem) => problem.response(&nx_delivery::random_id()),
    };
    set(&mut response, RESUMABLE, VERSION);
    if response.status() == StatusCode::PRECONDITION_FAILED {
        set(&mut response, HeaderName::from_static("tus-version"), VERSION);
    }
    response
}

async fn try_answer<B>(
    titles: &Arc<dyn Titles>,
    rest: &str,
    asked: Asked<'_>,
    body: B,
) -> Result<Response, Problem>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Asked { method, headers, who, .. } = asked;
    let over = headers.get("x-http-method-override").map(|m| Method::from_bytes(m.as_bytes()));
    let method = match over {
        Some(over) => over.map_err(|_| Problem::bad_request("X-HTTP-Method-Override is no method"))?,
        None => method.clone(),
    };
    if method == Method::OPTIONS {
        return Ok(options(titles.upload_bytes_max()));
    }
    who.operator()?;
    let spoken = headers.get(RESUMABLE).and_then(|v| v.to_str().ok());
    if spoken != Some(VERSION) {
        let detail = format!("send Tus-Resumable: {VERSION}; it is the only version that is spoken here");
        return Err(Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "tus-version",
            "Version not spoken",
            detail,
        ));
    }
    let id = rest.strip_prefix('/');
    match (method, id) {
        (Method::POST, None) => create(titles, headers, body).await,
        (Method::HEAD, Some(id)) => {
            let (titles, id) = (titles.clone(), id.to_owned());
            let upload = waiting(move || titles.upload(&id)).await?;
            let mut response = progress(StatusCode::OK, &upload);
            set(&mut response, LENGTH, upload.bytes);
            Ok(response)
        }
        (Method::PATCH, Some(id)) => {
            let offset = number(headers, &OFFSET)?;
            let upload = take(titles, id, offset, headers, body).await?;
            Ok(progress(StatusCode::NO_CONTENT, &upload))
        }
        (Method::DELETE, Some(id)) => {
            let (titles, id) = (titles.clone(), id.to_owned());
            waiting(move || titles.abandon_upload(&id)).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        (_, None) => Err(Problem::method("uploads are begun with POST; OPTIONS tells what is spoken")),
        (_, Some(_)) => Err(Problem::method("an upload takes HEAD, PATCH, DELETE")),
    }
}

async fn create<B>(titles: &Arc<dyn Titles>, headers: &HeaderMap, body: B) -> Result<Response, Problem>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let bytes = number(headers, &LENGTH)?;
    if bytes == 0 {
        return Err(Problem::bad_request("an upload without bytes becomes no title: Upload-Length is 0"));
    }
    let metadata = headers.get("upload-metadata").map_or(b"".as_slice(), HeaderValue::as_bytes);
    let filename = filename(metadata).ok_or_else(|| {
        Problem::bad_request("send the file's name in Upload-Metadata: filename, a space, and it in base64")
    })?;
    let with = titles.clone();
    let mut upload = waiting(move || with.begin_upload(NewUpload { bytes, filename })).await?;
    if is_part(headers) {
        // The upload is there, however much of this comes.
        upload = match take(titles, &upload.id, 0, headers, body).await {
            Ok(upload) => upload,
            Err(problem) => {
                let (with, id) = (titles.clone(), upload.id.clone());
                match waiting(move || with.upload(&id)).await {
                    Ok(there) => there,
                    // Here all the same, and asked for again.
                    Err(Problem { status: StatusCode::LOCKED | StatusCode::CONFLICT, .. }) => upload,
                    Err(again) if again.status.is_server_error() => upload,
                    Err(_) => return Err(problem),
                }
            }
        };
    }
    let mut response = progress(StatusCode::CREATED, &upload);
    set(&mut response, header::LOCATION, format!("{UPLOADS}/{}", upload.id));
    Ok(response)
}

/// Adds the body of a request to an upload. What came of a body that breaks off counts, unless it has a checksum.
async fn take<B>(
    titles: &Arc<dyn Titles>,
    id: &str,
    offset: u64,
    headers: &HeaderMap,
    body: B,
) -> Result<Upload, Problem>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if !is_part(headers) {
        let detail = format!("send the bytes with Content-Type: {CONTENT_TYPE}");
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::new(status, "unsupported-media-type", "Unsupported media type", detail));
    }
    let mut checksum = Checksum::asked(headers)?;
    let (with, id) = (titles.clone(), id.to_owned());
    let mut append = waiting(move || with.append(&id, offset)).await?;
    let (mut body, mut held) = (std::pin::pin!(body), Vec::new());
    let whole = loop {
        let frame = tokio::time::timeout(SILENCE, body.frame()).await;
        let Ok(frame) = frame else { break false };
        let data = match frame {
            None => break true,
            Some(Err(_)) => break false,
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        if let Some(checksum) = &mut checksum {
            checksum.update(&data);
        }
        held.extend_from_slice(&data);
        if held.len() >= WRITE_BYTES {
            append = write(append, std::mem::take(&mut held)).await?;
        }
    };
    append = write(append, held).await?;
    if let Some(checksum) = checksum
        && !(whole && checksum.fits())
    {
        waiting(move || append.undo()).await?;
        let status = StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST);
        let detail =
            "the bytes do not have the checksum of Upload-Checksum; none of them were taken: send them again";
        return Err(Problem::new(status, "checksum-mismatch", "Checksum mismatch", detail));
    }
    waiting(move || append.confirm()).await
}

async fn write(mut append: Box<dyn Append>, bytes: Vec<u8>) -> Result<Box<dyn Append>, Problem> {
    waiting(move || match append.write(&bytes) {
        Ok(()) => Ok(append),
        Err(fault) => {
            // Too much of it: none of this request counts.
            let _ = append.undo();
            Err(fault)
        }
    })
    .await
}

/// Runs what may wait for the disk.
async fn waiting<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, UploadFault> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(act).await;
    done.map_err(|_| Problem::not_found("the upload cannot be had"))?.map_err(problem)
}

fn problem(fault: UploadFault) -> Problem {
    let of = |status, slug, title, detail: String| Problem::new(status, slug, title, detail);
    match fault {
        UploadFault::Unknown => Problem::not_found("there is no such upload (any more): begin a new one"),
        UploadFault::Locked => {
            let detail = "another request sends to this upload; ask again when it has ended".into();
            of(StatusCode::LOCKED, "upload-locked", "Upload locked", detail).retry_after(2)
        }
        UploadFault::Offset(at) => {
            let detail = format!("the upload has come to byte {at}: go on there");
            of(StatusCode::CONFLICT, "wrong-offset", "Wrong offset", detail)
        }
        UploadFault::TooLarge(max) => {
            let detail = format!("at most {max} bytes");
            of(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Too large", detail)
        }
        UploadFault::Refused(why) => {
            let detail = format!("the file was not taken and is gone: {why}");
            of(StatusCode::UNPROCESSABLE_ENTITY, "file-refused", "File refused", detail)
        }
        UploadFault::Other(fault) => desired::problem(fault),
        _ => Problem::bad_request("the upload does not go on"),
    }
}

fn is_part(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(CONTENT_TYPE.as_bytes()))
}

/// A header that is a number of bytes.
fn number(headers: &HeaderMap, name: &HeaderName) -> Result<u64, Problem> {
    let digits = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let value = headers.get(name).and_then(|v| v.to_str().ok()).filter(digits);
    let value = value.and_then(|text| text.parse().ok()).filter(|n| *n <= u64::MAX >> 1);
    value.ok_or_else(|| Problem::bad_request(format!("{name} must be a number of bytes")))
}

/// The `filename` (or `name`) of `Upload-Metadata`: pairs of a key and its value in base64.
fn filename(metadata: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(metadata.get(..metadata.len().min(METADATA_MAX))?).ok()?;
    let value = |key: &str| {
        let pairs = text.split(',').filter_map(|pair| pair.trim().split_once(' '));
        let (_, value) = pairs.into_iter().find(|(k, _)| *k == key)?;
        String::from_utf8(checksum::base64(value.trim())?).ok()
    };
    value("filename").or_else(|| value("name")).filter(|name| !name.is_empty())
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    set(&mut response, header::CACHE_CONTROL, "no-store");
    response
}

fn progress(status: StatusCode, upload: &Upload) -> Response {
    let mut response = empty(status);
    set(&mut response, OFFSET, upload.offset);
    if upload.title.is_none() {
        let expires = HeaderName::from_static("upload-expires");
        set(&mut response, expires, nx_delivery::http_date(upload.expires_ms));
    }
    response
}

fn options(bytes_max: u64) -> Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    for (name, value) in [
        ("tus-version", VERSION),
        ("tus-extension", EXTENSIONS),
        ("tus-checksum-algorithm", checksum::ALGORITHMS),
        ("tus-max-size", &bytes_max.to_string()),
    ] {
        set(&mut response, HeaderName::from_static(name), value);
    }
    response
}

fn set(response: &mut Response, name: HeaderName, value: impl ToString) {
    if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests;
