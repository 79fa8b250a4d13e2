//! Changes of a resource (RFC 7644 §3.5.2), made to the form in which it is kept.
//!
//! Where the text leaves it open: removing what is not there is done already; adding to a value that a filter does not find makes
//! it, when the filter says with `eq` what it is; a `remove` with values takes away those alone.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::filter::{Filter, Op, Target};
use super::schema::{Attr, Scope};
use super::shape::{VALUES_MAX, conform_value, is_empty, is_primary};
use super::wire::{Change, Refusal};

/// Operations of one request.
const OPERATIONS_MAX: usize = 200;
/// Values that the filters of one request look at, at most: a second or so, on a machine of any kind.
const LOOKED_AT_MAX: usize = 1_000_000;

type Parts = Map<String, Value>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Add,
    Replace,
    Remove,
}

/// Makes all changes, in their order.
///
/// # Errors
/// When one cannot be made; then `of` is of no use any more.
pub(super) fn apply(scope: Scope<'_>, of: &mut Parts, changes: &[Change]) -> Result<(), Refusal> {
    if !(1..=OPERATIONS_MAX).contains(&changes.len()) {
        return Err(Refusal::syntax(format!("there are 1 to {OPERATIONS_MAX} operations in a request")));
    }
    let mut looked_at = 0_usize;
    changes.iter().try_for_each(|change| {
        // Each choice among values looks at all of them.
        if change.path.as_ref().is_some_and(|path| path.contains('[')) {
            let values = of.values().filter_map(Value::as_array).map(Vec::len).max().unwrap_or_default();
            looked_at = looked_at.saturating_add(values.saturating_mul(comparisons(change)));
        }
        if looked_at > LOOKED_AT_MAX {
            return Err(Refusal::too_large(
                "that is too much to look through: choose among fewer values at a time",
            ));
        }
        one(scope, of, change)
    })
}

/// Comparisons of a filter, counted by its words: no fewer than there are.
fn comparisons(change: &Change) -> usize {
    change.path.as_deref().map_or(1, |path| path.split(' ').count().div_ceil(2)).max(1)
}

fn one(scope: Scope<'_>, of: &mut Parts, change: &Change) -> Result<(), Refusal> {
    let verb = match &*change.op.to_ascii_lowercase() {
        "add" => Verb::Add,
        "replace" => Verb::Replace,
        "remove" => Verb::Remove,
        _ => return Err(Refusal::syntax("op is add, replace or remove")),
    };
    if let Some(path) = &change.path {
        let target = Target::parse(path).map_err(|slip| Refusal::path(slip.to_string()))?;
        return make(scope, of, verb, &target, change.value.as_ref());
    }
    match (verb, &change.value) {
        (Verb::Remove, _) => Err(Refusal::no_target("say by path what is to be removed")),
        (_, Some(Value::Object(values))) => values.iter().try_for_each(|(name, value)| {
            // What is unknown or read-only is passed over here, as when a resource is made.
            let Ok(target) = Target::parse(name) else { return Ok(()) };
            match scope.resolve(&target.path) {
                Some(chain) if !chain.iter().any(|attr| attr.read_only) => {
                    make(scope, of, verb, &target, Some(value))
                }
                _ => Ok(()),
            }
        }),
        _ => Err(Refusal::value("without a path, the value is an object")),
    }
}

fn make(
    scope: Scope<'_>,
    of: &mut Parts,
    verb: Verb,
    target: &Target,
    value: Option<&Value>,
) -> Result<(), Refusal> {
    let unknown = || Refusal::path(format!("there is no attribute {}", target.path));
    let mut chain = scope.resolve(&target.path).ok_or_else(unknown)?;
    let Some(filter) = &target.filter else {
        changeable(&chain)?;
        return along(scope, of, &chain, verb, value);
    };
    let Some(attr) = chain.pop().filter(|attr| attr.many && !attr.parts().is_empty()) else {
        return Err(Refusal::path(format!("{} has no values to choose among", target.path)));
    };
    let inner = scope.within(attr);
    filter.check(inner).map_err(Refusal::filter)?;
    let part = match &target.part {
        Some(part) => Some(inner.find(part).ok_or_else(unknown)?),
        None => None,
    };
    changeable(&[&chain[..], &[attr], part.as_slice()].concat())?;
    // Attributes with several values lie in nothing but a name space, of which none has one.
    if !chain.is_empty() {
        return Err(unknown());
    }
    picked(scope, of, &Pick { attr, filter, part }, verb, value)
}

fn changeable(chain: &[&Attr]) -> Result<(), Refusal> {
    match chain.iter().find(|attr| attr.read_only || attr.immutable) {
        Some(attr) => Err(Refusal::mutability(format!("{} does not change", attr.name))),
        None => Ok(()),
    }
}

