//! What users and groups are made of (RFC 7643): the tables that filters, changes and answers go by.
//!
//! What is unknown is passed over.

use std::sync::LazyLock;

use nx_contract::identity::{CREATOR, VIEWER};
use serde_json::{Value, json};

pub(super) const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub(super) const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub(super) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// Every name space that an attribute may be written in.
pub(super) const SPACES: [&str; 3] = [USER, GROUP, ENTERPRISE];

/// Roles that a directory may give.
pub(super) const GIVEN_ROLES: [&str; 2] = [CREATOR, VIEWER];

/// What an attribute holds.
#[derive(Debug)]
pub(super) enum Kind {
    Text,
    Bool,
    Time,
    Binary,
    /// An address of what has these types, or `external`.
    Reference(&'static [&'static str]),
    Complex(Vec<Attr>),
}

/// An attribute, or the name space of an extension, which holds its attributes.
#[derive(Debug)]
pub(super) struct Attr {
    pub(super) name: &'static str,
    about: &'static str,
    pub(super) kind: Kind,
    pub(super) many: bool,
    pub(super) required: bool,
    /// Upper and lower case are different.
    pub(super) exact: bool,
    pub(super) read_only: bool,
    pub(super) immutable: bool,
    /// Taken, and never shown.
    pub(super) write_only: bool,
    /// In every answer, whatever was asked for.
    pub(super) always: bool,
    unique: bool,
    values: &'static [&'static str],
}

fn attr(name: &'static str, kind: Kind, about: &'static str) -> Attr {
    let exact = matches!(kind, Kind::Reference(_) | Kind::Binary);
    let no = false;
    let (many, required, read_only, immutable, write_only, always, unique) = (no, no, no, no, no, no, no);
    Attr {
        name,
        about,
        kind,
        many,
        required,
        exact,
        read_only,
        immutable,
        write_only,
        always,
        unique,
        values: &[],
    }
}

fn text(name: &'static str, about: &'static str) -> Attr {
    attr(name, Kind::Text, about)
}

fn complex(name: &'static str, about: &'static str, parts: Vec<Attr>) -> Attr {
    attr(name, Kind::Complex(parts), about)
}

/// Several values, each of some type, at most one of which is the first to take.
fn several(
    name: &'static str,
    about: &'static str,
    value: Kind,
    types: &'static [&'static str],
    more: Vec<Attr>,
) -> Attr {
    let of = Attr { values: types, ..text("type", "What it is used for") };
    let first = attr("primary", Kind::Bool, "Whether it is the one to take");
    let own = match more.is_empty() {
        true => vec![attr("value", value, "The value itself"), text("display", "How it is shown")],
        false => more,
    };
    Attr { many: true, ..complex(name, about, own.into_iter().chain([of, first]).collect()) }
}

impl Attr {
    /// Attributes of it, if it has any.
    pub(super) fn parts(&self) -> &[Self] {
        if let Kind::Complex(parts) = &self.kind { parts } else { &[] }
    }

    fn read_only(self) -> Self {
        let kind = match self.kind {
            Kind::Complex(parts) => Kind::Complex(parts.into_iter().map(Self::read_only).collect()),
            kind => kind,
        };
        Self { kind, read_only: true, ..self }
    }

    fn document(&self) -> Value {
        let kind = match self.kind {
            Kind::Text => "string",
            Kind::Bool => "boolean",
            Kind::Time => "dateTime",
            Kind::Binary => "binary",
            Kind::Reference(_) => "reference",
            Kind::Complex(_) => "complex",
        };
        let mutability = match self {
            Self { read_only: true, .. } => "readOnly",
            Self { immutable: true, .. } => "immutable",
            Self { write_only: true, .. } => "writeOnly",
            _ => "readWrite",
        };
        let returned = match self {
            Self { always: true, .. } => "always",
            Self { write_only: true, .. } => "never",
            _ => "default",
        };
        let mut document = json!({
            "name": self.name,
            "type": kind,
            "description": self.about,
            "multiValued": self.many,
            "required": self.required,
            "caseExact": self.exact,
            "mutability": mutability,
            "returned": returned,
            "uniqueness": if self.unique { "server" } else { "none" },
        });
        if let Kind::Reference(types) = self.kind {
            document["referenceTypes"] = json!(types);
        }
        if !self.values.is_empty() {
            document["canonicalValues"] = json!(self.values);
        }
        if let Kind::Complex(parts) = &self.kind {
            document["subAttributes"] = parts.iter().map(Self::document).collect();
        }
        document
    }
}

