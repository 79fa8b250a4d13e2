//! What auth-service-v2 has made and proved for apps of others: tokens that are worth no more than their scopes.

use garde::Validate;
use nx_chassis::{Api, Body, Caller, Ctx, Json, Path, Problem, ShownOnce};
use nx_contract::identity::{ACCESS_S, CREATOR, Claims, ISSUER, OPERATOR, VIEWER};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::families;
use super::keys::{self, Alg};
use crate::answer::Tokens;
use crate::{Done, Person};

pub(super) fn routes(api: Api) -> Api {
    api.post("/apps/refresh", refresh)
        .post("/apps/access", access)
        .post("/apps/known", known)
        .post("/apps/signed", signed)
        .post("/apps/read", read)
        .post("/apps/signer", signer)
        .get("/apps/sessions/{id}/person", person)
}

/// An app that speaks for somebody, and what it may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct App {
    pub(crate) client_id: String,
    /// Scopes behind each other.
    pub(crate) scope: String,
    /// The thumbprint of the key that it must hold, if it has shown one (RFC 9449).
    #[serde(default)]
    pub(crate) key: Option<String>,
}

impl App {
    pub(super) fn of(client_id: Option<String>, scope: Option<String>, key: Option<String>) -> Option<Self> {
        client_id.map(|client_id| Self { client_id, scope: scope.unwrap_or_default(), key })
    }

    /// Whether who holds `key` may go on with what is this app's: with a key, as it began. One that can keep a secret may take another.
    fn goes_on(&self, key: Option<&str>, public: bool) -> bool {
        self.key.is_none() || key.is_some() && (!public || self.key.as_deref() == key)
    }

    /// The roles that its scopes name, as far as somebody with `own` may use them.
    pub(super) fn roles(&self, own: &[String]) -> Vec<String> {
        let operates = own.iter().any(|role| role == OPERATOR);
        let named = [("watch", VIEWER), ("publish", CREATOR), ("operate", OPERATOR)];
        let asked = named.into_iter().filter(|(scope, _)| self.scope.split(' ').any(|s| s == *scope));
        asked
            .filter(|(_, role)| operates || own.iter().any(|o| o == role))
            .map(|(_, role)| role.to_owned())
            .collect()
    }

    /// The same with those of its scopes that are asked for.
    fn narrowed(self, asked: Option<&str>) -> Self {
        let Some(asked) = asked else { return self };
        let kept: Vec<&str> =
            self.scope.split(' ').filter(|has| asked.split(' ').any(|a| a == *has)).collect();
        Self { scope: kept.join(" "), ..self }
    }
}

/// The next tokens of an app, perhaps for fewer scopes than it has.
#[derive(Debug, Serialize, Deserialize, Validate, JsonSchema)]
#[garde(allow_unvalidated)]
pub(crate) struct Refresh {
    pub(crate) refresh_token: String,
    pub(crate) client_id: String,
    pub(crate) scope: Option<String>,
    /// The key that the app has proved to hold.
    #[serde(default)]
    pub(crate) key: Option<String>,
    /// Whether the app can keep no secret, so that the key is all that it is known by.
    #[serde(default)]
    pub(crate) public: bool,
}

/// Tokens, and for which scopes.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct AppTokens {
    #[serde(flatten)]
    pub(crate) tokens: Tokens,
    pub(crate) scope: String,
}

async fn refresh(
    by: Caller,
    cx: Ctx,
    Body(asked): Body<Refresh>,
) -> Result<ShownOnce<Json<AppTokens>>, Problem> {
    by.must_be_service()?;
    let Refresh { refresh_token, client_id, scope, key, public } = asked;
    let unproved = || Problem::forbidden("the token is bound to a key that was not proved");
    // Before it is used: one that somebody cannot use goes on for who can.
    if let Some(app) = families::app_of(&cx, &refresh_token).await? {
        if !app.goes_on(key.as_deref(), public) {
            return Err(unproved());
        }
        if scope.as_ref().is_some_and(|asked| app.narrowed(Some(asked)).scope.len() != asked.len()) {
            return Err(Problem::invalid("/scope", "is more than was allowed"));
        }
    }
    // An app without a secret is known by its key from the first time on that it shows one.
    let binds = key.as_deref().filter(|_| public);
    let mut family = families::next(&cx, &refresh_token, Some(&client_id), binds).await?;
    // Two may have shown theirs at once.
    if family.app.as_ref().is_some_and(|app| !app.goes_on(key.as_deref(), public)) {
        return Err(unproved());
    }
    family.app = family.app.map(|app| App { key, ..app.narrowed(scope.as_deref()) });
    let scope = family.app.as_ref().map(|app| app.scope.clone()).unwrap_or_default();
    Ok(ShownOnce(Json(AppTokens { tokens: families::tokens(&cx, &family).await?, scope })))
}

