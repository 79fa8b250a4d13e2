//! What programs that were written for Vault say in their own way, at key-service and nowhere else.
//!
//! | theirs | ours |
//! | --- | --- |
//! | `X-Vault-Token: …` | `Authorization: Bearer …`, where there is none |
//! | `LIST /…` | `GET /…` |
//! | `errors: ["…"]` | the detail of a problem, which has both for them |

use http::{HeaderName, HeaderValue, Method, Request, header};
use nx_delivery::{Body, Problem, Response};
use serde_json::{Value, json};

/// Who is asked in this way.
pub(crate) const SERVICE: &str = "key-service";

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
/// All of Vault's own programs send it.
const MARK: HeaderName = HeaderName::from_static("x-vault-request");

/// Translates a request for key-service; whether it was one of Vault's.
pub(crate) fn translate<B>(request: &mut Request<B>) -> bool {
    let lists = request.method().as_str() == "LIST";
    let theirs = lists || [TOKEN, MARK].iter().any(|name| request.headers().contains_key(name));
    if lists {
        *request.method_mut() = Method::GET;
    }
    let headers = request.headers_mut();
    headers.remove(MARK);
    if let Some(token) = headers.remove(TOKEN)
        && !headers.contains_key(header::AUTHORIZATION)
        && let Ok(mut bearer) = HeaderValue::from_bytes(&[b"Bearer ", token.as_bytes()].concat())
    {
        bearer.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, bearer);
    }
    theirs
}

/// The answer as they read it: errors are texts.
pub(crate) fn answer(answer: Result<Response, Problem>) -> Result<Response, Problem> {
    let mut response = match answer {
        Ok(response) if response.status().as_u16() >= 400 => response,
        Ok(response) => return Ok(response),
        Err(problem) => {
            let text = json!(problem.detail);
            return Err(problem.with_errors(vec![text]));
        }
    };
    if let Body::Slices(slices) = response.body() {
        let whole: Vec<u8> = slices.iter().flatten().copied().collect();
        if let Ok(mut document) = serde_json::from_slice::<Value>(&whole) {
            document["errors"] = texts(&document);
            *response.body_mut() = Body::from(document.to_string());
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
    }
    Ok(response)
}

/// What a problem says, in texts: each wrong field, or else the whole.
fn texts(document: &Value) -> Value {
    let field = |error: &Value| {
        let (pointer, detail) = (error["pointer"].as_str()?, error["detail"].as_str()?);
        Some(format!("{pointer}: {detail}").trim_start_matches(": ").to_owned())
    };
    let fields: Vec<_> = document["errors"].as_array().into_iter().flatten().filter_map(field).collect();
    let detail = ["detail", "title"].iter().filter_map(|name| document[name].as_str());
    match fields.is_empty() {
        true => detail.filter(|text| !text.is_empty()).take(1).collect(),
        false => json!(fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, headers: &[(&str, &str)]) -> Request<()> {
        let request = Request::builder().method(method).uri("/api/key-service/v1/transit/keys");
        let with =
            |request: http::request::Builder, (name, value): &(&str, &str)| request.header(*name, *value);
        headers.iter().fold(request, with).body(()).expect("a request")
    }

    #[test]
    fn their_token_is_a_bearer_where_there_is_none_and_goes_no_further() {
        let (token, own) = (("x-vault-token", "t0p"), ("authorization", "Bearer own"));
        for (name, headers, bearer, theirs) in [
            ("theirs", &[token][..], Some("Bearer t0p"), true),
            ("both", &[token, own], Some("Bearer own"), true),
            ("twice", &[token, ("x-vault-token", "other")], Some("Bearer t0p"), true),
            ("ours", &[own], Some("Bearer own"), false),
            ("none", &[], None, false),
            ("marked", &[("x-vault-request", "true")], None, true),
        ] {
            let mut request = request("POST", headers);
            assert_eq!(translate(&mut request), theirs, "{name}");
            let found = request.headers().get("authorization").and_then(|value| value.to_str().ok());
            assert_eq!(found, bearer, "{name}");
            assert!(!request.headers().contains_key("x-vault-token"), "{name}");
            assert!(!format!("{:?}", request.headers()).contains("t0p"), "{name}: it is in no log");
        }
        let mut list = request("LIST", &[]);
        assert!(translate(&mut list));
        assert_eq!(list.method(), Method::GET);
    }

    #[test]
    fn errors_are_texts() {
        for (document, want) in [
            (json!({"title": "Bad Request", "detail": "no"}), json!(["no"])),
            (json!({"title": "Internal Server Error", "detail": ""}), json!(["Internal Server Error"])),
            (
                json!({"detail": "fields", "errors": [{"pointer": "/bits", "detail": "too many"}, {"pointer": "", "detail": "odd"}]}),
                json!(["/bits: too many", "odd"]),
            ),
        ] {
            let mut response = Response::new(Body::from(document.to_string()));
            *response.status_mut() = http::StatusCode::BAD_REQUEST;
            let told = answer(Ok(response)).expect("a response");
            let Body::Slices(slices) = told.body() else { panic!("{told:?}") };
            let told: Value = serde_json::from_slice(&slices[0]).expect("JSON");
            assert_eq!(told["errors"], want);
            assert_eq!(told["detail"], document["detail"], "the rest is as it was");
        }
        let problem = answer(Err(Problem::bad_request("no"))).expect_err("a problem");
        assert_eq!(problem.errors, [json!("no")]);
        let fine = answer(Ok(Response::new(Body::from("{}".to_owned())))).expect("a response");
        assert_eq!(fine.body().size(), Some(2));
    }
}