/// Attributes that everything has; no schema lists them.
fn common() -> Vec<Attr> {
    let meta = vec![
        Attr { exact: true, ..text("resourceType", "Its type") },
        attr("created", Kind::Time, "When it was made"),
        attr("lastModified", Kind::Time, "When it was changed last"),
        attr("location", Kind::Reference(&["uri"]), "Its address"),
        Attr { exact: true, ..text("version", "Its entity tag") },
    ];
    vec![
        Attr { exact: true, many: true, always: true, ..text("schemas", "Its name spaces") }.read_only(),
        Attr { exact: true, always: true, unique: true, ..text("id", "Its name here") }.read_only(),
        Attr { exact: true, ..text("externalId", "Its name with the client") },
        complex("meta", "What is known of it", meta).read_only(),
    ]
}

fn of_user() -> Vec<Attr> {
    let name = vec![
        text("formatted", "The whole name"),
        text("familyName", "The family's name"),
        text("givenName", "The given name"),
        text("middleName", "Further names"),
        text("honorificPrefix", "What is said before it"),
        text("honorificSuffix", "What is said behind it"),
    ];
    let address = vec![
        text("formatted", "The whole address"),
        text("streetAddress", "Street and house"),
        text("locality", "Town"),
        text("region", "Region"),
        text("postalCode", "Postal code"),
        text("country", "Country, two letters"),
    ];
    let group = vec![
        Attr { exact: true, ..text("value", "The group's id") },
        attr("$ref", Kind::Reference(&["Group"]), "The group's address"),
        text("display", "The group's name"),
        Attr { values: &["direct"], ..text("type", "How somebody is a member") },
    ];
    let role = Attr { values: &GIVEN_ROLES, ..text("value", "The role") };
    const PLACES: &[&str] = &["work", "home", "other"];
    let external = || Kind::Reference(&["external"]);
    vec![
        Attr { required: true, unique: true, ..text("userName", "What the client calls the person") },
        complex("name", "The parts of the name", name),
        text("displayName", "What the person is called here; without one the name is made of others"),
        text("nickName", "What the person is called by friends"),
        attr("profileUrl", external(), "A page about the person"),
        text("title", "What the person is at work"),
        text("userType", "How the person belongs to the organisation"),
        text("preferredLanguage", "The language that is spoken"),
        text("locale", "How dates and figures are written"),
        text("timezone", "The zone of the clock"),
        attr("active", Kind::Bool, "Whether the person is let in"),
        Attr {
            exact: true,
            write_only: true,
            ..text("password", "What a person whom the client has made signs in with")
        },
        several("emails", "Addresses of mail", Kind::Text, PLACES, vec![]),
        several(
            "phoneNumbers",
            "Numbers of telephones",
            Kind::Text,
            &["work", "home", "mobile", "fax", "pager", "other"],
            vec![],
        ),
        several("ims", "Addresses of messengers", Kind::Text, &["xmpp", "skype", "msn", "icq"], vec![]),
        several("photos", "Addresses of pictures", external(), &["photo", "thumbnail"], vec![]),
        several("addresses", "Postal addresses", Kind::Text, PLACES, address),
        Attr { many: true, ..complex("groups", "Groups that the person is in", group) }.read_only(),
        several(
            "entitlements",
            "What the client says of entitlements; it gives none here",
            Kind::Text,
            &[],
            vec![],
        ),
        Attr {
            many: true,
            ..complex("roles", "What the person is here, without what operators alone give", vec![role])
        },
        several("x509Certificates", "Certificates", Kind::Binary, &[], vec![]),
    ]
}

