//! What a directory gives to people: roles, and a password to those whom it has made.
//!
//! A password goes to auth-service, which keeps what it makes of it under a ticket; the ticket is told in the transaction that
//! the password belongs to, and only then it holds. So it is in no event, in no log, and nowhere here.

use nx_chassis::{Ctx, Problem, Tx};
use nx_contract::identity::{OPERATOR, VIEWER};
use serde_json::{Value, json};

use super::schema::GIVEN_ROLES;
use super::store::{self, UserRow};
use super::wire::{Refusal, Resource};
use crate::user_auth::{User, rules};
use crate::{GivenPassword, NewTicket, PASSWORD_GIVEN, password_rule};

/// A password that auth-service has.
pub(super) struct Ticket(String);

/// Takes the password out of a resource: it is kept in none.
pub(super) fn password(of: &mut Resource) -> Option<String> {
    of.remove("password")?.as_str().map(str::to_owned)
}

/// Refuses to give a password to who chooses their own.
pub(super) fn may_set(row: &UserRow) -> Result<(), Refusal> {
    let operates = row.user.roles.iter().any(|role| role == OPERATOR);
    if row.made && !operates {
        return Ok(());
    }
    let text =
        "password is set of people whom a directory has made and who are no operators: others choose theirs";
    Err(Refusal::mutability(text))
}

/// Has auth-service keep a password until it is told whose it is.
pub(super) async fn ticket(
    cx: &Ctx,
    password: Option<String>,
    handle: &str,
) -> Result<Option<Ticket>, Refusal> {
    let Some(password) = password else { return Ok(None) };
    password_rule(&password, handle).map_err(|why| Refusal::value(format!("password {why}")))?;
    // auth-service needs this one, and nothing here goes on with what it keeps: a way back, and no need.
    let auth = cx.call_back("auth-service");
    let ticket = auth.post("/v1/given-passwords", &cx.new_id(), &NewTicket { password }).await?;
    Ok(Some(Ticket(ticket)))
}

/// Whose the password is.
pub(super) async fn tell(tx: &mut Tx, user: &User, Ticket(ticket): Ticket) -> Result<(), Problem> {
    let given = GivenPassword { ticket, handle: user.handle.clone() };
    tx.emit(PASSWORD_GIVEN, &user.id, &given).await
}

/// The roles that a resource names, if it names any.
pub(super) fn roles(of: &Resource) -> Result<Option<Vec<String>>, Refusal> {
    let Some(Value::Array(given)) = of.get("roles") else { return Ok(None) };
    let mut named = Vec::new();
    for role in given {
        let role = role.get("value").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
        if role == OPERATOR {
            return Err(Refusal::value("no directory makes an operator: another operator does"));
        }
        if !GIVEN_ROLES.contains(&role.as_str()) {
            return Err(Refusal::value(format!(
                "{role:.40} is no role; there are: {}",
                GIVEN_ROLES.join(", ")
            )));
        }
        named.push(role);
    }
    Ok(Some(rules::roles(&named).map_err(Refusal::value)?))
}

/// What somebody is becomes what a directory says now, if it says something else than before. Whether they are an operator it
/// neither says nor changes.
pub(super) async fn set_roles(
    tx: &mut Tx,
    user: &User,
    before: &Resource,
    now: &Resource,
) -> Result<(), Refusal> {
    if before.get("roles") == now.get("roles") {
        return Ok(());
    }
    let mut named = roles(now)?.unwrap_or_else(|| vec![VIEWER.to_owned()]);
    named.extend(user.roles.iter().filter(|role| *role == OPERATOR).cloned());
    let named = rules::roles(&named).map_err(Refusal::value)?;
    Ok(store::set_roles(tx, &user.id, &named).await?)
}

/// Puts what somebody is into a resource, but for what everybody is of whom nothing else was said.
pub(super) fn show_roles(user: &User, of: &mut Resource) {
    let now: Vec<&String> = user.roles.iter().filter(|role| *role != OPERATOR).collect();
    if now.is_empty() || (now == [VIEWER] && !of.contains_key("roles")) {
        of.remove("roles");
        return;
    }
    of.insert("roles".into(), now.iter().map(|role| json!({"value": role})).collect());
}
