//! What this server says of itself (RFC 7644 §4): what it can, which types there are, and what they are made of.

use nx_chassis::Path;
use serde_json::{Value, json};

use super::list::{Listed, PAGE_MAX, of_all};
use super::schema::{ENTERPRISE, GROUPS, Type, USERS, documents};
use super::wire::{Asked, Doc, Refusal};

const CONFIG: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
const TYPE: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";

pub(super) async fn config(asked: Asked) -> Result<Doc, Refusal> {
    let not = json!({"supported": false});
    let bearer = json!({
        "type": "oauthbearertoken",
        "name": "Bearer token",
        "description": "An operator's API key or access token, as Authorization: Bearer",
        "primary": true,
    });
    Ok(Doc(json!({
        "schemas": [CONFIG],
        "patch": {"supported": true},
        "bulk": {"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": true, "maxResults": PAGE_MAX},
        "changePassword": not,
        "sort": not,
        "etag": {"supported": true},
        "authenticationSchemes": [bearer],
        "meta": meta(&asked, "ServiceProviderConfig", "/ServiceProviderConfig"),
    })))
}

pub(super) async fn types(asked: Asked, listed: Listed) -> Result<Doc, Refusal> {
    whole(&listed)?;
    let all = vec![of_type(&asked, &USERS), of_type(&asked, &GROUPS)];
    Ok(Doc(of_all(all, 2, 1)))
}

pub(super) async fn one_type(asked: Asked, Path(id): Path<String>) -> Result<Doc, Refusal> {
    let known = [&*USERS, &*GROUPS].into_iter().find(|of| of.name == id);
    known.map(|of| Doc(of_type(&asked, of))).ok_or_else(Refusal::unknown)
}

pub(super) async fn schemas(asked: Asked, listed: Listed) -> Result<Doc, Refusal> {
    whole(&listed)?;
    let all: Vec<Value> =
        documents().into_iter().map(|(id, document)| of_schema(&asked, id, document)).collect();
    let count = i64::try_from(all.len()).unwrap_or_default();
    Ok(Doc(of_all(all, count, 1)))
}

pub(super) async fn one_schema(asked: Asked, Path(id): Path<String>) -> Result<Doc, Refusal> {
    let known = documents().into_iter().find(|(known, _)| known.eq_ignore_ascii_case(&id));
    known.map(|(id, document)| Doc(of_schema(&asked, id, document))).ok_or_else(Refusal::unknown)
}

/// Nobody asks for a part of what is the same for everybody (RFC 7644 §4).
fn whole(listed: &Listed) -> Result<(), Refusal> {
    match listed.filter {
        Some(_) => Err(nx_chassis::Problem::forbidden("this list takes no filter").into()),
        None => Ok(()),
    }
}

fn meta(asked: &Asked, kind: &str, path: &str) -> Value {
    json!({"resourceType": kind, "location": format!("{}{path}", asked.base)})
}

fn of_type(asked: &Asked, of: &Type) -> Value {
    let mut document = json!({
        "schemas": [TYPE],
        "id": of.name,
        "name": of.name,
        "endpoint": of.endpoint,
        "schema": of.scope.space,
        "meta": meta(asked, "ResourceType", &format!("/ResourceTypes/{}", of.name)),
    });
    if of.scope.find(ENTERPRISE).is_some() {
        document["schemaExtensions"] = json!([{"schema": ENTERPRISE, "required": false}]);
    }
    document
}

fn of_schema(asked: &Asked, id: &str, mut document: Value) -> Value {
    document["meta"] = meta(asked, "Schema", &format!("/Schemas/{id}"));
    document
}