/// An access token alone: of an app that speaks for itself, or of one that was handed somebody's.
#[derive(Debug, Serialize, Deserialize, Validate, JsonSchema)]
#[garde(allow_unvalidated)]
pub(crate) struct NewAccess {
    pub(crate) person: Person,
    pub(crate) session_id: Option<String>,
    pub(crate) app: App,
    /// Not later than this, Unix seconds.
    pub(crate) until_s: Option<i64>,
}

/// Some token.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Signed {
    pub(crate) token: String,
    pub(crate) expires_in_s: i64,
}

async fn access(by: Caller, cx: Ctx, Body(new): Body<NewAccess>) -> Result<ShownOnce<Json<Signed>>, Problem> {
    by.must_be_service()?;
    let mut claims = families::claims(&cx, &new.person, new.session_id.as_deref(), Some(&new.app));
    claims.exp = claims.exp.min(new.until_s.unwrap_or(i64::MAX));
    let token = keys::sign(&cx, Alg::EdDsa, "JWT", &claims).await?;
    Ok(ShownOnce(Json(Signed { token, expires_in_s: (claims.exp - claims.iat).clamp(0, ACCESS_S) })))
}

/// A token that somebody shows.
#[derive(Serialize, Deserialize, Validate, JsonSchema)]
#[garde(allow_unvalidated)]
pub(crate) struct Token {
    pub(crate) token: String,
}

/// What is known of a token that is good.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Known {
    /// Whether new ones are got with it.
    pub(crate) refreshes: bool,
    pub(crate) subject: String,
    pub(crate) handle: Option<String>,
    pub(crate) session_id: Option<String>,
    pub(crate) roles: Vec<String>,
    /// The app that has it; none when it is somebody's own.
    pub(crate) app: Option<App>,
    /// Unix seconds.
    pub(crate) iat: Option<i64>,
    pub(crate) exp: i64,
}

async fn known(
    by: Caller,
    cx: Ctx,
    Body(shown): Body<Token>,
) -> Result<ShownOnce<Json<Option<Known>>>, Problem> {
    by.must_be_service()?;
    if let Some(family) = families::of(&cx, &shown.token).await? {
        let families::Family { person, session_id, app, ends_ms, .. } = family;
        let roles = app.as_ref().map_or_else(|| person.roles.clone(), |app| app.roles(&person.roles));
        let (subject, handle, session_id) = (person.id, Some(person.handle), Some(session_id));
        let (refreshes, iat, exp) = (true, None, ends_ms.div_euclid(1000));
        return Ok(ShownOnce(Json(Some(Known {
            refreshes,
            subject,
            handle,
            session_id,
            roles,
            app,
            iat,
            exp,
        }))));
    }
    Ok(ShownOnce(Json(of_access(&cx, &shown.token).await?)))
}

/// What is known of an access token: its session must go on, and its person have the roles yet.
async fn of_access(cx: &Ctx, token: &str) -> Result<Option<Known>, Problem> {
    let claims = keys::read(cx, token).await?.map(Value::Object);
    let Some(claims) = claims.and_then(|claims| serde_json::from_value::<Claims>(claims).ok()) else {
        return Ok(None);
    };
    let now_s = cx.now_ms().div_euclid(1000);
    if claims.iss != ISSUER || claims.aud != ISSUER || claims.exp <= now_s {
        return Ok(None);
    }
    let Claims { sub: subject, sid: session_id, client_id, scope, cnf, iat, exp, mut roles, .. } = claims;
    let mut handle = None;
    if let Some(session) = &session_id {
        let Some(family) = families::in_session(cx, session).await? else { return Ok(None) };
        let now = family.person.roles;
        roles.retain(|role| now.contains(role) || now.iter().any(|now| now == OPERATOR));
        handle = Some(family.person.handle);
    }
    let app = App::of(client_id, scope, cnf.map(|of| of.jkt));
    Ok(Some(Known { refreshes: false, subject, handle, session_id, roles, app, iat: Some(iat), exp }))
}