/// Goes down to what the last of the chain names; of several values, to each.
fn along(
    scope: Scope<'_>,
    of: &mut Parts,
    chain: &[&Attr],
    verb: Verb,
    value: Option<&Value>,
) -> Result<(), Refusal> {
    let Some((attr, rest)) = chain.split_first() else { return Ok(()) };
    if rest.is_empty() {
        return at(scope, of, attr, verb, value);
    }
    let inner = scope.within(attr);
    if !attr.many {
        return inside(of, attr, |parts| along(inner, parts, rest, verb, value));
    }
    let primary = rest.last().is_some_and(|attr| attr.name == "primary") && verb != Verb::Remove;
    match of.get_mut(attr.name).and_then(Value::as_array_mut) {
        Some(values) if primary && values.len() > 1 => {
            Err(Refusal::value(format!("say by a filter which of {} is primary", attr.name)))
        }
        Some(values) => {
            let parts = values.iter_mut().filter_map(Value::as_object_mut);
            parts.into_iter().try_for_each(|parts| along(inner, parts, rest, verb, value))?;
            clear(of, attr);
            Ok(())
        }
        None if verb == Verb::Remove => Ok(()),
        None => Err(Refusal::no_target(format!("{} has no values", attr.name))),
    }
}

/// Changes parts of an attribute, which is there as long as it has some.
fn inside(
    of: &mut Parts,
    attr: &Attr,
    change: impl FnOnce(&mut Parts) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut parts = match of.remove(attr.name) {
        Some(Value::Object(parts)) => parts,
        _ => Parts::new(),
    };
    change(&mut parts)?;
    if !parts.is_empty() {
        of.insert(attr.name.to_owned(), parts.into());
    }
    Ok(())
}

/// Forgets values that nothing is left of.
fn clear(of: &mut Parts, attr: &Attr) {
    let values = of.get_mut(attr.name).and_then(Value::as_array_mut);
    values.into_iter().for_each(|values| values.retain(|value| !is_empty(value)));
    if of.get(attr.name).is_some_and(is_empty) {
        of.remove(attr.name);
    }
}

fn at(
    scope: Scope<'_>,
    of: &mut Parts,
    attr: &Attr,
    verb: Verb,
    value: Option<&Value>,
) -> Result<(), Refusal> {
    let Some(given) = value.filter(|_| verb != Verb::Remove || attr.many) else {
        return match verb {
            Verb::Remove => forget(of, attr),
            _ => Err(Refusal::value(format!("{} is to have a value", attr.name))),
        };
    };
    if let (false, Value::Object(given)) = (attr.many, given)
        && !attr.parts().is_empty()
    {
        let inner = scope.within(attr);
        return inside(of, attr, |parts| {
            given.iter().try_for_each(|(name, value)| match inner.find(name) {
                Some(part) if !part.read_only => at(inner, parts, part, verb, Some(value)),
                _ => Ok(()),
            })
        });
    }
    let new = conform_value(scope, attr, given)?;
    match (verb, new) {
        (Verb::Remove, Value::Array(gone)) => {
            if let Some(Value::Array(values)) = of.get_mut(attr.name) {
                let gone = Keys::of(attr, &gone);
                values.retain(|value| !gone.has(value));
            }
            clear(of, attr);
            Ok(())
        }
        (Verb::Remove, _) => forget(of, attr),
        (Verb::Add, Value::Array(new)) => append(of, attr, new),
        (Verb::Add, Value::Null) => Ok(()),
        (_, new) if is_empty(&new) => forget(of, attr),
        (_, new) => {
            of.insert(attr.name.to_owned(), new);
            Ok(())
        }
    }
}

fn forget(of: &mut Parts, attr: &Attr) -> Result<(), Refusal> {
    if attr.required {
        return Err(Refusal::mutability(format!("{} must have a value", attr.name)));
    }
    of.remove(attr.name);
    Ok(())
}

/// What tells values of an attribute apart: for those that refer to something the id of that, else all of them.
enum Keys {
    Ids(HashSet<String>),
    Whole(HashSet<String>),
}

impl Keys {
    fn of(attr: &Attr, values: &[Value]) -> Self {
        if attr.parts().iter().any(|part| part.name == "$ref") {
            let ids = values.iter().filter_map(|value| value.get("value")?.as_str().map(str::to_owned));
            return Self::Ids(ids.collect());
        }
        Self::Whole(values.iter().map(Value::to_string).collect())
    }

    fn has(&self, value: &Value) -> bool {
        match self {
            Self::Ids(ids) => value.get("value").and_then(Value::as_str).is_some_and(|id| ids.contains(id)),
            Self::Whole(all) => all.contains(&value.to_string()),
        }
    }
}