fn of_group() -> Vec<Attr> {
    let fixed = |attr: Attr| Attr { immutable: true, ..attr };
    let member = vec![
        fixed(Attr { exact: true, ..text("value", "The member's id") }),
        fixed(attr("$ref", Kind::Reference(&["User"]), "The member's address")),
        fixed(Attr { values: &["User"], ..text("type", "What the member is") }),
    ];
    vec![
        Attr { required: true, ..text("displayName", "What the group is called") },
        Attr { many: true, ..complex("members", "People who are in it", member) },
    ]
}

fn of_enterprise() -> Vec<Attr> {
    let manager = vec![
        Attr { exact: true, ..text("value", "The manager's id") },
        attr("$ref", Kind::Reference(&["User"]), "The manager's address"),
        text("displayName", "The manager's name").read_only(),
    ];
    vec![
        text("employeeNumber", "The person's number"),
        text("costCenter", "Who pays"),
        text("organization", "The organisation"),
        text("division", "The division"),
        text("department", "The department"),
        complex("manager", "Who manages the person", manager),
    ]
}

/// A type of resource.
#[derive(Debug)]
pub(super) struct Type {
    pub(super) name: &'static str,
    pub(super) endpoint: &'static str,
    pub(super) scope: Scope<'static>,
    /// Attributes of its own, without the common ones.
    own: std::ops::Range<usize>,
}

/// Attributes that names stand for, and the name space of those that bear none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) space: &'static str,
    pub(super) attrs: &'a [Attr],
}

impl<'a> Scope<'a> {
    /// Attributes within one.
    pub(super) fn within(self, attr: &'a Attr) -> Self {
        Scope { attrs: attr.parts(), ..self }
    }

    /// The attribute of a name, in whatever case it is written.
    pub(super) fn find(self, name: &str) -> Option<&'a Attr> {
        self.attrs.iter().find(|attr| attr.name.eq_ignore_ascii_case(name))
    }
}

pub(super) static USERS: LazyLock<Type> =
    LazyLock::new(|| made("User", "/Users", USER, of_user(), vec![enterprise()]));
pub(super) static GROUPS: LazyLock<Type> =
    LazyLock::new(|| made("Group", "/Groups", GROUP, of_group(), vec![]));

fn enterprise() -> Attr {
    complex(ENTERPRISE, "What an organisation knows of who works there", of_enterprise())
}

fn made(
    name: &'static str,
    endpoint: &'static str,
    space: &'static str,
    own: Vec<Attr>,
    more: Vec<Attr>,
) -> Type {
    let first = common().len();
    let range = first..first + own.len();
    let attrs: Vec<Attr> = common().into_iter().chain(own).chain(more).collect();
    // Made once, for as long as the process lives.
    Type { name, endpoint, scope: Scope { space, attrs: attrs.leak() }, own: range }
}

/// The schemas as clients read them: id and document.
pub(super) fn documents() -> Vec<(&'static str, Value)> {
    let extension = USERS.scope.find(ENTERPRISE).map(Attr::parts).unwrap_or_default();
    let own = |of: &'static Type| of.scope.attrs.get(of.own.clone()).unwrap_or_default();
    [
        (USER, "User", "A person", own(&USERS)),
        (GROUP, "Group", "A group of people; it gives nobody a right", own(&GROUPS)),
        (ENTERPRISE, "EnterpriseUser", "What an organisation knows of who works there", extension),
    ]
    .map(|(id, name, about, attributes)| {
        let attributes: Vec<Value> = attributes.iter().map(Attr::document).collect();
        let schemas = ["urn:ietf:params:scim:schemas:core:2.0:Schema"];
        let document = json!({"schemas": schemas, "id": id, "name": name, "description": about, "attributes": attributes});
        (id, document)
    })
    .into()
}