/// Something for others to read: that somebody has signed in, or is signed out.
#[derive(Debug, Serialize, Deserialize, Validate, JsonSchema)]
#[garde(allow_unvalidated)]
pub(crate) struct Sign {
    pub(crate) alg: Alg,
    /// `typ` of its header.
    pub(crate) kind: String,
    pub(crate) claims: Map<String, Value>,
}

async fn signed(by: Caller, cx: Ctx, Body(asked): Body<Sign>) -> Result<ShownOnce<Json<Signed>>, Problem> {
    by.must_be_service()?;
    // What is to be read must open nothing.
    if [asked.claims.get("iss"), asked.claims.get("aud")].into_iter().any(|of| of.is_none_or(|v| v == ISSUER))
    {
        return Err(Problem::invalid("/claims", "are those of an access token"));
    }
    let token = keys::sign(&cx, asked.alg, &asked.kind, &asked.claims).await?;
    Ok(ShownOnce(Json(Signed { token, expires_in_s: 0 })))
}

/// How what an app reads shall be signed.
#[derive(Serialize, Deserialize, Validate, JsonSchema)]
#[garde(allow_unvalidated)]
pub(crate) struct Signer {
    pub(crate) alg: Alg,
}

/// Has a key of this kind be published before the app can have read the list.
async fn signer(by: Caller, cx: Ctx, Body(asked): Body<Signer>) -> Result<Json<Done>, Problem> {
    by.must_be_service()?;
    keys::signer(&cx, asked.alg).await?;
    Ok(Json(Done {}))
}

/// The claims of a token that was signed here, however old it is: for who is told which session somebody means.
async fn read(
    by: Caller,
    cx: Ctx,
    Body(shown): Body<Token>,
) -> Result<Json<Option<Map<String, Value>>>, Problem> {
    by.must_be_service()?;
    Ok(Json(keys::read(&cx, &shown.token).await?))
}

/// Who speaks in a session, as they are called now.
async fn person(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Option<Person>>, Problem> {
    by.must_be_service()?;
    Ok(Json(families::in_session(&cx, &id).await?.map(|family| family.person)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_has_what_its_scopes_name_of_what_its_person_has() {
        for (own, scope, roles) in [
            (vec!["viewer"], "openid profile", vec![]),
            (vec!["viewer"], "watch publish operate", vec!["viewer"]),
            (vec!["creator", "viewer"], "openid publish", vec!["creator"]),
            (vec!["operator"], "publish watch", vec!["viewer", "creator"]),
            (vec!["operator"], "operate", vec!["operator"]),
            (vec![], "watch publish operate", vec![]),
        ] {
            let own: Vec<String> = own.into_iter().map(str::to_owned).collect();
            let app = App { client_id: "a".into(), scope: scope.into(), key: None };
            assert_eq!(app.roles(&own), roles, "{own:?} {scope}");
        }
    }

    #[test]
    fn what_is_bound_to_a_key_goes_on_with_a_key() {
        for (bound, shown, public, goes_on) in [
            (None, None, true, true),
            (None, Some("a"), true, true),
            (Some("a"), Some("a"), true, true),
            (Some("a"), Some("b"), true, false),
            (Some("a"), None, true, false),
            (Some("a"), Some("b"), false, true),
            (Some("a"), None, false, false),
        ] {
            let app = App { client_id: "a".into(), scope: String::new(), key: bound.map(str::to_owned) };
            assert_eq!(app.goes_on(shown, public), goes_on, "{bound:?} {shown:?} {public}");
        }
    }
}