fn append(of: &mut Parts, attr: &Attr, new: Vec<Value>) -> Result<(), Refusal> {
    if new.is_empty() {
        return Ok(());
    }
    let values = of.entry(attr.name).or_insert_with(|| Value::Array(vec![]));
    let Value::Array(values) = values else { return Ok(()) };
    let known = Keys::of(attr, values);
    let new: Vec<Value> = new.into_iter().filter(|value| !known.has(value)).collect();
    if new.iter().any(is_primary) {
        values.iter_mut().for_each(no_more_primary);
    }
    values.extend(new);
    if values.len() > VALUES_MAX {
        return Err(Refusal::value(format!("{} has at most {VALUES_MAX} values", attr.name)));
    }
    Ok(())
}

fn no_more_primary(value: &mut Value) {
    if is_primary(value) {
        value["primary"] = false.into();
    }
}

/// Values of an attribute that a filter picks, and perhaps a part of them.
struct Pick<'a> {
    attr: &'a Attr,
    filter: &'a Filter,
    part: Option<&'a Attr>,
}

fn picked(
    scope: Scope<'_>,
    of: &mut Parts,
    pick: &Pick<'_>,
    verb: Verb,
    value: Option<&Value>,
) -> Result<(), Refusal> {
    let Pick { attr, filter, part } = *pick;
    let inner = scope.within(attr);
    let fits = |value: &Value| value.as_object().is_some_and(|value| filter.matches(inner, value));
    let mut values = match of.remove(attr.name) {
        Some(Value::Array(values)) => values,
        _ => Vec::new(),
    };
    if verb == Verb::Remove {
        match part {
            None => values.retain(|value| !fits(value)),
            Some(part) => values.iter_mut().filter(|value| fits(value)).for_each(|value| {
                value.as_object_mut().map(|parts| parts.remove(part.name));
            }),
        }
    } else {
        let mut chosen: Vec<usize> = (0..values.len()).filter(|&nth| fits(&values[nth])).collect();
        if chosen.is_empty() {
            let made = implied(inner, filter).filter(|_| verb == Verb::Add);
            let made =
                made.ok_or_else(|| Refusal::no_target(format!("no value of {} is such", attr.name)))?;
            chosen.push(values.len());
            values.push(made.into());
        }
        let new = value.ok_or_else(|| Refusal::value("a value is missing"))?;
        for &nth in &chosen {
            set(scope, &mut values[nth], (attr, part), verb, new)?;
        }
        one_primary(attr, &mut values, &chosen)?;
    }
    of.insert(attr.name.to_owned(), values.into());
    clear(of, attr);
    Ok(())
}

/// Changes one value of an attribute, or a part of it.
fn set(
    scope: Scope<'_>,
    value: &mut Value,
    (attr, part): (&Attr, Option<&Attr>),
    verb: Verb,
    new: &Value,
) -> Result<(), Refusal> {
    let inner = scope.within(attr);
    let Value::Object(parts) = value else { return Ok(()) };
    if let Some(part) = part {
        return at(inner, parts, part, verb, Some(new));
    }
    let Value::Object(new) = new else {
        return Err(Refusal::value(format!("a value of {} is an object", attr.name)));
    };
    if verb == Verb::Replace {
        parts.clear();
    }
    new.iter().try_for_each(|(name, value)| match inner.find(name) {
        Some(part) if !part.read_only => at(inner, parts, part, verb, Some(value)),
        _ => Ok(()),
    })
}

/// Where a value is primary now, the others are not.
fn one_primary(attr: &Attr, values: &mut [Value], changed: &[usize]) -> Result<(), Refusal> {
    let primary: Vec<usize> = changed.iter().copied().filter(|&nth| is_primary(&values[nth])).collect();
    match primary[..] {
        [] => Ok(()),
        [one] => {
            let others = values.iter_mut().enumerate().filter(|&(nth, _)| nth != one);
            others.for_each(|(_, value)| no_more_primary(value));
            Ok(())
        }
        _ => Err(Refusal::value(format!("only one of {} is primary", attr.name))),
    }
}

/// What a filter of nothing but `eq` says of a value.
fn implied(scope: Scope<'_>, filter: &Filter) -> Option<Parts> {
    match filter {
        Filter::Compare(path, Op::Eq, literal) if !literal.is_null() => {
            let attr = scope.resolve(path)?.pop().filter(|attr| attr.parts().is_empty())?;
            Some(Parts::from_iter([(attr.name.to_owned(), literal.clone())]))
        }
        Filter::And(all) => all
            .iter()
            .try_fold(Parts::new(), |parts, of| Some(parts.into_iter().chain(implied(scope, of)?).collect())),
        _ => None,
    }
}
